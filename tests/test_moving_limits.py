"""The figure of the limits shows what its tables hold, and the tables what the networks read."""

import re

import pytest
import torch
from browser import put, show_figure
from torch import nn

from meta_lib.moving.limits import Limits
from meta_lib.tasks.digits import rotate, thin


def of_three_networks(generator):
    images, labels = torch.rand(20, 1, 8, 8, generator=generator), torch.arange(20) % 10
    readers = {
        size: [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(3)]
        for size in (1, 5, 20)
    }
    shifts = {"turn": lambda x, amount: rotate(x, 90 * amount), "thin": thin}
    shown = torch.arange(0, 20, 2)
    return readers, shifts, [0.0, 0.5, 1.0], images, labels, shown


@pytest.mark.parametrize(("labels", "kind", "amount"), [(1, "turn", 0.0), (20, "thin", 0.5)])
def test_the_read_out_is_what_the_networks_read(tab, generator, labels, kind, amount):
    readers, shifts, amounts, images, truth, shown = given = of_three_networks(generator)
    figure = show_figure(tab, Limits(*given, labels=5, amount=0.0))
    said = put(figure, labels=labels, kind=kind, amount=amount)
    changed = shifts[kind](images, amount)
    read = torch.stack([net(changed).argmax(1) for net in readers[labels]])
    right = 100 * (read == truth).double().mean(1)
    mean, spread = re.search(r"([\d.]+) ± ([\d.]+) %", said).groups()
    assert float(mean) == pytest.approx(right.mean().item(), abs=0.06)
    assert float(spread) == pytest.approx(right.std().item(), abs=0.06)
    assert "of 20 digits" in said
    misread = (read[0] != truth)[shown].sum().item()
    assert f"of the 10 shown, {misread} are misread" in said
    assert figure.locator("text.wrong").count() == misread
