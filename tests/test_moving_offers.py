"""The figure of what practice offers shows what its readers answer."""

import re

import pytest
import torch
from browser import put, show_figure

from meta_lib.moving.offers import Offers
from meta_lib.tasks.episodes import Episode


def test_the_read_out_is_what_the_readers_answer(tab, generator):
    labels = torch.arange(10)
    calls = []

    def task(draw, shots, degrees, shift):
        calls.append((degrees, shift))
        support, query = torch.rand(10 * shots + 20, 1, 4, 4, generator=generator).split(
            [10 * shots, 20]
        )
        return Episode(support, labels.repeat_interleave(shots), query, labels.repeat(2))

    def always(digit):
        return lambda episode: torch.full_like(episode.query_y, digit)

    readers = {"right": lambda episode: episode.query_y, "seven": always(7), "zero": always(0)}
    widget = Offers(readers, task, [1, 5], [0, 90], [0.0, 1.0], 2, degrees=0, shift=0.0)
    assert {*calls} == {(0, 0.0), (0, 1.0), (90, 0.0), (90, 1.0)}
    figure = show_figure(tab, widget)
    said = put(figure, shots=5, degrees=90, shift=1.0)
    assert said.startswith("K = 5, turned by up to 90°, moved by up to 1 pixel:")
    found = dict(re.findall(r"(\w+) ([\d.]+) ± 0.0 %", said))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"right": 100, "seven": 10, "zero": 10}
    )
    assert figure.locator("text.wrong").count() == 9
