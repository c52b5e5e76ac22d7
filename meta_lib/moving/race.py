"""A race of optimizers, the learned one among them: part 3, "The LSTM optimizer"."""

from collections.abc import Callable
from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib import networks
from meta_lib.figures import lstm_optimizer
from meta_lib.lstm_optimizer import LSTMOptimizer
from meta_lib.moving import MovingFigure, floats
from meta_lib.tasks.digits import digits


def bowl(theta: Tensor) -> Tensor:
    """Return ‖Wθ - y‖², a quadratic of the kind that the learned optimizer was trained on."""
    u = 1.5 * theta[:, 0] - 0.5 * theta[:, 1] - 1
    v = 0.4 * theta[:, 0] + 0.8 * theta[:, 1] + 0.6
    return u**2 + v**2


def valley(theta: Tensor) -> Tensor:
    """Return a loss that is steep across a bent line and nearly flat along it."""
    u, v = theta[:, 0] - 1, theta[:, 1] + 1 - theta[:, 0] ** 2 / 2
    return u**2 / 2 + 5 * v**2


def ripples(theta: Tensor) -> Tensor:
    """Return a wide bowl with ripples, and so with many minima."""
    return (theta**2 / 2 + 0.6 * (1 - torch.cos(3 * theta))).sum(dim=1)


SURFACES: dict[str, Callable[[Tensor], Tensor]] = {
    "bowl": bowl, "valley": valley, "ripples": ripples,
}  # fmt: skip
"""Losses of θ (tasks, 2), each (tasks,), by name."""

OF_EACH_DIGIT = 20


class Race(MovingFigure):
    """A learned optimizer and its rivals from one start: paths, losses, and the LSTM's gates.

    `theta` is the start on a surface. On the digits `sizes` are the root mean squares of the two
    layers' first weights. A rival whose rate is 0 does not race. The gates are those of one
    `coordinate` (0 or 1) in one `layer` (1 or 2) of the LSTM, at `step`.
    """

    parts = ("optimizers.js",)
    shared = (
        "surface", "theta", "sizes", "alpha_sgd", "alpha_momentum", "alpha_rmsprop", "alpha_adam",
        "step", "coordinate", "layer",
    )  # fmt: skip
    surface = traitlets.Enum([*SURFACES, "digits"], "bowl").tag(sync=True)
    theta = traitlets.List(traitlets.Float(), [-2.0, 1.6], minlen=2, maxlen=2).tag(sync=True)
    sizes = traitlets.List(traitlets.Float(), [0.07, 0.13], minlen=2, maxlen=2).tag(sync=True)
    alpha_sgd = traitlets.Float(0.0316, min=0).tag(sync=True)
    alpha_momentum = traitlets.Float(0.0316, min=0).tag(sync=True)
    alpha_rmsprop = traitlets.Float(0.0562, min=0).tag(sync=True)
    alpha_adam = traitlets.Float(0.316, min=0).tag(sync=True)
    step = traitlets.Int(100, min=0, max=100).tag(sync=True)
    coordinate = traitlets.Enum([0, 1], 0).tag(sync=True)
    layer = traitlets.Enum([1, 2], 1).tag(sync=True)
    phi = traitlets.Bytes().tag(sync=True)
    hidden = traitlets.Int(20).tag(sync=True)
    scale = traitlets.Float(0.1).tag(sync=True)
    images = traitlets.Bytes().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(self, rule: LSTMOptimizer, **traits: Any):
        """Take the trained rule into the race, with 200 digits and a network to read them."""
        self.rule = rule
        inks = torch.cat([group[:OF_EACH_DIGIT].flatten() for group in digits().values()])
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = networks.mlp(64, 20, 10)
        super().__init__(
            phi=floats(networks.flatten(dict(rule.named_parameters()))),
            hidden=rule.hidden,
            scale=rule.scale,
            images=(16 * inks).round().byte().cpu().numpy().tobytes(),
            weights=floats(networks.flatten(networks.parameters_of(network))),
            **traits,
        )

    def still(self) -> Figure:
        """Return the paths and the losses on the surface that the race starts with."""
        rates = {
            "SGD": self.alpha_sgd, "momentum": self.alpha_momentum,
            "RMSprop": self.alpha_rmsprop, "Adam": self.alpha_adam,
        }  # fmt: skip
        rates = {name: rate for name, rate in rates.items() if rate}
        surface = self.surface if self.surface in SURFACES else "bowl"
        theta = torch.tensor([self.theta])
        return lstm_optimizer.paths(self.rule, SURFACES[surface], surface, theta, rates, self.step)
