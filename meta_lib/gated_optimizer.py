"""The gated optimizer: a learned start and a learned rate and decay for each weight.

Ravi & Larochelle (2017), https://openreview.net/forum?id=rJY0-Kcll: the cell state of an LSTM is
the parameter vector itself, its gates are a learned rate and a learned decay, and its first value
is a learned initialisation. Explained in part 4, "The LSTM's update rule",
section "What the gates learn".

It is a rule as `lstm_optimizer` has it, and takes the preprocessing from there.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from meta_lib.lstm_optimizer import Step, preprocess, unroll
from meta_lib.machinery import checks
from meta_lib.machinery.calls import answering
from meta_lib.machinery.device import device
from meta_lib.machinery.runs import Run
from meta_lib.networks import (
    Loss,
    Parameters,
    flat_loss,
    flatten,
    forward,
    forward_one_by_one,
    parameters_of,
    unflatten,
)
from meta_lib.tasks.episodes import Episode
from meta_lib.training import first_lost, minimise


class GatedOptimizer(nn.Module):
    """Ravi & Larochelle's optimizer: c_t = f_t ⊙ c_{t-1} + i_t ⊙ c̃_t with c = θ and c̃ = -∇L.

    The input gate i_t is the learning rate and the forget gate f_t the decay, each a sigmoid of
    [features, θ_{t-1}, the gate's last value]. The features come from a plain LSTM that is given
    the preprocessed gradient and loss. The first cell state, `initialisation`, is learned too.
    The gates are computed in their own weights' precision, and θ keeps its own.
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
        """Return zeros for the hidden state, and the gates of a step that changes nothing.

        That is an input gate of 0 and a forget gate of 1. The paper leaves the gates' first values
        open; learned weights belong to those that they were learned with.
        """
        own = self.input_gate.weight.dtype
        zeros = theta.new_zeros(theta.numel(), self.hidden, dtype=own)
        shut, open_ = torch.zeros_like(theta, dtype=own), torch.ones_like(theta, dtype=own)
        return zeros, zeros, shut, open_

    def forward(
        self, theta: Tensor, gradient: Tensor, losses: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return the next θ and the next state (h, c, input gate, forget gate).

        Raises ValueError if `losses` is None.
        """
        if losses is None:
            raise ValueError("losses must be (tasks,) for a GatedOptimizer, but were None")
        h, c, input_gate, forget_gate = state
        losses = losses[:, None].expand_as(theta)
        seen = torch.cat([preprocess(gradient), preprocess(losses)], dim=-1)
        h, c = self.features(seen.reshape(-1, 4).to(h), (h, c))
        features = h.reshape(*theta.shape, self.hidden)

        def gate(layer: nn.Linear, last: Tensor) -> Tensor:
            inputs = torch.cat([features, theta[..., None].to(h), last[..., None]], dim=-1)
            return torch.sigmoid(layer(inputs)).squeeze(-1)

        input_gate = gate(self.input_gate, input_gate)
        forget_gate = gate(self.forget_gate, forget_gate)
        after = gated_update(theta, gradient, input_gate, forget_gate)
        return after.to(theta), (h, c, input_gate, forget_gate)


def gated_update(
    theta: Tensor, gradient: Tensor, input_gate: Tensor, forget_gate: Tensor
) -> Tensor:
    """Return f ⊙ θ - i ⊙ ∇L; with f = 1 and i = α it is gradient descent, θ - α ∇L."""
    return forget_gate * theta - input_gate * gradient


def adapt(
    optimizer: GatedOptimizer, loss: Loss, like: Parameters, episodes: Episode, steps: int
) -> Tensor:
    """Return θ (tasks, coordinates): the learned initialisation after `steps` gated updates.

    Each update sees the whole support set of its task; the episodes are stacked. `like` gives the
    names, the shapes and the precision of the model's weights. Raises as `unroll` does.
    """
    return _adaptation(optimizer, loss, like, episodes, steps)[-1].theta


def _adaptation(
    optimizer: GatedOptimizer, loss: Loss, like: Parameters, episodes: Episode, steps: int
) -> list[Step]:
    vector_loss, support = flat_loss(loss, like), (episodes.support_x, episodes.support_y)
    with torch.inference_mode(False):  # a slope cannot be taken through what that mode made
        x, y = (part.clone() if part.is_inference() else part for part in support)

    def support_losses(theta: Tensor) -> Tensor:
        return vector_loss(theta, x, y)

    start = optimizer.start(len(episodes.support_x)).to(flatten(like))
    return unroll(optimizer, support_losses, start, steps)


def train(
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

    With `one_by_one` no query knows of another (`networks.forward_one_by_one`). Dropout and the
    like rest meanwhile, and the network itself stays as it was, as in `maml.classify`. Raises as
    `unroll` does.
    """
    like = parameters_of(network)
    one_task = Episode(*(tensor[None] for tensor in episode))
    with torch.no_grad(), answering():
        theta = adapt(optimizer, loss, like, one_task, steps)[0]
        trained = unflatten(theta, like)
        if one_by_one:
            outputs = forward_one_by_one(network, trained, episode.support_x, episode.query_x)
        else:
            outputs = forward(network, trained, episode.query_x)
    return outputs.argmax(dim=1)
