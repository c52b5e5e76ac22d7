"""The LSTM learns in the page as in the library, and is raced again and again on unseen bowls."""

import pytest
import torch
from browser import press, put, reached, show_figure, watched

from meta_lib.moving import learn_rule
from meta_lib.moving.learn_rule import LearnRule
from meta_lib.networks import flatten

SHORT = {"iterations": 20, "hidden": 4}


@pytest.fixture
def figure(tab):
    return show_figure(tab, LearnRule(**SHORT))


def end_of(said, name):
    return float(said.split(f"{name} ")[1].split()[0].rstrip(";,."))


def test_it_finds_what_the_library_finds(figure):
    put(figure, truncation=5, horizon=20)
    press(figure, "Learn")
    said = reached(figure, 20)
    rule, _ = learn_rule.train(truncation=5, horizon=20, **SHORT)
    # A rounding error grows from step to step, so few iterations, and two digits.
    assert end_of(said, "LSTM") == pytest.approx(learn_rule.race(rule)[-1].item(), rel=2e-2)
    assert set(learn_rule.RIVALS) < {word.strip(".,;:") for word in said.split()}


def test_the_rule_is_let_loose_while_it_rests(figure):
    press(figure, "Learn")
    ends = [end_of(reached(figure, 20), "LSTM")]
    for arena, name in (
        ("tenfold", "tenfold units"),
        ("valley", "bent valley"),
        ("ripples", "ripples"),
    ):
        put(figure, arena=arena)
        readout = figure.locator(".moving-readout", has_text=f"{name}, mean loss after")
        readout.wait_for(timeout=60_000)
        assert "Iteration 20 of" in readout.text_content()
        ends.append(end_of(readout.text_content(), "LSTM"))
    assert len(set(ends)) == 4


def test_the_address_replays_a_training(figure, tab):
    press(figure, "Learn")
    said = reached(figure, 20)
    tab.reload()
    tab.wait_for_selector("html[data-moving=ready]")
    assert reached(figure, 20) == said


@pytest.mark.parametrize(
    "values",
    [
        {"truncation": 200, "horizon": 20, "beta": 1},
        {"hidden": 1e9, "truncation": -3, "horizon": 7, "beta": -1, "goal": 3},
        {"iterations": 0, "goal": 1e9, "seed": -1, "arena": "nowhere"},
    ],
)
def test_extremes_do_no_harm(figure, values):
    put(figure, **values)
    press(figure, "One iteration")
    readout = figure.locator(".moving-readout", has_text="mean loss after")
    readout.wait_for(timeout=120_000)
    assert not {"NaN", "undefined"} & set(readout.text_content().split())


def test_without_a_worker_it_learns_in_slices(browser, figure):
    press(figure, "Learn")
    said = reached(figure, 20)
    page = watched(browser)
    page.add_init_script("delete window.Worker")
    other = show_figure(page, LearnRule(**SHORT))
    press(other, "Learn")
    assert reached(other, 20) == said and not page.faults
    page.context.close()


def test_who_wants_less_motion_goes_a_piece_at_a_time(browser):
    page = watched(browser, reduced_motion="reduce")
    figure = show_figure(page, LearnRule(**SHORT))
    press(figure, "Learn")
    reached(figure, 2)
    assert not page.faults
    page.context.close()


def test_python_is_handed_what_the_page_has_found():
    rule, _ = learn_rule.train(iterations=2, hidden=4, truncation=5)
    weights = flatten(dict(rule.named_parameters())).detach()
    widget = LearnRule(hidden=4, found=weights.numpy().tobytes())
    assert torch.equal(flatten(dict(widget.rule.named_parameters())), weights)
    assert "Mean losses" in widget.still().get_label()
