"""What learns in the page learns as the library does, from the same numbers."""

from functools import partial

import pytest
import torch

from meta_lib import maml, moving
from meta_lib.lstm_optimizer import unroll
from meta_lib.moving import learn_plane, learn_rule, learn_waves
from meta_lib.networks import flatten
from meta_lib.rivals.baselines import BASELINES, descend
from meta_lib.tasks.optimizees import quadratics
from meta_lib.tasks.page_draws import PageGenerator
from meta_lib.tasks.sinusoids import sample_points, sample_waves

OPEN = """async (text) => {
    const script = new Blob([text], {type: "text/javascript"});
    window.learning = await import(URL.createObjectURL(script));
}"""


def opened(tab, files, name, learner):
    """Return how to run JavaScript on a page that has a learner, and what it needs."""
    text = "\n".join((moving.FOLDER / file).read_text(encoding="utf-8") for file in files)
    tab.evaluate(OPEN, f"{text}\nexport {{ random }};\nexport const {name} = {learner}();")
    return lambda script, *given: tab.evaluate(
        f"(given) => {{ const {{ random, {name} }} = learning; return ({script})(...given); }}",
        list(given),
    )


@pytest.fixture
def ask(tab):
    """Run JavaScript on a page that has the learner of waves, and return what it gives."""
    return opened(tab, ("kit.js", "learning.js", "learn_maml.js"), "waves", "learnMaml")


def relative(ours, theirs):
    theirs = torch.as_tensor(theirs, dtype=torch.float64)
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31, 2**32 - 1])
def test_one_seed_draws_the_same_numbers_in_both_languages(ask, seed):
    drawn = "(seed, kind) => Array.from({length: 2000}, random(seed)[kind])"
    ours = PageGenerator(seed)
    pieces = torch.cat([ours.uniform(3, 500).flatten(), ours.uniform(500)])
    assert torch.equal(pieces, torch.tensor(ask(drawn, seed, "uniform")))
    normal = torch.tensor(ask(drawn, seed, "normal"))
    torch.testing.assert_close(PageGenerator(seed).normal(2000), normal, rtol=1e-13, atol=1e-13)


def test_the_numbers_are_spread_evenly():
    drawn = PageGenerator(0).uniform(100_000)
    assert drawn.min() >= 0 and drawn.max() < 1
    assert drawn.histc(20, 0, 1).std() < 100
    normal = PageGenerator(0).normal(100_000)
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01


@pytest.mark.parametrize("algorithm", learn_waves.ALGORITHMS)
@pytest.mark.parametrize(("steps", "shots"), [(1, 10), (3, 5), (1, 1), (20, 3)])
def test_the_meta_gradient_is_that_of_the_library(ask, algorithm, steps, shots):
    generator = PageGenerator(3)
    phi = learn_waves.first_weights(generator)
    tasks = sample_points(sample_waves(25, generator), shots, shots, generator)
    rates = maml.head_rates(phi, 0.02, "4") if algorithm == "ANIL" else 0.02
    others = {"first order": maml.first_order_loss, "Reptile": maml.reptile_loss}
    objective = others.get(algorithm, maml.meta_loss)
    theirs, loss = maml.meta_gradient(learn_waves.LOSS, phi, tasks, rates, steps, objective)
    found = ask(
        """(shots, settings) => {
            const { uniform } = random(3), phi = waves.firstWeights(uniform);
            const tasks = waves.sample(uniform, shots);
            const { gradient, loss } = waves.metaGradient(phi, tasks, settings);
            return [Array.from(phi), Array.from(gradient), loss];
        }""",
        shots,
        {"alpha": 0.02, "steps": steps, "algorithm": algorithm},
    )
    assert relative(torch.tensor(found[0]), flatten(phi)) < 1e-15
    assert relative(torch.tensor(found[1]), flatten(theirs)) < 1e-10
    if algorithm != "Reptile":
        assert found[2] == pytest.approx(loss.item(), rel=1e-10)


LEARNT = """(settings, iterations) => {
    const state = waves.start(settings);
    for (let i = 0; i < iterations; i += 1) waves.iterate(state);
    return [Array.from(state.phi), state.curve];
}"""


@pytest.mark.parametrize("algorithm", learn_waves.ALGORITHMS)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_training_is_that_of_the_library(ask, algorithm, steps):
    settings = dict(alpha=0.01, beta=0.02, shots=7, steps=steps, seed=5, iterations=50)
    phi, losses = learn_waves.train(**settings, algorithm=algorithm)
    found, curve = ask(LEARNT, settings | {"algorithm": algorithm}, 50)
    assert relative(torch.tensor(found), flatten(phi)) < 1e-6
    if algorithm != "Reptile":
        means = torch.tensor(losses).view(-1, 10).mean(1)
        torch.testing.assert_close(torch.tensor(curve), means, rtol=1e-6, atol=0)


def test_other_lists_of_points_in_between_change_nothing(ask):
    """The room for the points is used again: what a longer list has left there must not count."""
    settings = dict(alpha=0.01, beta=0.02, shots=7, steps=2, seed=5, iterations=20)
    for algorithm in ("MAML", "Reptile"):
        settings["algorithm"] = algorithm
        told = LEARNT.replace("iterate(state);", "iterate(state), waves.report(state, 0);")
        assert ask(told, settings, 20) == ask(LEARNT, settings, 20)


def test_a_training_that_is_lost_stops_and_keeps_its_weights(ask):
    settings = dict(alpha=1e9, beta=1, shots=1, steps=20, seed=0, iterations=100, algorithm="MAML")
    lost = ask(
        """(settings) => {
            const state = waves.start(settings);
            while (!state.failed && state.done < 100) waves.iterate(state);
            return [state.failed, state.done, state.phi.every(Number.isFinite)];
        }""",
        settings,
    )
    assert lost[0] == lost[1] + 1 and lost[2]


@pytest.fixture
def siamese_in_page(tab):
    """Run JavaScript on a page that has the Siamese learner, and return what it gives."""
    files = ("kit.js", "learning.js", "learn_siamese.js")
    return opened(tab, files, "siamese", "learnSiamese")


def test_the_characters_are_those_of_the_library(siamese_in_page):
    theirs = siamese_in_page("() => [0, 1, 7, 205].map((k) => Array.from(siamese.character(k)))")
    drawn = [*learn_plane.characters()[0].values(), *learn_plane.characters()[1].values()]
    ours = torch.stack([drawn[k].flatten() for k in (0, 1, 7, 205)])
    torch.testing.assert_close(torch.tensor(theirs), ours, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("measure", "margin", "similar"),
    [
        ("Euclidean", 1.0, 0.5),
        ("Euclidean", 0.05, 0.0),
        ("cosine", 0.7, 0.25),
        ("cosine", 1.0, 1.0),
    ],
)
def test_a_siamese_training_is_that_of_the_library(siamese_in_page, measure, margin, similar):
    settings = dict(margin=margin, measure=measure, similar=similar, beta=0.01, seed=4)
    phi, losses = learn_plane.train(**settings, iterations=50)
    found, curve = siamese_in_page(
        LEARNT.replace("waves.", "siamese."), settings | {"iterations": 50}, 50
    )
    assert relative(torch.tensor(found), flatten(phi)) < 1e-6
    means = torch.tensor(losses).view(-1, 10).mean(1)
    torch.testing.assert_close(torch.tensor(curve), means, rtol=1e-6, atol=1e-9)


@pytest.fixture
def lstm_in_page(tab):
    """Run JavaScript on a page that has the learner of rules, and return what it gives."""
    files = ("kit.js", "learning.js", "optimizers.js", "learn_lstm.js")
    return opened(tab, files, "lstm", "learnLstm")


@pytest.mark.parametrize(("hidden", "truncation"), [(4, 1), (8, 20), (20, 5)])
def test_the_gradient_through_time_is_that_of_the_library(lstm_in_page, hidden, truncation):
    """Of two pieces, one after the other: the second has a state that is not 0."""
    generator = PageGenerator(3)
    rule = learn_rule.first_rule(hidden, generator)
    bowls, theta = quadratics(learn_rule.TASKS, generator)
    state, weights, theirs = None, dict(rule.named_parameters()), []
    for _ in range(2):
        moments = unroll(rule, bowls, theta, truncation, state)
        loss = torch.stack([moment.losses for moment in moments[1:]]).mean()
        gradient = torch.autograd.grad(loss, list(weights.values()))
        theirs.append((flatten(dict(zip(weights, gradient, strict=True))), loss.item()))
        theta, state = moments[-1].theta.detach(), [part.detach() for part in moments[-1].state]
    found = lstm_in_page(
        """(hidden, truncation) => {
            const { uniform, normal } = random(3), phi = lstm.firstWeights(uniform, hidden);
            const batch = lstm.sample(normal), { theta } = batch;
            const at = lstm.memory(theta.length, hidden, truncation);
            lstm.losses(batch, theta, at.slopes[0]);
            return [0, 1].map((piece) => {
                if (piece) lstm.carry(at);
                const { gradient, loss } = lstm.piece(phi, batch, theta, at);
                return [Array.from(gradient), loss];
            });
        }""",
        hidden,
        truncation,
    )
    for (gradient, loss), (expected, expected_loss) in zip(found, theirs, strict=True):
        assert relative(torch.tensor(gradient), expected) < 1e-8
        assert loss == pytest.approx(expected_loss, rel=1e-10)


def test_a_rule_is_trained_as_in_the_library(lstm_in_page):
    """A few iterations only: a rounding error grows from step to step."""
    settings = dict(hidden=6, truncation=10, horizon=20, beta=0.02, seed=2)
    rule, losses = learn_rule.train(**settings, iterations=8)
    found, curve = lstm_in_page(LEARNT.replace("waves.", "lstm."), settings | {"iterations": 8}, 8)
    assert relative(torch.tensor(found), flatten(dict(rule.named_parameters())).detach()) < 1e-6
    means = torch.tensor(losses).view(-1, 2).mean(1)
    torch.testing.assert_close(torch.tensor(curve), means, rtol=1e-6, atol=0)


def test_the_race_and_its_rivals_are_those_of_the_library(lstm_in_page):
    rates, race, ours = lstm_in_page(
        """() => {
            const { rivals, batch } = lstm.arenaOf("bowls");
            const phi = lstm.firstWeights(random(1).uniform, 8);
            return [lstm.tuned(), rivals, lstm.byRule(phi, 8, batch)];
        }"""
    )
    theirs = learn_rule.tuned()
    assert rates == pytest.approx(theirs)
    bowls, theta = learn_rule.unseen()
    for name, rate in theirs.items():
        curve = descend(partial(BASELINES[name], lr=rate), bowls, theta, 100).mean(dim=1)
        torch.testing.assert_close(torch.tensor(race[name]), curve, rtol=1e-9, atol=0)
    curve = learn_rule.race(learn_rule.first_rule(8, PageGenerator(1)))
    torch.testing.assert_close(torch.tensor(ours), curve, rtol=1e-8, atol=0)
