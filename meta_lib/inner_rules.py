"""Inner rules: how θ moves, once its slope on the support set is known.

An inner rule is a function from (θ, slopes, state) to (θ', state'), with None for the state before
the first step. All of it can be differentiated, so MAML learns an initialisation for any rule:

    maml.train(network, loss, sample, 1000, alpha=0.01)                       descent
    maml.train(network, loss, sample, 1000, alpha=Momentum(0.01, mu=0.9))     with momentum
    maml.train(network, loss, sample, 1000, alpha=LearnedRule(optimizer))     a learned rule

A rule acts on each weight alone, so that one task and a stack of tasks look alike to it. Part 3,
"MAML", section "The relatives: variations of one core".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from meta_lib.lstm_optimizer import Rule
from meta_lib.machinery import checks
from meta_lib.machinery.calls import Parameters

Rates = float | Mapping[str, float | Tensor]
"""A learning rate α: one number for all weights, or a rate for each weight by name, a number or a
tensor of the weight's shape. A weight without a rate is not adapted."""

State = Any
"""What a rule remembers from step to step; None at first."""


class Slopes(dict[str, Tensor]):
    """∇L by name, for the weights that are adapted; `losses` is L at that place, () or (tasks,)."""

    losses: Tensor


InnerRule = Callable[[Parameters, Slopes, State], tuple[Parameters, State]]
"""From θ, its slopes and a state to θ' and the next state."""


@dataclass(frozen=True)
class Descent:
    """Gradient descent, θ' = θ - α ∇L."""

    alpha: Rates

    def __call__(
        self, theta: Parameters, slopes: Slopes, state: State = None
    ) -> tuple[Parameters, State]:
        """Return θ' and no state."""
        return theta | {n: theta[n] - _rate(self.alpha, n) * slopes[n] for n in slopes}, None


@dataclass(frozen=True)
class Stepwise:
    """Gradient descent with rates for each step, of which the last serve all steps after it too.

    So MAML++ has it (Antoniou, Edwards & Storkey 2019, https://arxiv.org/abs/1810.09502).
    """

    alphas: Sequence[Rates]

    def __call__(
        self, theta: Parameters, slopes: Slopes, state: State = None
    ) -> tuple[Parameters, State]:
        """Return θ' and the number of steps that have been taken."""
        step = state or 0
        alpha = self.alphas[min(step, len(self.alphas) - 1)]
        return Descent(alpha)(theta, slopes)[0], step + 1


@dataclass(frozen=True)
class Momentum:
    """Descent with momentum, v' = μ v + ∇L and θ' = θ - α v', as torch.optim.SGD has it."""

    alpha: Rates
    mu: float = 0.9

    def __call__(
        self, theta: Parameters, slopes: Slopes, state: State = None
    ) -> tuple[Parameters, State]:
        """Return θ' and the velocities v' by name."""
        v = {n: self.mu * state[n] + slopes[n] if state else slopes[n] for n in slopes}
        return theta | {n: theta[n] - _rate(self.alpha, n) * v[n] for n in v}, v


@dataclass(frozen=True)
class Adam:
    """Adam, θ' = θ - α m̂ / (√v̂ + ε), with the means m of the slopes and v of their squares.

    Kingma & Ba (2015), https://arxiv.org/abs/1412.6980. Where a slope has always been 0, √v̂ has no
    slope of its own; there it counts as 0.
    """

    alpha: Rates
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __call__(
        self, theta: Parameters, slopes: Slopes, state: State = None
    ) -> tuple[Parameters, State]:
        """Return θ' and the number of steps with the means m and v by name."""
        steps, m, v = state or (0, dict.fromkeys(slopes, 0.0), dict.fromkeys(slopes, 0.0))
        steps, (b1, b2) = steps + 1, self.betas
        m = {n: b1 * m[n] + (1 - b1) * slopes[n] for n in slopes}
        v = {n: b2 * v[n] + (1 - b2) * slopes[n].square() for n in slopes}
        moved = {
            n: theta[n]
            - _rate(self.alpha, n) * (m[n] / (1 - b1**steps))
            / (_root(v[n] / (1 - b2**steps)) + self.epsilon)
            for n in slopes
        }  # fmt: skip
        return theta | moved, (steps, m, v)


@dataclass(frozen=True)
class LearnedRule:
    """A learned optimizer of part 3, "The LSTM optimizer", as an inner rule."""

    optimizer: Rule

    def __call__(
        self, theta: Parameters, slopes: Slopes, state: State = None
    ) -> tuple[Parameters, State]:
        """Return θ' and the optimizer's states by weight."""
        moved, states, losses = {}, {}, slopes.losses.detach().reshape(-1)
        for name, slope in slopes.items():
            flat = theta[name].reshape(len(losses), -1)
            before = self.optimizer.initial_state(flat) if state is None else state[name]
            flat, states[name] = self.optimizer(flat, slope.reshape(flat.shape), losses, before)
            moved[name] = flat.reshape(slope.shape)
        return theta | moved, states


def rule_of(alpha: Rates | InnerRule) -> InnerRule:
    """Return the inner rule: gradient descent, if `alpha` is one rate or rates by name."""
    return alpha if callable(alpha) else Descent(alpha)


def rates_of(alpha: Rates | InnerRule) -> Mapping[str, float | Tensor] | None:
    """Return the rates by name that a rule works with, or None if it treats all weights alike."""
    rates = _steps(alpha)[0]
    return rates if isinstance(rates, Mapping) else None


def learned_in(alpha: Rates | InnerRule) -> dict[str, Tensor]:
    """Return what is learned beside φ, by name: rates and weights that require a gradient."""
    steps = _steps(alpha)
    found: dict[str, Any] = {
        f"alpha.{f'{step}.' if isinstance(alpha, Stepwise) else ''}{name}": rate
        for step, rates in enumerate(steps)
        for name, rate in (rates.items() if isinstance(rates, Mapping) else ())
    }
    optimizer = getattr(alpha, "optimizer", alpha)
    if isinstance(optimizer, nn.Module):
        found |= {f"rule.{name}": weight for name, weight in optimizer.named_parameters()}
    return {n: part for n, part in found.items() if isinstance(part, Tensor) and part.requires_grad}


def check_rates(phi: Parameters, alpha: Rates | InnerRule) -> None:
    """Raise TypeError or ValueError unless each rate is positive and belongs to a weight of φ."""
    for rates in _steps(alpha):
        if rates in ({}, None):
            raise ValueError("alpha must give a rate to at least one weight, but was empty")
        for name, rate in (rates if isinstance(rates, Mapping) else {"": rates}).items():
            if name and name not in phi:
                raise ValueError(
                    f"alpha must name weights among {', '.join(phi)}, but named {name!r}"
                )
            if not isinstance(rate, Tensor):
                checks.positive(f"alpha[{name!r}]" if name else "alpha", rate)


def _steps(alpha: Rates | InnerRule) -> Sequence[Any]:
    """Return the rates of a rule, step by step; a rule without rates has 1 for all."""
    if isinstance(alpha, Stepwise):
        return alpha.alphas or [None]
    return [getattr(alpha, "alpha", 1.0) if callable(alpha) else alpha]


def _rate(alpha: Rates, name: str) -> float | Tensor:
    return alpha[name] if isinstance(alpha, Mapping) else alpha


def _root(v: Tensor) -> Tensor:
    nought = v == 0
    return torch.where(nought, 1.0, v).sqrt() * ~nought
