"""An LSTM learns an update rule before the reader's eyes.

Part 3, "The LSTM optimizer", section "Watch it learn".
"""

import math
from functools import cache, partial

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib import lstm_optimizer
from meta_lib.figures import results as pictures
from meta_lib.lstm_optimizer import LSTMOptimizer
from meta_lib.moving import MovingFigure
from meta_lib.networks import unflatten
from meta_lib.rivals.baselines import BASELINES, descend, tune
from meta_lib.tasks.draws import placed, uniform
from meta_lib.tasks.optimizees import Optimizee, quadratics
from meta_lib.tasks.page_draws import PageGenerator
from meta_lib.torch_optimizer import Learned

TASKS, STEPS, UNSEEN, VALIDATION = 16, 100, 20, 40
RIVALS = ("SGD", "momentum", "Adam")
ARENAS = ("bowls", "tenfold", "valley", "ripples")


class LearnRule(MovingFigure):
    """An LSTM optimizer, meta-trained in the page, and its race against tuned rules.

    The training goes on until iteration `goal`; with `seed` 0 it is the same one everywhere, and
    `train` of this module repeats it in Python, as far as rounding allows. `arena` is what the
    race is run on. Where there is a kernel, `rule` is what the page has found when it rests.
    """

    parts = ("optimizers.js", "learning.js", "learn_lstm.js")
    shared = (
        "hidden", "truncation", "horizon", "beta", "iterations", "seed", "goal", "arena",
    )  # fmt: skip
    hidden = traitlets.Int(8, min=1, max=20).tag(sync=True)
    truncation = traitlets.Int(20, min=1, max=200).tag(sync=True)
    horizon = traitlets.Int(100, min=1, max=200).tag(sync=True)
    beta = traitlets.Float(0.02, min=0).tag(sync=True)
    iterations = traitlets.Int(500, min=1).tag(sync=True)
    seed = traitlets.Int(0, min=0).tag(sync=True)
    goal = traitlets.Int(0, min=0).tag(sync=True)
    arena = traitlets.Enum(ARENAS, "bowls").tag(sync=True)
    found = traitlets.Bytes(help="φ of the page, 64 bits a weight").tag(sync=True)

    @property
    def rule(self) -> LSTMOptimizer:
        """The rule that the page has found; one with random weights before."""
        rule = first_rule(self.hidden, PageGenerator(self.seed))
        if self.found:
            _set(rule, placed(torch.tensor(np.frombuffer(self.found, "<f8"))))
        return rule

    def still(self) -> Figure:
        """Return the race on unseen bowls, with the rule as it is."""
        bowls, theta = unseen()
        curves = {"learned": race(self.rule)}
        for name, rate in tuned().items():
            curves[name] = descend(partial(BASELINES[name], lr=rate), bowls, theta, STEPS).mean(1)
        return pictures.race({name: curve.tolist() for name, curve in curves.items()})


def first_rule(hidden: int, generator: PageGenerator) -> LSTMOptimizer:
    """Return a rule with random weights within ± 1 / √hidden, as the page draws them."""
    rule, most = LSTMOptimizer(hidden), 1 / math.sqrt(hidden)
    size = sum(weight.numel() for weight in rule.parameters())
    _set(rule, uniform(size, low=-most, high=most, generator=generator))
    return rule


def unseen() -> Optimizee:
    """Return the bowls of the race, which are never trained on, and their starts."""
    return quadratics(UNSEEN, PageGenerator(2**31))


@cache
def tuned() -> dict[str, float]:
    """Return the rivals' rates: each the best of 21 after 100 steps, on other bowls."""
    valid = quadratics(VALIDATION, PageGenerator(2**30))
    return {name: tune(BASELINES[name], *valid, STEPS) for name in RIVALS}


def race(rule: LSTMOptimizer, steps: int = STEPS) -> Tensor:
    """Return the rule's mean loss on the unseen bowls before each step and after the last."""
    bowls, theta = unseen()
    return descend(partial(Learned, rule=rule), bowls, theta, steps).mean(dim=1)


def train(
    hidden: int = 8,
    truncation: int = 20,
    horizon: int = 100,
    beta: float = 0.02,
    seed: int = 0,
    iterations: int = 500,
) -> tuple[LSTMOptimizer, list[float]]:
    """Return what the page's training with these settings finds, the rule, and the meta-losses.

    The weights, the bowls and the iterations are the page's, the gradients those of
    `meta_lib.lstm_optimizer` under torch; after some hundred iterations rounding has led the two
    apart. Raises as `lstm_optimizer.train` does.
    """
    generator = PageGenerator(seed)
    rule = first_rule(hidden, generator)
    sample = partial(quadratics, TASKS, generator)
    losses = lstm_optimizer.train(rule, sample, iterations, horizon, truncation, beta)
    return rule, losses


def _set(rule: LSTMOptimizer, weights: Tensor) -> None:
    rule.load_state_dict(unflatten(weights, dict(rule.named_parameters())))
