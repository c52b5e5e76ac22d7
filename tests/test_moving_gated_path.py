"""The figure of the constant gates computes what `gated_update` does."""

import pytest
import torch
from browser import call, put, show_figure

from meta_lib.gated_optimizer import gated_update
from meta_lib.moving.gated_path import GatedPath


def test_a_path_is_that_of_the_library(tab, generator):
    figure = show_figure(tab, GatedPath())
    for case in range(100):
        a, b, start = torch.rand(3, 2, generator=generator).mul(4)
        forget, rate = torch.rand(2, generator=generator)
        steps, theta = case % 20, start
        for _ in range(steps):
            theta = gated_update(theta, a * (theta - b), rate, forget)
        path = call(
            figure, "gatedPath", *(each.tolist() for each in (a, b, start, forget, rate)), steps
        )
        assert len(path) == steps + 1
        torch.testing.assert_close(torch.tensor(path[-1]), theta)
        rest = torch.tensor(call(figure, "restOf", a.tolist(), b.tolist(), 0.9, rate.item()))
        torch.testing.assert_close(
            gated_update(rest, a * (rest - b), rate, torch.tensor(0.9)), rest
        )


@pytest.mark.parametrize(("rate", "fate"), [(0.1, "it settles"), (0.26, "it does not settle")])
def test_it_says_whether_it_settles(tab, rate, fate):
    assert fate in put(show_figure(tab, GatedPath(forget=1.0)), rate=rate)
