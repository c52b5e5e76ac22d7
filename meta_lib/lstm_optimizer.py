"""The LSTM optimizer: a learned update rule.

Andrychowicz et al. (2016), https://arxiv.org/abs/1606.04474: a small LSTM that looks at one
coordinate's gradient and says how to change that coordinate. Explained in part 3, "The LSTM
optimizer", and part 4, "The LSTM's update rule". Beside it, what serves any learned rule: `Rule`
says what one is, and `unroll` lets it optimise. Ravi & Larochelle's rule is `gated_optimizer`.

A rule acts on each coordinate alike, so θ may have any shape; here (tasks, coordinates). A loss is
a function from θ to one loss for each task, (tasks,).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from meta_lib import results
from meta_lib.machinery import checks
from meta_lib.machinery.device import device
from meta_lib.machinery.runs import Run, read_model
from meta_lib.training import minimise

TaskLosses = Callable[[Tensor], Tensor]
"""From θ (tasks, coordinates) to the loss of each task (tasks,)."""


class Rule(Protocol):
    """A learned update rule: from θ, its gradient, its losses and a state to the next θ and state.

    θ and its gradient are (tasks, coordinates), the losses (tasks,), or None where they are not
    known. The state may be anything.
    """

    def initial_state(self, theta: Tensor) -> Any:
        """Return the state before the first step from θ."""

    def __call__(
        self, theta: Tensor, gradient: Tensor, losses: Tensor | None, state: Any
    ) -> tuple[Tensor, Any]:
        """Return the next θ and the next state."""


def preprocess(values: Tensor, p: float = 10.0) -> Tensor:
    """Return the size and the sign of numbers of very different sizes, both of order 1: (…, 2).

    (log|g| / p, sign g) where |g| ≥ e⁻ᵖ, else (-1, eᵖ g). Andrychowicz et al. (2016), appendix A.

    Raises TypeError or ValueError unless p is positive.
    """
    checks.positive("p", p)
    large = values.abs() >= math.exp(-p)
    size = torch.where(large, values.abs().clamp(min=math.exp(-p)).log() / p, -1.0)
    sign = torch.where(large, values.sign(), math.exp(p) * values)
    return torch.stack([size, sign], dim=-1)


State = tuple[Tensor, Tensor, Tensor, Tensor]
"""Hidden state and cell state of the two layers of an LSTM, each (coordinates, hidden)."""


class LSTMOptimizer(nn.Module):
    """Andrychowicz et al.'s optimizer: two LSTM layers, shared by all coordinates.

    θ_{t+1} = θ_t + g_t, where g_t and the next hidden state come from the LSTM, which is given
    the preprocessed gradient. Each coordinate has a hidden state of its own. The LSTM computes in
    its own weights' precision, and θ keeps its own.
    """

    def __init__(self, hidden: int = 20, scale: float = 0.1):
        """Make the optimizer; `scale` multiplies its output, so that it starts with small steps.

        Raises TypeError or ValueError unless `hidden` is at least 1 and `scale` positive.
        """
        super().__init__()
        checks.whole_number("hidden", hidden)
        checks.positive("scale", scale)
        self.hidden, self.scale = hidden, scale
        self.layer_1 = nn.LSTMCell(2, hidden)
        self.layer_2 = nn.LSTMCell(hidden, hidden)
        self.output = nn.Linear(hidden, 1)
        self.to(device())

    def initial_state(self, theta: Tensor) -> State:
        """Return a hidden state of zeros for each coordinate of θ."""
        zeros = theta.new_zeros(theta.numel(), self.hidden, dtype=self.output.weight.dtype)
        return zeros, zeros, zeros, zeros

    def forward(
        self, theta: Tensor, gradient: Tensor, losses: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return the next θ and the next state; the losses are not looked at."""
        h1, c1, h2, c2 = state
        h1, c1 = self.layer_1(preprocess(gradient).reshape(-1, 2).to(h1), (h1, c1))
        h2, c2 = self.layer_2(h1, (h2, c2))
        update = self.scale * self.output(h2).view_as(theta)
        return (theta + update).to(theta), (h1, c1, h2, c2)


class SideBySide(nn.Module):
    """Optimizers of one shape as one that has the tasks of all: what takes time is taken once.

    The first tasks are the first one's, and so on, the same number for each. None learns anything
    of another. `layer_1_weight_ih` holds that weight of all, (optimizers, …), and so on.
    """

    output_weight: nn.Parameter

    def __init__(self, optimizers: Sequence[LSTMOptimizer]):
        """Begin with copies of the optimizers' weights."""
        super().__init__()
        self.hidden, self.scale = optimizers[0].hidden, optimizers[0].scale
        named = [dict(each.named_parameters()) for each in optimizers]
        for name in named[0]:
            stacked = torch.stack([own[name].detach() for own in named])
            self.register_parameter(name.replace(".", "_"), nn.Parameter(stacked))

    def apart(self) -> list[LSTMOptimizer]:
        """Return each optimizer by itself, with a copy of its weights."""
        singles = [LSTMOptimizer(self.hidden, self.scale) for _ in self.output_weight]
        for number, single in enumerate(singles):
            own = {name: self.get_parameter(name.replace(".", "_"))[number].detach()
                   for name in single.state_dict()}  # fmt: skip
            single.load_state_dict(own)
        return singles

    def initial_state(self, theta: Tensor) -> State:
        """Return a hidden state of zeros for each coordinate of θ, (optimizers, …, hidden)."""
        zeros = theta.new_zeros(theta.numel(), self.hidden, dtype=self.output_weight.dtype)
        zeros = self._dealt(zeros)
        return zeros, zeros, zeros, zeros

    def forward(
        self, theta: Tensor, gradient: Tensor, losses: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return what `LSTMOptimizer.forward` does, each optimizer for its own tasks."""

        def linear(layer: str, given: Tensor, kind: str = "") -> Tensor:
            weight, bias = (
                self.get_parameter(f"{layer}_{part}{kind}") for part in ("weight", "bias")
            )
            return torch.baddbmm(bias.unsqueeze(1), given, weight.mT)

        def cell(layer: str, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            gates = linear(layer, x, "_ih") + linear(layer, h, "_hh")
            i, f, candidate, o = gates.chunk(4, dim=-1)
            c = f.sigmoid() * c + i.sigmoid() * candidate.tanh()
            return o.sigmoid() * c.tanh(), c

        h1, c1, h2, c2 = state
        h1, c1 = cell("layer_1", self._dealt(preprocess(gradient).reshape(-1, 2)).to(h1), h1, c1)
        h2, c2 = cell("layer_2", h1, h2, c2)
        update = self.scale * linear("output", h2).view_as(theta)
        return (theta + update).to(theta), (h1, c1, h2, c2)

    def _dealt(self, given: Tensor) -> Tensor:
        return given.unflatten(0, (len(self.output_weight), -1))


class Step(NamedTuple):
    """One moment of an optimisation: θ (tasks, coordinates), its losses (tasks,), the state."""

    theta: Tensor
    losses: Tensor
    state: Any


def unroll(
    optimizer: Rule, loss: TaskLosses, theta: Tensor, steps: int, state: Any = None
) -> list[Step]:
    """Let the optimizer optimise θ for `steps` steps; return the steps + 1 moments, start first.

    `loss` may draw a new mini-batch each time it is called. The gradient that the optimizer is
    given counts as a constant, as in both papers: second derivatives of the loss are dropped. All
    else stays differentiable with respect to the optimizer's weights; under `torch.no_grad()` or
    `torch.inference_mode()` nothing is, and no step's graph is kept.

    Raises TypeError or ValueError unless `steps` is at least 1, θ is (tasks, coordinates) and the
    loss (tasks,).
    """
    checks.whole_number("steps", steps)
    checks.shape("theta", theta, "(tasks, coordinates)", theta.ndim == 2)
    state = optimizer.initial_state(theta) if state is None else state
    learning, moments = torch.is_grad_enabled(), []
    for _ in range(steps):
        with torch.inference_mode(False), torch.enable_grad():
            tracked = learning and theta.requires_grad
            at = theta if tracked else theta.detach().clone().requires_grad_()
            losses = loss(at)
            checks.shape("loss(theta)", losses, f"({len(at)},)", losses.shape == at.shape[:1])
            (gradient,) = torch.autograd.grad(losses.sum(), at, retain_graph=learning)
        theta, losses = (at, losses) if learning else (theta, losses.detach())
        moments.append(Step(theta, losses, state))
        theta, state = optimizer(theta, gradient, losses.detach(), state)
    return [*moments, Step(theta, loss(theta), state)]


def train(
    optimizer: LSTMOptimizer | SideBySide,
    sample: Callable[[], tuple[TaskLosses, Tensor]],
    iterations: int,
    horizon: int = 100,
    truncation: int = 20,
    beta: float = 1e-3,
    run: Run | None = None,
) -> list[float]:
    """Meta-train the optimizer in place by truncated back-propagation; return the meta-losses.

    `sample` returns fresh tasks: their loss and a start θ (tasks, coordinates). Each task is
    optimised for `horizon` steps. Every `truncation` of them the mean loss over those steps is
    one iteration's meta-loss; then the gradient is cut and the optimisation goes on.
    `run` says where checkpoints and the log go (`runs`); they fall only where fresh tasks begin.

    Raises TypeError or ValueError unless `truncation` divides `horizon`; else as
    `training.minimise` does.
    """
    checks.whole_number("truncation", truncation)
    checks.whole_number("horizon", horizon, at_least=truncation)
    if horizon % truncation:
        raise ValueError(f"truncation must divide horizon, {horizon}, but was {truncation}")
    segments = _segments(optimizer, sample, horizon, truncation)
    return minimise(
        optimizer.named_parameters(),
        lambda: next(segments),
        iterations,
        beta,
        decay=True,
        label="LSTM optimizer",
        run=run,
        block=horizon // truncation,
    )


def recorded(name: str) -> list[LSTMOptimizer]:
    """Return the optimizers that a recorded run of `results/` has trained side by side.

    Raises FileNotFoundError if there is no such run.
    """
    tensors = read_model(results.folder() / name).tensors
    count, _, hidden = tensors["output_weight"].shape
    together = SideBySide([LSTMOptimizer(hidden) for _ in range(count)])
    together.load_state_dict(tensors)
    return together.apart()


def _segments(
    optimizer: LSTMOptimizer | SideBySide,
    sample: Callable[[], tuple[TaskLosses, Tensor]],
    horizon: int,
    truncation: int,
) -> Iterator[Tensor]:
    while True:
        loss, theta = sample()
        state = None
        for _ in range(horizon // truncation):
            moments = unroll(optimizer, loss, theta, truncation, state)
            yield torch.stack([moment.losses for moment in moments[1:]]).mean()
            theta = moments[-1].theta.detach()
            state = tuple(part.detach() for part in moments[-1].state)
