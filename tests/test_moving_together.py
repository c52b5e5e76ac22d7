"""All that learns on a page learns at one button, with one set of controls."""

import pytest
from browser import press, put, show_figure, show_figures, watched

from meta_lib.moving.learn_plane import LearnPlane
from meta_lib.moving.learn_rule import LearnRule
from meta_lib.moving.learn_waves import LearnWaves
from meta_lib.moving.together import Together

WIDGETS = (
    Together(), LearnPlane(iterations=100), LearnWaves(iterations=100), LearnRule(iterations=20),
)  # fmt: skip


@pytest.fixture
def page(browser):
    page = watched(browser)
    yield page, show_figures(page, WIDGETS)
    assert not page.faults
    page.context.close()


def said(figure, *words):
    for word in words:
        figure.locator(".moving-readout", has_text=word).wait_for(timeout=120_000)
    return figure.locator(".moving-readout").text_content()


def test_one_button_trains_all_also_those_out_of_sight(page):
    _, figures = page
    together, *learners = (figures.nth(i) for i in range(4))
    said(together, "Siamese", "MAML", "LSTM")
    press(together, "Learn")
    for learner, last in zip(learners, (100, 100, 20), strict=True):
        said(learner, f"Iteration {last} of {last}")
    said(together, "iteration 20 of 20", "iteration 100 of 100")
    press(together, "Start again")
    assert said(together, "not begun").count("not begun") == 3


def test_its_controls_set_what_each_has(page):
    _, figures = page
    together, plane, waves, rule = (figures.nth(i) for i in range(4))
    said(together, "Siamese", "MAML", "LSTM")
    put(together, alpha=0.05, beta=0.001, shots=3)
    values = "(at, names) => names.map((name) => at.model.get(name))"
    assert plane.evaluate(values, ["beta", "shots"]) == [0.001, 3]
    assert waves.evaluate(values, ["alpha", "beta", "shots"]) == [0.05, 0.001, 3]
    assert rule.evaluate(values, ["beta"]) == [0.001]
    assert "MAML, α = 0.05, β = 0.001" in said(together, "β = 0.001")


def test_alone_it_says_what_is_missing(tab):
    assert "None of the three" in said(show_figure(tab, Together()), "None")
