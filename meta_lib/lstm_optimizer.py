"""The LSTM optimizer: a learned update rule.

Two learned optimizers. `LSTMOptimizer` is Andrychowicz et al.'s (2016),
https://arxiv.org/abs/1606.04474: a small LSTM that looks at one coordinate's gradient and says how
to change that coordinate. `GatedOptimizer` is Ravi & Larochelle's (2017),
https://openreview.net/forum?id=rJY0-Kcll: the cell state of an LSTM is the parameter vector
itself, its gates are a learned rate and a learned decay, and its first value is a learned
initialisation. Explained in part 3, "The LSTM optimizer", and part 4, "The LSTM's update rule".

Both act on each coordinate alike, so θ may have any shape; here (tasks, coordinates). A loss is a
function from θ to one loss for each task, (tasks,).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from meta_lib import checks
from meta_lib.device import device
from meta_lib.networks import (
    Loss,
    Parameters,
    flat_loss,
    forward,
    forward_one_by_one,
    parameters_of,
    unflatten,
)
from meta_lib.runs import Run
from meta_lib.tasks.episodes import Episode
from meta_lib.training import first_lost, minimise

TaskLosses = Callable[[Tensor], Tensor]
"""From θ (tasks, coordinates) to the loss of each task (tasks,)."""


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


class LSTMOptimizer(nn.Module):
    """Andrychowicz et al.'s optimizer: two LSTM layers, shared by all coordinates.

    θ_{t+1} = θ_t + g_t, where g_t and the next hidden state come from the LSTM, which is given
    the preprocessed gradient. Each coordinate has a hidden state of its own.
    """

    State = tuple[Tensor, Tensor, Tensor, Tensor]

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
        zeros = theta.new_zeros(theta.numel(), self.hidden)
        return zeros, zeros, zeros, zeros

    def forward(
        self, theta: Tensor, gradient: Tensor, losses: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Return the next θ and the next state; the losses are not looked at."""
        h1, c1, h2, c2 = state
        h1, c1 = self.layer_1(preprocess(gradient).reshape(-1, 2), (h1, c1))
        h2, c2 = self.layer_2(h1, (h2, c2))
        update = self.scale * self.output(h2).view_as(theta)
        return theta + update, (h1, c1, h2, c2)


class GatedOptimizer(nn.Module):
    """Ravi & Larochelle's optimizer: c_t = f_t ⊙ c_{t-1} + i_t ⊙ c̃_t with c = θ and c̃ = -∇L.

    The input gate i_t is the learning rate and the forget gate f_t the decay, each a sigmoid of
    [features, θ_{t-1}, the gate's last value]. The features come from a plain LSTM that is given
    the preprocessed gradient and loss. The first cell state, `initialisation`, is learned too.
    """

    State = tuple[Tensor, Tensor, Tensor, Tensor]

    def __init__(self, initialisation: Tensor, hidden: int = 20):
        """Make the optimizer; a model's flat weights start at `initialisation` (coordinates,).

        The biases start so that the first steps are those of slow gradient descent: the forget
        gate nearly open (f ≈ 0.99), the input gate nearly closed (i ≈ 0.01).

        Raises ValueError unless `initialisation` is a vector, or if `hidden` is below 1.
        """
        super().__init__()
        checks.whole_number("hidden", hidden)
        checks.shape("initialisation", initialisation, "(coordinates,)", initialisation.ndim == 1)
        self.hidden = hidden
        self.initialisation = nn.Parameter(initialisation.detach().clone())
        self.features = nn.LSTMCell(4, hidden)
        self.input_gate = nn.Linear(hidden + 2, 1)
        self.forget_gate = nn.Linear(hidden + 2, 1)
        for gate, bias in ((self.input_gate, -4.5), (self.forget_gate, 4.5)):
            nn.init.uniform_(gate.weight, -0.01, 0.01)
            nn.init.constant_(gate.bias, bias)
        self.to(device())

    def start(self, tasks: int) -> Tensor:
        """Return the learned initialisation for each of `tasks` tasks, (tasks, coordinates)."""
        return self.initialisation.expand(tasks, -1)

    def initial_state(self, theta: Tensor) -> State:
        """Return zeros for the hidden state, and gates at their biases' values."""
        zeros = theta.new_zeros(theta.numel(), self.hidden)
        shut, open_ = torch.zeros_like(theta), torch.ones_like(theta)
        return zeros, zeros, shut, open_

    def forward(
        self, theta: Tensor, gradient: Tensor, losses: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Return the next θ and the next state (h, c, input gate, forget gate)."""
        h, c, input_gate, forget_gate = state
        losses = losses[:, None].expand_as(theta)
        seen = torch.cat([preprocess(gradient), preprocess(losses)], dim=-1)
        h, c = self.features(seen.reshape(-1, 4), (h, c))
        features = h.reshape(*theta.shape, self.hidden)

        def gate(layer: nn.Linear, last: Tensor) -> Tensor:
            inputs = torch.cat([features, theta[..., None], last[..., None]], dim=-1)
            return torch.sigmoid(layer(inputs)).squeeze(-1)

        input_gate = gate(self.input_gate, input_gate)
        forget_gate = gate(self.forget_gate, forget_gate)
        theta = gated_update(theta, gradient, input_gate, forget_gate)
        return theta, (h, c, input_gate, forget_gate)


def gated_update(
    theta: Tensor, gradient: Tensor, input_gate: Tensor, forget_gate: Tensor
) -> Tensor:
    """Return f ⊙ θ - i ⊙ ∇L; with f = 1 and i = α it is gradient descent, θ - α ∇L."""
    return forget_gate * theta - input_gate * gradient


Rule = LSTMOptimizer | GatedOptimizer
"""A learned update rule: from θ, its gradient, its losses and a state to the next θ and state."""


class Step(NamedTuple):
    """One moment of an optimisation: θ (tasks, coordinates), its losses (tasks,), the state."""

    theta: Tensor
    losses: Tensor
    state: tuple[Tensor, ...]


def unroll(
    optimizer: Rule,
    loss: TaskLosses,
    theta: Tensor,
    steps: int,
    state: tuple[Tensor, ...] | None = None,
) -> list[Step]:
    """Let the optimizer optimise θ for `steps` steps; return the steps + 1 moments, start first.

    `loss` may draw a new mini-batch each time it is called. The gradient that the optimizer is
    given counts as a constant, as in both papers: second derivatives of the loss are dropped. All
    else stays differentiable with respect to the optimizer's weights.

    Raises TypeError or ValueError unless `steps` is at least 1 and θ is (tasks, coordinates).
    """
    checks.whole_number("steps", steps)
    checks.shape("theta", theta, "(tasks, coordinates)", theta.ndim == 2)
    theta = theta if theta.requires_grad else theta.detach().requires_grad_()
    state = optimizer.initial_state(theta) if state is None else state
    moments = []
    for _ in range(steps):
        losses = loss(theta)
        moments.append(Step(theta, losses, state))
        (gradient,) = torch.autograd.grad(losses.sum(), theta, retain_graph=True)
        theta, state = optimizer(theta, gradient, losses.detach(), state)
    return [*moments, Step(theta, loss(theta), state)]


class Learned(torch.optim.Optimizer):
    """A learned rule in the place of torch.optim.Adam, for the parameters of any nn.Module.

    `Learned(network.parameters(), rule)` with a trained `LSTMOptimizer` or `GatedOptimizer` is used
    as torch's own optimizers are: zero_grad, backward, step. The rule's weights are not changed.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], rule: Rule):
        """Make an optimizer for `params` (as torch.optim takes them) that follows `rule`."""
        super().__init__(params, {})
        self.rule = rule

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch takes a loss for a float
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """Change each parameter that has a gradient by one step of the rule.

        `closure` computes the gradients anew and returns the loss, which a `GatedOptimizer` looks
        at: one number, or one for each task of a stack of parameters (tasks, coordinates).

        Raises ValueError if the rule is a GatedOptimizer and there is no closure.
        """
        losses = None
        if closure is not None:
            with torch.enable_grad():
                losses = closure().detach()
        elif isinstance(self.rule, GatedOptimizer):
            raise ValueError("closure must return the loss for a GatedOptimizer, but was None")
        tasks = 1 if losses is None else losses.numel()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                theta = parameter.view(tasks, -1)
                gradient = parameter.grad.view(tasks, -1)
                state = self.state[parameter].get("rule") or self.rule.initial_state(theta)
                given = theta.new_zeros(tasks) if losses is None else losses.view(tasks)
                moved, self.state[parameter]["rule"] = self.rule(theta, gradient, given, state)
                parameter.copy_(moved.view_as(parameter))
        return losses


def train(
    optimizer: LSTMOptimizer,
    sample: Callable[[], tuple[TaskLosses, Tensor]],
    iterations: int,
    horizon: int = 100,
    truncation: int = 20,
    beta: float = 1e-3,
    run: Run | None = None,
) -> list[float]:
    """Meta-train `LSTMOptimizer` in place by truncated back-propagation; return the meta-losses.

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


def _segments(
    optimizer: LSTMOptimizer,
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


def adapt(
    optimizer: GatedOptimizer, loss: Loss, like: Parameters, episodes: Episode, steps: int
) -> Tensor:
    """Return θ (tasks, coordinates): the learned initialisation after `steps` gated updates.

    Each update sees the whole support set of its task; the episodes are stacked.
    """
    return _adaptation(optimizer, loss, like, episodes, steps)[-1].theta


def _adaptation(
    optimizer: GatedOptimizer, loss: Loss, like: Parameters, episodes: Episode, steps: int
) -> list[Step]:
    vector_loss = flat_loss(loss, like)

    def support_losses(theta: Tensor) -> Tensor:
        return vector_loss(theta, episodes.support_x, episodes.support_y)

    return unroll(optimizer, support_losses, optimizer.start(len(episodes.support_x)), steps)


def train_gated(
    optimizer: GatedOptimizer,
    loss: Loss,
    like: Parameters,
    sample: Callable[[], Episode],
    iterations: int,
    steps: int,
    beta: float = 1e-3,
    clip: float = 0.25,
    run: Run | None = None,
) -> list[float]:
    """Meta-train `GatedOptimizer` in place; the meta-loss is the query loss after `steps` updates.

    `sample` returns a stack of episodes; `like` gives the names and shapes of the model's
    weights. Gradients are clipped, as in the paper. `run` says where checkpoints and the log go
    (`runs`).

    Raises as `unroll` and `training.minimise` do. When a loss is not finite the error says in
    which task and after how many updates.
    """
    moments: list[Step] = []

    def query_loss() -> Tensor:
        episodes = sample()
        moments[:] = _adaptation(optimizer, loss, like, episodes, steps)
        theta = moments[-1].theta
        return flat_loss(loss, like)(theta, episodes.query_x, episodes.query_y).mean()

    return minimise(
        optimizer.named_parameters(),
        query_loss,
        iterations,
        beta,
        clip=clip,
        decay=True,
        label="gated optimizer",
        run=run,
        diagnose=lambda: f"{first_lost(torch.stack([m.losses for m in moments]))}.",
    )


def classify(
    optimizer: GatedOptimizer,
    network: nn.Module,
    loss: Loss,
    episode: Episode,
    steps: int,
    one_by_one: bool = False,
) -> Tensor:
    """Train the network's weights on one support set with the optimizer; return query labels.

    With `one_by_one` no query knows of another (`networks.forward_one_by_one`).
    """
    like = parameters_of(network)
    one_task = Episode(*(tensor[None] for tensor in episode))
    theta = adapt(optimizer, loss, like, one_task, steps)[0].detach()
    trained = unflatten(theta, like)
    with torch.no_grad():
        if one_by_one:
            outputs = forward_one_by_one(network, trained, episode.support_x, episode.query_x)
        else:
            outputs = forward(network, trained, episode.query_x)
    return outputs.argmax(dim=1)
