"""Hand-made optimizers, tuned: what a learned optimizer has to beat.

A comparison is worth as much as the rival's tuning, so each baseline's learning rate is chosen by
the same search over the same validation problems. Used in part 3, "The LSTM optimizer"; the
baselines are those of Andrychowicz et al. (2016), https://arxiv.org/abs/1606.04474.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer, RMSprop

from meta_lib.evaluation import choose
from meta_lib.machinery import checks
from meta_lib.tasks.quadratics import Quadratics

BASELINES: dict[str, Callable[..., Optimizer]] = {
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "NAG": partial(SGD, momentum=0.9, nesterov=True),
    "RMSprop": RMSprop,
    "Adam": Adam,
}
"""Optimizers of torch.optim by name, called with the parameters and `lr`. NAG is Nesterov's
accelerated gradient."""

RATES = tuple(10 ** (quarter / 4) for quarter in range(-12, 9))
"""The learning rates that are searched: 0.001 to 100, four to a factor of ten."""


def descend(
    make: Callable[[list[Tensor]], Optimizer],
    loss: Callable[[Tensor], Tensor],
    theta: Tensor,
    steps: int,
) -> Tensor:
    """Let an optimizer work on θ for `steps` steps and return the losses, (steps + 1, tasks).

    `make` gets the list of parameters, [θ], and returns an optimizer of torch's kind, for instance
    `partial(Adam, lr=0.1)` or `partial(torch_optimizer.Learned, rule=rule)`. `loss` goes from
    θ (tasks, coordinates) to one loss a task, (tasks,). The baselines act on each coordinate
    alone, so the tasks of a stack do not disturb one another. θ itself stays as it was.

    Raises TypeError or ValueError unless `steps` is at least 1.
    """
    checks.whole_number("steps", steps)
    theta = theta.detach().clone().requires_grad_()
    optimizer = make([theta])
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(theta)
        losses.append(value.detach())
        value.sum().backward()
        return losses[-1]

    for _ in range(steps):
        optimizer.step(closure)  # type: ignore[arg-type]  # torch takes a loss for a float
    losses.append(loss(theta).detach())
    return torch.stack(losses)


def tune(
    make: Callable[..., Optimizer],
    loss: Callable[[Tensor], Tensor],
    theta: Tensor,
    steps: int,
    rates: Iterable[float] = RATES,
) -> float:
    """Return the rate of `rates` with the lowest mean loss after `steps` steps.

    `make` is called with the parameters and `lr=rate`. A run that leaves the finite numbers counts
    as infinitely bad; ties go to the first rate. Of three rates or more `evaluation.choose` takes
    the best, and refuses it at the edge, beyond which a better one may lie.

    Raises ValueError if `rates` is empty, if no rate gives a finite loss or if the best one is at
    the edge; else as `descend`.
    """
    rates = list(rates)
    if not rates:
        raise ValueError("rates must hold at least one learning rate, but was empty")
    ends = [descend(partial(make, lr=rate), loss, theta, steps)[-1].mean().item() for rate in rates]
    errors = {
        rate: end if math.isfinite(end) else math.inf for rate, end in zip(rates, ends, strict=True)
    }
    if min(errors.values()) == math.inf:
        raise ValueError(
            f"rates must hold one with a finite loss after {steps} steps, but none of "
            f"{', '.join(f'{rate:.3g}' for rate in rates)} has"
        )
    return choose(errors) if len(errors) > 2 else min(errors, key=errors.__getitem__)


def conjugate_gradients(tasks: Quadratics, theta: Tensor, steps: int) -> Tensor:
    """Return the losses (steps + 1, tasks) of conjugate gradients from θ (tasks, coordinates).

    For quadratics alone, where they know what other optimizers do not: how far to go, and how to
    undo nothing that is done. So there is no rate, and without rounding d steps solve d dimensions
    (Hestenes & Stiefel 1952, https://doi.org/10.6028/jres.049.044). In 64 bits.

    Raises TypeError or ValueError unless `steps` is at least 1.
    """
    checks.whole_number("steps", steps)

    def squared(vectors: Tensor) -> Tensor:
        return vectors.square().sum(dim=1, keepdim=True)

    W, y, theta = (part.double() for part in (*tasks, theta))
    left = y - torch.einsum("tij,tj->ti", W, theta)
    downhill = direction = torch.einsum("tij,ti->tj", W, left)  # minus half the gradient
    lost = 1e-30 * squared(downhill)  # what is left below this is rounding, and nowhere to go
    losses = [left.square().sum(dim=1)]
    for _ in range(steps):
        change, slope = torch.einsum("tij,tj->ti", W, direction), squared(downhill)
        left = torch.where(slope > lost, left - slope / squared(change) * change, left)
        downhill = torch.einsum("tij,ti->tj", W, left)
        direction = downhill + squared(downhill) / slope * direction
        losses.append(left.square().sum(dim=1))
    return torch.stack(losses)
