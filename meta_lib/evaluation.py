"""How good is a learner? Accuracies over many episodes, with an interval that says how sure.

Explained in part 1, "The limits of machine learning", section "The first limit: labels", and in
part 5, "Few-shot character recognition", section "What is measured, and how sure it is".
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from meta_lib.tasks.episodes import Episode


class Estimate(NamedTuple):
    """A mean and the half-width of its 95 % confidence interval, in the measured unit."""

    mean: float
    interval: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.interval:.3f}"

    def percent(self) -> str:
        """Return the estimate of a share as text in per cent, "97.3 ± 0.4 %"."""
        return f"{100 * self.mean:.1f} ± {100 * self.interval:.1f} %"


def estimate(values: Sequence[float] | Tensor) -> Estimate:
    """Return the mean and 1.96 standard errors, the normal 95 % interval of the mean.

    Raises ValueError for fewer than 2 values: one value says nothing about its spread.
    """
    values = torch.as_tensor(values, dtype=torch.float64).reshape(-1)
    if len(values) < 2:
        raise ValueError(f"values must hold at least 2 numbers, but held {len(values)}")
    return Estimate(
        values.mean().item(), 1.96 * values.std(correction=1).item() / math.sqrt(len(values))
    )


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of labels (n,) that were predicted, as a number: a GPU is waited for.

    Raises ValueError if shapes differ.
    """
    if predicted.shape != labels.shape:
        raise ValueError(
            f"predicted must have the shape of labels, {tuple(labels.shape)}, "
            f"but had {tuple(predicted.shape)}"
        )
    return (predicted == labels).double().mean().item()


def accuracies(classify: Callable[[Episode], Tensor], episodes: Iterable[Episode]) -> list[float]:
    """Return the query accuracy of each episode; `classify` goes from an episode to labels."""
    return [accuracy(classify(episode), episode.query_y) for episode in episodes]
