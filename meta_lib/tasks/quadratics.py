"""Random quadratics, ‖Wθ - y‖²: the first family of tasks of the learned optimizers.

W is a square matrix and y a vector, all entries standard normal (Andrychowicz et al. 2016,
section 3.1, https://arxiv.org/abs/1606.04474). Used in part 3, "The LSTM optimizer".
"""

from typing import NamedTuple

import torch
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import Source, normal


class Quadratics(NamedTuple):
    """A family of quadratics: W (tasks, size, size) and y (tasks, size)."""

    W: Tensor
    y: Tensor

    def __call__(self, theta: Tensor) -> Tensor:
        """Return ‖Wθ - y‖² of each task, (tasks,), at theta (tasks, size)."""
        return (torch.einsum("tij,tj->ti", self.W, theta) - self.y).square().sum(dim=-1)


def sample_quadratics(tasks: int, size: int, generator: Source) -> Quadratics:
    """Draw `tasks` quadratics in `size` dimensions.

    Raises TypeError or ValueError unless both are whole numbers of at least 1.
    """
    checks.whole_number("tasks", tasks)
    checks.whole_number("size", size)
    W = normal(tasks, size, size, generator=generator)
    y = normal(tasks, size, generator=generator)
    return Quadratics(W, y)
