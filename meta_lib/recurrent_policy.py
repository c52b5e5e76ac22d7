"""A recurrent policy: a learned way to explore.

A small recurrent network sees what it did last, what that paid, and where it stands, if there is
something to see. It is meta-trained by reinforcement learning over many tasks; in a new one its
weights stay as they are, and its memory does the learning. Explained in part 2, "Meta-learning and
reinforcement learning". Duan et al. (2016), https://arxiv.org/abs/1611.02779; Wang et al. (2016),
https://arxiv.org/abs/1611.05763.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib import results
from meta_lib.machinery import checks
from meta_lib.machinery.device import device
from meta_lib.machinery.runs import Run, read_model
from meta_lib.tasks.draws import uniform
from meta_lib.training import minimise


class World(Protocol):
    """Many tasks in the middle of being acted in, as `tasks.bandits.Bandits`, `tasks.grids.Grids`.

    `seen` is what can be seen of each one's state now, (tasks, observed). `act` takes an action for
    each task, (tasks,), and returns the rewards and the gains, both (tasks,). A gain is what the
    training counts: the reward, or what it is on average.
    """

    @property
    def seen(self) -> Tensor:
        """Return what is seen now, (tasks, observed)."""

    def act(self, action: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Act in each task; return the rewards and the gains, (tasks,)."""


class RecurrentPolicy(nn.Module):
    """A GRU that goes from what it sees and its memory to the chances of the next action."""

    def __init__(self, actions: int, hidden: int = 48, observed: int = 0):
        """Make a policy that chooses among `actions` and sees `observed` numbers of the state.

        Raises TypeError or ValueError unless `actions` is at least 2, `hidden` at least 1 and
        `observed` at least 0.
        """
        super().__init__()
        checks.whole_number("actions", actions, at_least=2)
        checks.whole_number("hidden", hidden)
        checks.whole_number("observed", observed, at_least=0)
        self.actions, self.hidden, self.observed = actions, hidden, observed
        self.memory = nn.GRUCell(observed + actions + 1, hidden)
        self.output = nn.Linear(hidden, actions)
        self.to(device())

    def forward(self, seen: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-chances of the actions (tasks, actions), and the memory (tasks, hidden).

        `seen` is (tasks, observed + actions + 1): what is seen of the state, the last action as
        one-hot vector, its reward.
        """
        return decide(dict(self.named_parameters()), seen, memory)


def decide(weights: dict[str, Tensor], seen: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-chances and memory of a policy with these weights, `RecurrentPolicy.forward`.

    All may have a further dimension in front, for several policies at once.
    """

    def linear(layer: str, given: Tensor, kind: str = "") -> Tensor:
        weight, bias = weights[f"{layer}.weight{kind}"], weights[f"{layer}.bias{kind}"]
        return given @ weight.mT + bias.unsqueeze(-2)

    x, h = linear("memory", seen, "_ih"), linear("memory", memory, "_hh")
    (x_r, x_z, x_n), (h_r, h_z, h_n) = x.chunk(3, dim=-1), h.chunk(3, dim=-1)
    kept = torch.sigmoid(x_z + h_z)
    memory = torch.lerp(torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n), memory, kept)
    return F.log_softmax(linear("output", memory), dim=-1), memory


class Played(NamedTuple):
    """What happened: actions, rewards and gains (tasks, rounds), log-chances (…, actions)."""

    actions: Tensor
    rewards: Tensor
    gains: Tensor
    log_chances: Tensor


class SideBySide:
    """Policies of one shape as one that has the tasks of all: what takes time is taken once.

    The first tasks are the first policy's, and so on, the same number for each.
    """

    def __init__(self, policies: Sequence[RecurrentPolicy]):
        like, named = policies[0], [dict(policy.named_parameters()) for policy in policies]
        self.actions, self.hidden, self.observed = like.actions, like.hidden, like.observed
        self.weights = {name: torch.stack([own[name] for own in named]) for name in named[0]}
        self.policies = len(policies)

    def __call__(self, seen: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `RecurrentPolicy.forward` does, each policy for its own tasks."""
        dealt = (given.unflatten(0, (self.policies, -1)) for given in (seen, memory))
        log_chances, memory = decide(self.weights, *dealt)
        return log_chances.flatten(0, 1), memory.flatten(0, 1)


def play(
    policy: RecurrentPolicy | SideBySide, world: World, rounds: int, generator: Generator
) -> Played:
    """Let the policy act in each task for `rounds` rounds from an empty memory.

    Raises TypeError or ValueError unless `rounds` is at least 1 and the world shows what the policy
    is made for.
    """
    checks.whole_number("rounds", rounds)
    here = world.seen
    checks.shape("seen", here, f"(tasks, {policy.observed})", here.shape[1:] == (policy.observed,))
    last = here.new_zeros(len(here), policy.actions + 1)
    memory = here.new_zeros(len(here), policy.hidden)
    moments = []
    for _ in range(rounds):
        log_chances, memory = policy(torch.cat([world.seen, last], dim=1), memory)
        action = _choose(log_chances.detach(), generator)
        reward, gain = world.act(action, generator)
        moments.append((action, reward, gain, log_chances))
        last = torch.cat([F.one_hot(action, policy.actions).to(here), reward[:, None]], dim=1)
    return Played(*(torch.stack(part, dim=1) for part in zip(*moments, strict=True)))


def policy_loss(played: Played, discount: float, entropy_weight: float) -> Tensor:
    """Return the REINFORCE loss (Williams 1992): its gradient raises what led to more gain.

    A choice's return is the discounted sum of the gains from then on, and its advantage the return
    beside the other tasks' in that round. The entropy's weight keeps the policy curious while it
    learns.

    Raises ValueError for a single task, beside which there is no other.
    """
    expected = "(tasks, rounds), with 2 tasks or more"
    checks.shape("played.gains", played.gains, expected, len(played.gains) > 1)
    returns = [played.gains[:, -1]]
    for earlier in played.gains.flip(1).unbind(dim=1)[1:]:
        returns.append(earlier + discount * returns[-1])
    returns = torch.stack(returns[::-1], dim=1)
    advantage = returns - returns.mean(dim=0)
    # Where nobody has gained anything yet, there is nothing to scale.
    advantage = advantage / advantage.std().clamp(min=1e-9)
    chosen = played.log_chances.gather(2, played.actions[:, :, None]).squeeze(2)
    entropy = -(played.log_chances.exp() * played.log_chances).sum(dim=2)
    return -(advantage * chosen + entropy_weight * entropy).mean()


def train(
    policies: Sequence[RecurrentPolicy],
    sample: Callable[[], World],
    rounds: int,
    iterations: int,
    generator: Generator,
    beta: float = 1e-2,
    discount: float = 0.9,
    entropy_weight: float = 0.05,
    run: Run | None = None,
) -> list[float]:
    """Meta-train policies of one shape in place, side by side, each on tasks of its own.

    `sample` returns a fresh world each time; its tasks are dealt out evenly, the first ones to the
    first policy. No policy learns anything of another. Returns the sums of their losses. `run` says
    where checkpoints and the log go (`runs`). Raises as `play`, `policy_loss` and
    `training.minimise` do.
    """

    def loss() -> Tensor:
        played = play(SideBySide(policies), sample(), rounds, generator)
        dealt = zip(*(part.chunk(len(policies)) for part in played), strict=True)
        losses = [policy_loss(Played(*own), discount, entropy_weight) for own in dealt]
        return torch.stack(losses).sum()

    return minimise(
        nn.ModuleList(policies).named_parameters(),
        loss,
        iterations,
        beta,
        decay=True,
        label="recurrent policy",
        run=run,
    )


def recorded(name: str) -> list[RecurrentPolicy]:
    """Return the policies that a recorded run of `results/` has trained.

    Raises FileNotFoundError if there is no such run.
    """
    tensors = read_model(results.folder() / name).tensors
    (actions, hidden), inputs = tensors["0.output.weight"].shape, tensors["0.memory.weight_ih"]
    shape = (actions, hidden, inputs.shape[1] - actions - 1)
    count = sum(name.endswith("output.weight") for name in tensors)
    policies = [RecurrentPolicy(*shape) for _ in range(count)]
    nn.ModuleList(policies).load_state_dict(tensors)
    return policies


def _choose(log_chances: Tensor, generator: Generator) -> Tensor:
    """Draw one action a task with these chances, from the CPU's generator on any device."""
    threshold = uniform(len(log_chances), 1, generator=generator)
    chosen = (log_chances.exp().cumsum(dim=1) < threshold).sum(dim=1)
    return chosen.clamp(max=log_chances.shape[1] - 1)
