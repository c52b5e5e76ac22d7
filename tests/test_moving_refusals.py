"""The figure of refused answers counts what the chapter's tensors hold."""

import re

import pytest
import torch
from browser import call, put, show_figure

from meta_lib.confidence import probabilities
from meta_lib.moving.refusals import Refusals

NAMES = ["Adda", "Bero", "Cilla"]
SCALES = {1: 5.0, 3: 9.0}


@pytest.fixture
def asked(generator):
    return {K: (torch.rand(60, 3, generator=generator), scale) for K, scale in SCALES.items()}


@pytest.fixture
def truth(generator):
    return torch.randint(-1, 3, (60,), generator=generator)


@pytest.fixture
def widget(asked, truth, generator):
    return Refusals(asked, truth, NAMES, torch.rand(60, 1, 8, 8, generator=generator))


@pytest.fixture
def figure(tab, widget):
    return show_figure(tab, widget)


def expected(asked, truth, K, by, threshold):
    D, scale = asked[K]
    score = probabilities(D, scale).amax(1) if by == "p" else 1 - D.amin(1)
    kept, own, right = score >= threshold, truth >= 0, D.argmin(1) == truth
    return [int(x.sum()) for x in (kept & own, own, kept & right, kept & ~own, ~own)]


@pytest.mark.parametrize("by", ["p", "cosine"])
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("threshold", [0.0, 0.42, 0.66, 0.9, 1.0])
def test_the_readout_counts(figure, asked, truth, K, by, threshold):
    said = put(figure, shots=K, by=by, threshold=threshold)
    given, own, right, named, strangers = expected(asked, truth, K, by, threshold)
    assert f": {given} of {own} own images get a name" in said
    assert f"; {named} of {strangers} strangers get one" in said
    if given:
        assert f"{100 * right / given:.1f} % of them right" in said


def test_the_curve_is_made_of_the_same_counts(figure, asked, truth):
    D, scale = asked[3]
    scores = probabilities(D, scale).amax(1)
    kinds = call(figure, "kindsOf", truth.tolist(), D.argmin(1).tolist())
    curve = call(figure, "tradeOff", kinds, scores.tolist(), 11)
    for i, (answered, right, strangers) in enumerate(curve):
        given, own, good, named, foreign = expected(asked, truth, 3, "p", i / 10)
        assert answered == pytest.approx(100 * given / own)
        assert strangers == pytest.approx(100 * named / foreign)
        if given:
            assert right == pytest.approx(100 * good / given)


@pytest.mark.parametrize(
    "address", ["refusals.threshold=9", "refusals.by=luck", "refusals.shots=2", "refusals.shots=x"]
)
def test_a_wild_address_starts_a_sound_figure(tab, widget, address):
    said = show_figure(tab, widget, f"?{address}").locator(".moving-readout").text_content()
    assert re.search(r"of \d+ own images get a name", said) and "NaN" not in said


def test_the_still_picture_is_of_the_start(widget, asked, truth):
    given, own, right, named, strangers = expected(asked, truth, 1, "p", 0.6)
    said = widget.still().get_label()
    assert f"{right} of" in said and f"{named} of {strangers} strangers" in said
