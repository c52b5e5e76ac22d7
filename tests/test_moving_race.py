"""The race computes what `lstm_optimizer`, `baselines` and torch do."""

import re
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from browser import call, put, show_figure
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from meta_lib import networks
from meta_lib.figures.lstm_optimizer import walk
from meta_lib.lstm_optimizer import LSTMOptimizer, unroll
from meta_lib.moving.race import SURFACES, Race
from meta_lib.rivals.baselines import BASELINES
from meta_lib.torch_optimizer import Learned

RIVALS = ("SGD", "momentum", "RMSprop", "Adam")
ALPHAS = ("alpha_sgd", "alpha_momentum", "alpha_rmsprop", "alpha_adam")


def a_rule(seed=0, hidden=20):
    """Make a rule of 32-bit numbers with a will of its own: an untrained one hardly moves."""
    torch.manual_seed(seed)
    rule = LSTMOptimizer(hidden, scale=0.1)
    vector_to_parameters(
        (3 * parameters_to_vector(rule.parameters())).float().double(), rule.parameters()
    )
    return rule


def entry_of(rule, **more):
    phi = parameters_to_vector(rule.parameters()).tolist()
    return {"name": "LSTM", "phi": phi, "hidden": rule.hidden, "scale": rule.scale, **more}


def near(shown, expected):
    torch.testing.assert_close(torch.tensor(shown), expected, rtol=1e-4, atol=1e-9)


def raced(figure, **values):
    """Set traits, wait until all have run to the end, which takes as long as it takes, and read."""
    put(figure, **values)
    said = figure.locator(".moving-readout")
    said.filter(has_not_text="is at step").wait_for(timeout=60_000)
    return said.text_content()


@pytest.fixture
def figure(tab):
    return show_figure(tab, Race(a_rule()))


def test_the_learned_optimizer_is_that_of_the_library(figure, generator):
    names = list(SURFACES)
    for case in range(100):
        rule = a_rule(seed=case, hidden=5 + case % 16)
        theta = 4 * torch.rand(1, 2, generator=generator) - 2
        surface = names[case % 3]
        path, losses = walk(partial(Learned, rule=rule), SURFACES[surface], theta, 25)
        entry = entry_of(rule, surface=surface, theta=theta[0].tolist(), steps=25)
        shown = call(figure, "run", entry)
        near(shown["losses"], losses)
        near([list(place) for place in shown["path"]], path)


def test_the_rivals_are_torchs(figure, generator):
    names = list(SURFACES)
    for case in range(100):
        rival, surface = RIVALS[case % 4], names[case % 3]
        theta = 4 * torch.rand(1, 2, generator=generator) - 2
        rate = 10 ** (-3 + 2 * torch.rand((), generator=generator).item())
        path, losses = walk(partial(BASELINES[rival], lr=rate), SURFACES[surface], theta, 25)
        kept = losses[: len(losses) if losses.max() < 1e12 else losses.gt(1e12).nonzero()[0] + 1]
        entry = {"name": rival, "alpha": rate, "surface": surface, "steps": 25}
        shown = call(figure, "run", {**entry, "theta": theta[0].tolist()})
        near(shown["losses"], kept)
        near([list(place) for place in shown["path"]], path[: len(kept)])


def test_the_network_that_reads_digits_is_torchs(figure, generator):
    race = Race(a_rule())
    x = torch.tensor(list(race.images)).reshape(-1, 64) / 16
    y = torch.arange(10).repeat_interleave(20)
    network = networks.mlp(64, 20, 10)
    like = networks.parameters_of(network)
    loss = networks.flat_loss(networks.loss_of(network, F.cross_entropy), like)
    for name in ("LSTM", *RIVALS):
        theta = 0.2 * torch.randn(1, 1510, generator=generator)
        rate = {"SGD": 0.3, "momentum": 0.1}.get(name, 0.01)
        make = (
            partial(BASELINES[name], lr=rate)
            if name in BASELINES
            else partial(Learned, rule=race.rule)
        )
        _, losses = walk(make, lambda theta: loss(theta[0], x, y)[None], theta, 20)
        entry = entry_of(race.rule) if name == "LSTM" else {"name": name, "alpha": rate}
        more = {"images": list(race.images), "theta": theta[0].tolist(), "steps": 20}
        near(call(figure, "run", {**entry, **more})["losses"], losses)


def test_the_gates_are_those_of_the_cells(figure):
    rule, theta = a_rule(), torch.tensor([[-1.5, 1.0]])
    shown = call(figure, "run", entry_of(rule, surface="bowl", theta=theta[0].tolist(), steps=5))
    for t, moment in enumerate(unroll(rule, SURFACES["bowl"], theta, 5)[:-1]):
        (slope,) = torch.autograd.grad(moment.losses.sum(), moment.theta, retain_graph=True)
        _, after = rule(moment.theta, slope, moment.losses, moment.state)
        for layer in (0, 1):
            h, c = (after[2 * layer + which][0].detach() for which in (0, 1))
            i, f, g, o = torch.tensor(shown["gates"]["0"][t][layer]).chunk(4)
            near((f * moment.state[2 * layer + 1][0] + i * g).tolist(), c)
            near((o * c.tanh()).tolist(), h)


def test_each_setting_is_heard(figure):
    before = raced(figure, step=60)
    changes = [
        {"theta": [1.0, 2.0]}, {"surface": "valley"}, {"surface": "ripples"}, {"coordinate": 1},
        {"layer": 2}, {"step": 10}, *({alpha: 0.2} for alpha in ALPHAS),
    ]  # fmt: skip
    for change in changes:
        now = raced(figure, **change)
        assert now != before, change
        before = now
    assert "SGD" not in raced(figure, alpha_sgd=0.0)


def test_too_large_a_rate_is_named(figure):
    assert "diverged" not in raced(figure, alpha_sgd=0.01)
    assert "SGD diverged at step" in raced(figure, alpha_sgd=3.16)
    assert "momentum diverged at step" in raced(figure, surface="valley", alpha_momentum=3.16)


def test_the_digits_are_learned_while_the_page_answers(figure):
    assert "LSTM is at step" in put(figure, surface="digits")
    assert "LSTM is at step" in put(figure, sizes=[0.2, 0.3], alpha_adam=0.1)
    adam = re.search(r"Adam ([\d.]+)( · 10⁻)?", raced(figure))
    assert adam[2] or float(adam[1]) < 0.1
    assert "SGD" in raced(figure, surface="bowl")


def test_a_link_unfolds_what_it_sets(tab, figure):
    slider = figure.locator("input[name=alpha_adam]")
    assert not slider.is_visible()
    tab.evaluate(
        """() => document.body.insertAdjacentHTML("beforeend",
            `<a data-figure="race" data-sets='{"alpha_adam": 0.001}' href="?x">see</a>`)"""
    )
    tab.get_by_text("see").click()
    slider.wait_for()
    assert slider.get_attribute("aria-valuetext") == "α Adam = 0.001"


def test_nothing_in_the_address_breaks_it(tab):
    address = "?race.theta=[1e300,-7]&race.alpha_adam=1e9&race.step=4.5&race.layer=7&race.sizes=[0]"
    figure = show_figure(tab, Race(a_rule()), address)
    for values in ({"surface": "valley"}, {"alpha_rmsprop": 0.0}, {"theta": [-3.0, -2.5]}):
        assert "undefined" not in put(figure, **values)


def test_python_keeps_its_random_numbers():
    torch.manual_seed(1)
    expected = torch.rand(1)
    rule = a_rule()
    torch.manual_seed(1)
    Race(rule)
    assert torch.equal(torch.rand(1), expected)


def test_a_click_chooses_the_start(tab, figure):
    place = figure.locator(".clicks").bounding_box()
    tab.mouse.click(place["x"] + 0.75 * place["width"], place["y"] + 0.2 * place["height"])
    theta = figure.evaluate("(at) => at.model.get('theta')")
    assert theta == pytest.approx([1.5, 1.5], abs=0.05)
