"""Optimizees: what a learned optimizer is trained on and tried on.

Random quadratics, and small networks that learn to read scikit-learn's digits from mini-batches,
after the MNIST networks of Andrychowicz et al. (2016), section 3.2,
https://arxiv.org/abs/1606.04474. An optimizee is a loss, from θ (tasks, coordinates) to one loss a
task, and a start for θ. Used in part 3, "The LSTM optimizer".
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib.networks import flat_loss, loss_of, mlp, parameters_of
from meta_lib.tasks.digits import digits
from meta_lib.tasks.draws import Source, normal, whole_below
from meta_lib.tasks.quadratics import sample_quadratics

Optimizee = tuple[Callable[[Tensor], Tensor], Tensor]

HELD_OUT = 40
"""How many images of each digit are left for the problems that no optimizer is trained on."""


def quadratics(tasks: int, generator: Source) -> Optimizee:
    """Return random quadratics in 10 dimensions, started at standard normal points."""
    # mypy does not know that a named tuple can be called.
    loss = sample_quadratics(tasks, 10, generator)
    return loss, normal(tasks, 10, generator=generator)  # type: ignore[return-value]


def digit_networks(
    tasks: int,
    generator: Generator,
    held_out: bool = False,
    hidden: tuple[int, ...] = (20,),
    activation: type[nn.Module] = nn.Sigmoid,
    batch: int = 128,
) -> Optimizee:
    """Return networks to be trained on digits, each with first weights of its own.

    64 pixels, layers of `hidden` units, 10 classes. The loss is the cross-entropy of `batch` images
    for each task, drawn anew at each call; with `held_out` they are the last 40 of each digit, else
    the others. First weights are normal with standard deviation 1 / √inputs, biases are 0.
    """
    network = mlp(64, *hidden, 10, activation=activation)
    like = parameters_of(network)
    of_vector = flat_loss(loss_of(network, F.cross_entropy), like)
    part = slice(-HELD_OUT, None) if held_out else slice(None, -HELD_OUT)
    images = [group[part].flatten(1) for group in digits().values()]
    x = torch.cat(images)
    y = torch.cat([x.new_full((len(each),), k, dtype=torch.long) for k, each in enumerate(images)])

    def loss(theta: Tensor) -> Tensor:
        chosen = whole_below(torch.full((tasks, batch), len(x)), generator)
        return of_vector(theta, x[chosen], y[chosen])

    drawn = [
        normal(tasks, weight.numel(), generator=generator) * (weight.ndim > 1)
        / max(weight.shape[-1], 1) ** 0.5
        for weight in like.values()
    ]  # fmt: skip
    return loss, torch.cat(drawn, dim=1)
