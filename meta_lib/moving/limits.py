"""Few labels and changed images: part 1, "The limits of machine learning"."""

from collections.abc import Callable
from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor, nn

from meta_lib.figures import limits
from meta_lib.moving import MovingFigure, greys

Shift = Callable[[Tensor, float], Tensor]


class Limits(MovingFigure):
    """How well digits are read, by labels per class and by how far the images have changed.

    `readers` holds, for each number of labels per class, networks that were trained on several
    draws of the labels. `shifts` goes from a kind of change to the function that makes it, of
    images and an amount. All are tried on `images` (n, 1, 8, 8); those numbered `shown` are drawn,
    as the first network of each number of labels reads them.

    Accuracies are (kinds, sizes, amounts, draws), readings (kinds, sizes, amounts, shown).
    """

    shared = ("labels", "kind", "amount")
    labels = traitlets.Int(10).tag(sync=True)
    kind = traitlets.Unicode().tag(sync=True)
    amount = traitlets.Float(0.3).tag(sync=True)
    sizes: traitlets.List[int] = traitlets.List().tag(sync=True)
    kinds: traitlets.List[str] = traitlets.List().tag(sync=True)
    amounts: traitlets.List[float] = traitlets.List().tag(sync=True)
    accuracies: traitlets.List[Any] = traitlets.List().tag(sync=True)
    readings: traitlets.List[Any] = traitlets.List().tag(sync=True)
    tested = traitlets.Int().tag(sync=True)
    truth: traitlets.List[int] = traitlets.List().tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)

    @torch.no_grad()
    def __init__(
        self,
        readers: dict[int, list[nn.Module]],
        shifts: dict[str, Shift],
        amounts: list[float],
        images: Tensor,
        truth: Tensor,
        shown: Tensor,
        **traits: Any,
    ):
        accuracies, readings, pictures = [], [], []
        for shift in shifts.values():
            changed = [shift(images, amount) for amount in amounts]
            pictures.append(torch.stack([each[shown] for each in changed]))
            read = [
                torch.stack([torch.stack([net(x).argmax(1) for net in nets]) for x in changed])
                for nets in readers.values()
            ]
            read = torch.stack(read)  # (sizes, amounts, draws, n)
            accuracies.append((read == truth).double().mean(-1))
            readings.append(read[:, :, 0, shown])
        self._images = torch.stack(pictures)
        super().__init__(
            sizes=list(readers),
            kinds=list(shifts),
            amounts=list(amounts),
            accuracies=[each.mul(1e4).round().div(1e4).tolist() for each in accuracies],
            readings=[each.tolist() for each in readings],
            tested=len(images),
            truth=truth[shown].tolist(),
            pictures=greys(self._images),
            **({"kind": next(iter(shifts))} | traits),
        )

    def still(self) -> Figure:
        """Return the digits as they are read at the start, and accuracy against the labels."""
        kind, size = self.kinds.index(self.kind), self.sizes.index(self.labels)
        amount = self.amounts.index(self.amount)
        means = [sum(each[amount]) / len(each[amount]) for each in self.accuracies[kind]]
        return limits.reader(
            self._images[kind, amount][:10],
            torch.tensor(self.truth[:10]),
            torch.tensor(self.readings[kind][size][amount][:10]),
            self.sizes,
            means,
            self.labels,
            f"{self.kind} {self.amount:g}, {self.labels} labels per class",
        )
