"""The figure of the search shows the numbers that the cell has computed."""

import re

import pytest
import torch
from browser import call, put, show_figure

from meta_lib.evaluation import estimate
from meta_lib.moving.fine_tuning import FineTuning

RATES, NAMES = (0.03, 0.1, 0.3, 1.0), ("new head only", "from scratch", "whole network", "MAML")
LEVEL = {1: 0.7, 5: 0.9}


@pytest.fixture
def search(generator):
    return {
        (shots, rate): {name: torch.rand(20, 11, generator=generator) for name in NAMES}
        for shots in LEVEL
        for rate in RATES
    }


@pytest.fixture
def widget(search):
    return FineTuning(search, LEVEL)


@pytest.fixture
def figure(tab, widget):
    return show_figure(tab, widget)


def test_the_table_holds_means_and_intervals(figure, widget, search):
    table = torch.frombuffer(bytearray(widget.table), dtype=torch.float32).tolist()
    for k, shots in enumerate(LEVEL):
        for r, rate in enumerate(RATES):
            for n, name in enumerate(NAMES):
                shown = call(figure, "curveOf", table, [2, 4, 4], k, r, n)
                found = [estimate(column) for column in search[shots, rate][name].T]
                assert shown["mean"] == pytest.approx([each.mean for each in found], rel=1e-6)
                assert shown["half"] == pytest.approx([each.interval for each in found], rel=1e-6)


def test_the_best_is_the_chapters(figure, search):
    for shots in LEVEL:
        for name in NAMES:
            curves = [search[shots, rate][name].mean(dim=0).tolist() for rate in RATES]
            options = {(r, s): curves[r][s] for r in range(4) for s in range(1, 11)}
            assert call(figure, "bestOf", curves) == list(max(options, key=options.get))


def test_the_readout_is_the_table(figure, search):
    for shots in LEVEL:
        for rate in RATES:
            for steps in (0, 1, 10):
                said = put(figure, shots=shots, alpha=rate, steps=steps)
                for name in NAMES:
                    found = 100 * search[shots, rate][name][:, steps].mean().item()
                    shown = int(re.search(rf"{name} (\d+) %", said)[1])
                    assert abs(shown - found) <= 0.501


def test_a_click_into_a_map_goes_there(tab, figure):
    figure.locator("rect.clicks").nth(2 * 44 + 3 * 11 + 6).click()
    chosen = figure.evaluate("(at) => [at.model.get('alpha'), at.model.get('steps')]")
    assert chosen == [1.0, 6]
    assert "α = 1, 6 steps" in put(figure)


@pytest.mark.parametrize(
    "address",
    ["fine_tuning.shots=7", "fine_tuning.alpha=1e9", "fine_tuning.steps=99", "fine_tuning.steps=x"],
)
def test_a_wild_address_starts_a_sound_figure(tab, widget, address):
    said = show_figure(tab, widget, f"?{address}").locator(".moving-readout").text_content()
    assert "shots" in said and "NaN" not in said


def test_values_that_no_slider_has_are_sound(figure):
    for values in ({"steps": -3}, {"steps": 300}, {"alpha": -1.0}, {"shots": 0}):
        assert re.search(r"MAML \d+ % ± \d", put(figure, **values)), values


def test_the_still_picture_is_of_the_start(widget):
    assert "5 ways and 5 shots" in widget.still().get_label()
