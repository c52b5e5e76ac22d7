"""Sine waves to be fitted from a few points: the regression tasks of the MAML paper.

Amplitude in [0.1, 5], phase in [0, π], x in [-5, 5] (Finn, Abbeel & Levine 2017, section 5.1,
https://arxiv.org/abs/1703.03400). Used in part 3, "MAML".
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import Source, uniform
from meta_lib.tasks.episodes import Episode

X_RANGE = (-5.0, 5.0)


class Waves(NamedTuple):
    """A family of sine waves, y = amplitude · sin(x - phase); both tensors are (tasks, 1, 1)."""

    amplitude: Tensor
    phase: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return the heights at x (tasks, points, 1) or (points, 1), as (tasks, points, 1)."""
        return self.amplitude * torch.sin(x - self.phase)


def sample_waves(tasks: int, generator: Source) -> Waves:
    """Draw `tasks` waves. Raises TypeError or ValueError unless `tasks` is at least 1."""
    checks.whole_number("tasks", tasks)
    amplitude = uniform(tasks, 1, 1, low=0.1, high=5.0, generator=generator)
    phase = uniform(tasks, 1, 1, high=math.pi, generator=generator)
    return Waves(amplitude, phase)


def sample_points(waves: Waves, shots: int, queries: int, generator: Source) -> Episode:
    """Draw from each wave `shots` support points and `queries` query points.

    Returns a stack of episodes: x and y are (tasks, shots, 1) and (tasks, queries, 1).

    Raises TypeError or ValueError unless `shots` and `queries` are whole numbers of at least 1.
    """
    checks.whole_number("shots", shots)
    checks.whole_number("queries", queries)
    tasks = len(waves.amplitude)
    low, high = X_RANGE
    support_x = uniform(tasks, shots, 1, low=low, high=high, generator=generator)
    query_x = uniform(tasks, queries, 1, low=low, high=high, generator=generator)
    return Episode(support_x, waves(support_x), query_x, waves(query_x))
