"""MAML learns in the page as in the library, in a worker or in slices, and stops when it should."""

import pytest
import torch
from browser import call, press, put, reached, rested, show_figure, told, watched

from meta_lib import maml
from meta_lib.moving import learn_waves
from meta_lib.moving.learn_waves import LearnWaves
from meta_lib.networks import flatten
from meta_lib.tasks.page_draws import PageGenerator
from meta_lib.tasks.sinusoids import sample_points, sample_waves

SHORT = {"iterations": 100, "shots": 5}
FORBIDDEN = """window.Worker = class {
    postMessage() { setTimeout(() => this.onerror(new Event("error", { cancelable: true }))); }
    terminate() {}
}"""


@pytest.fixture
def figure(tab):
    return show_figure(tab, LearnWaves(**SHORT))


def test_it_finds_what_the_library_finds(figure):
    put(figure, steps=2, beta=0.01)
    press(figure, "Learn")
    said = reached(figure, 100)
    settings = dict(alpha=0.01, beta=0.01, steps=2, seed=0, **SHORT)
    phi, losses = learn_waves.train(**settings)
    found = call(figure, "trained", settings | {"algorithm": "MAML"})
    assert torch.tensor(found["phi"]).sub(flatten(phi)).norm() < 1e-6 * flatten(phi).norm()
    generator = PageGenerator(2**31)
    unseen = sample_points(sample_waves(25, generator), 5, 5, generator)
    error = maml.meta_loss(learn_waves.LOSS, phi, unseen, 0.01, 2).item()
    assert float(said.split("trained on: ")[1].split()[0]) == pytest.approx(error, rel=6e-3)
    mean = sum(losses[-10:]) / 10
    assert float(said.split("meta-loss ")[1].split(",")[0]) == pytest.approx(mean, rel=6e-3)


def test_pause_one_iteration_and_go_on_lead_where_one_go_leads(figure, tab):
    press(figure, "Learn")
    straight = reached(figure, 100)
    press(figure, "Start again")
    press(figure, "One iteration")
    reached(figure, 1)
    put(figure, goal=20)
    reached(figure, 20)
    press(figure, "Go on")
    assert reached(figure, 100).startswith(straight)
    assert "The run before" in reached(figure, 100)


def test_a_pause_stays_where_it_is_and_stands_in_the_address(figure, tab):
    put(figure, iterations=10_000)
    before = put(figure)
    press(figure, "Learn")
    told(figure, before)
    press(figure, "Pause")
    said, goal = rested(figure), figure.evaluate("(at) => at.model.get('goal')")
    assert f"Iteration {goal} of 10000" in said
    shown = f"learn_waves.goal={goal}"
    tab.wait_for_function("(shown) => location.search.includes(shown)", arg=shown)
    tab.reload()
    tab.wait_for_selector("html[data-moving=ready]")
    assert reached(figure, goal) == said


@pytest.mark.parametrize("plug", ["delete window.Worker", FORBIDDEN])
def test_without_a_worker_it_learns_in_slices(browser, figure, plug):
    press(figure, "Learn")
    said = reached(figure, 100)
    page = watched(browser)
    page.add_init_script(plug)
    other = show_figure(page, LearnWaves(**SHORT))
    press(other, "Learn")
    assert reached(other, 100) == said and not page.faults
    page.context.close()


def test_it_rests_off_the_screen(figure, tab):
    put(figure, iterations=10_000)
    figure.evaluate("(at) => { at.style.marginBottom = '4000px'; }")
    before = put(figure)
    press(figure, "Learn")
    told(figure, before)
    tab.evaluate("scrollTo(0, 3000)")
    said = rested(figure)
    assert "Iteration 10000 of" not in said
    tab.evaluate("scrollTo(0, 0)")
    told(figure, said)


def test_who_wants_less_motion_goes_a_piece_at_a_time(browser):
    page = watched(browser, reduced_motion="reduce")
    figure = show_figure(page, LearnWaves(**SHORT))
    press(figure, "Learn")
    reached(figure, 10)
    press(figure, "Go on")
    reached(figure, 20)
    page.context.close()


def test_other_settings_wait_for_the_reader(figure, tab):
    press(figure, "Learn")
    reached(figure, 100)
    for name in ("alpha", "beta", "shots", "steps", "iterations"):
        figure.locator(f"input[name={name}]").press("ArrowRight")
        said = put(figure)
        assert "has learned nothing yet" in said and "The run before" in said, name
    assert "ANIL" not in said
    put(figure, wave=[1.0, 2.0])
    assert put(figure) != said
    press(figure, "Reset")
    assert "The run before" in put(figure)


@pytest.mark.parametrize(
    "values",
    [
        {"alpha": 0.5, "beta": 1, "shots": 1, "steps": 20},
        {"alpha": 1e300, "beta": -1, "shots": 0, "steps": 1e9, "goal": 3},
        {"iterations": 0, "goal": 1e9, "seed": -1},
        {"wave": [1e9, -1e9], "goal": -3},
    ],
)
def test_extremes_do_no_harm(figure, values):
    said = put(figure, **values)
    assert "on your wave" in said and "NaN" not in said and "undefined" not in said
    press(figure, "One iteration")
    assert "on your wave" in put(figure)


def test_a_rate_that_is_too_large_is_explained(figure):
    assert "is gone" in put(figure, beta=0.5)
    assert "the inner steps overshoot" in put(figure, alpha=0.5, steps=5)


def test_python_is_handed_what_the_page_has_found():
    phi, _ = learn_waves.train(iterations=3)
    widget = LearnWaves(found=flatten(phi).numpy().tobytes())
    assert torch.equal(flatten(widget.phi), flatten(phi))
    start = flatten(learn_waves.first_weights(PageGenerator(4)))
    assert torch.equal(flatten(LearnWaves(seed=4).phi), start)
