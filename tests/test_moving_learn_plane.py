"""The Siamese network learns in the page as in the library, and its settings may move meanwhile."""

import re

import pytest
import torch
from browser import call, press, put, reached, show_figure, watched

from meta_lib.moving import hand, learn_plane
from meta_lib.moving.learn_plane import LearnPlane
from meta_lib.networks import flatten

SHORT = {"iterations": 100}


@pytest.fixture
def figure(tab):
    return show_figure(tab, LearnPlane(**SHORT))


def test_it_finds_what_the_library_finds(figure):
    drawn(figure)
    put(figure, margin=0.5, beta=0.02)
    press(figure, "Learn")
    said = reached(figure, 100)
    settings = dict(margin=0.5, measure="Euclidean", similar=0.5, beta=0.02, seed=0, **SHORT)
    phi, losses = learn_plane.train(**settings)
    found = call(figure, "trained", settings)
    places = learn_plane.embed(phi)
    torch.testing.assert_close(torch.tensor(found["at"]), places.flatten(), rtol=1e-6, atol=1e-8)
    similar, different = (each.mean() for each in learn_plane.distances(places, "Euclidean"))
    numbers = said.split("similar pairs lie ")[1].replace(",", "").split()
    assert float(numbers[0]) == pytest.approx(similar.item(), rel=6e-3)
    assert float(numbers[4].rstrip(";")) == pytest.approx(different.item(), rel=6e-3)
    for shots in (1, 4):
        right = round(100 * learn_plane.accuracy(places, "Euclidean", shots))
        assert f"{right} % of the others" in put(figure, shots=shots)
    mean = sum(losses[-10:]) / 10
    assert float(said.split("loss ")[1].split(",")[0]) == pytest.approx(mean, rel=6e-3)


def test_settings_move_while_it_learns(figure):
    press(figure, "Learn")
    straight = reached(figure, 100)
    press(figure, "Start again")
    put(figure, goal=20)
    reached(figure, 20)
    put(figure, margin=0.1)
    put(figure, goal=100)
    mixed = reached(figure, 100)
    assert "changed on the way" in mixed and mixed.split(": ")[1] != straight.split(": ")[1]
    assert "The run before" in mixed


def test_the_address_replays_a_training(figure, tab):
    press(figure, "Learn")
    said = reached(figure, 100)
    tab.reload()
    tab.wait_for_selector("html[data-moving=ready]")
    assert reached(figure, 100) == said


def test_with_similar_pairs_only_all_is_drawn_to_one_point(figure):
    put(figure, similar=1.0, beta=0.05)
    press(figure, "Learn")
    assert "nothing pushes" in reached(figure, 100)


def test_symbols_of_ones_own_are_classes_that_it_never_saw(figure, tab):
    before = drawn(figure)
    assert "six characters" in before
    put(figure, own=[hand.EXAMPLES[0]], pad=2)
    assert "Of these 7 characters" in figure.locator(".moving-readout").text_content()
    assert figure.locator(".moving-stage text", has_text=re.compile("^A$")).count() == 20
    box = figure.get_by_role("application").bounding_box()
    tab.mouse.move(box["x"] + 20, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 90, box["y"] + 90, steps=5)
    tab.mouse.up()
    assert len(figure.evaluate("at => at.model.get('own')")[1]) == 1
    put(figure, pad=2)
    press(figure, "Learn")
    assert "Of these 8 characters" in reached(figure, 100)
    press(figure, "Clear the pad")
    put(figure, own=[], pad=0)
    assert figure.get_by_role("application").count() == 0
    assert "six characters" in figure.locator(".moving-readout").text_content()


def test_a_symbol_fills_the_sheet_as_a_character_does(figure):
    drawn(figure)
    symbol = [[10, 10, 50, 10, 50, 50, 10, 50, 10, 10]]
    ink = torch.tensor(call(figure, "symbolInk", symbol)).view(20, 14, 14)
    # A square of side 0.64 in the middle, as drawn, from 0.18 to 0.82 of the sheet.
    assert (ink[0, 2, 3:11] > 0.5).all() and (ink[0, 11, 3:11] > 0.5).all()
    assert (ink[0, 6:8, 6:8] < 0.01).all()
    assert len({hand.sum().item() for hand in ink}) == 20


@pytest.mark.parametrize(
    "values",
    [
        {"margin": 1e9, "beta": 1, "similar": 0},
        {"margin": -1, "beta": 1e9, "similar": 7, "goal": 3},
        {"iterations": 0, "goal": 1e9, "seed": -1, "measure": "cosine"},
        {"own": [[[1, "x"], 7], 5, [[9, 9]], []], "pad": 9, "shots": 99},
    ],
)
def test_extremes_do_no_harm(figure, values):
    drawn(figure)
    put(figure, **values)
    press(figure, "One iteration")
    readout = figure.locator(".moving-readout", has_text="named correctly")
    readout.wait_for(timeout=60_000)
    assert not {"NaN", "undefined"} & set(readout.text_content().split())


def test_who_wants_less_motion_goes_a_piece_at_a_time(browser):
    page = watched(browser, reduced_motion="reduce")
    figure = show_figure(page, LearnPlane(**SHORT))
    press(figure, "Learn")
    reached(figure, 10)
    assert not page.faults
    page.context.close()


def test_python_is_handed_what_the_page_has_found():
    phi, _ = learn_plane.train(iterations=2)
    widget = LearnPlane(found=flatten(phi).numpy().tobytes())
    assert torch.equal(flatten(widget.phi), flatten(phi))
    assert "never trained on" in widget.still().get_label()


def drawn(figure):
    """Wait until the worker has drawn the characters."""
    readout = figure.locator(".moving-readout", has_text="named correctly")
    readout.wait_for(timeout=60_000)
    return readout.text_content()
