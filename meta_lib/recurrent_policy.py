"""A recurrent policy: a learned way to explore.

A small recurrent network sees which arm was pulled and what it paid, and chooses the next arm. It
is meta-trained by reinforcement learning over many bandits; on a new one its weights stay as they
are, and its memory does the learning. Explained in part 2, "Meta-learning and reinforcement
learning". Duan et al. (2016), https://arxiv.org/abs/1611.02779; Wang et al. (2016),
https://arxiv.org/abs/1611.05763.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib.machinery import checks
from meta_lib.machinery.device import device
from meta_lib.machinery.runs import Run
from meta_lib.tasks.bandits import pull
from meta_lib.tasks.draws import uniform
from meta_lib.training import minimise


class RecurrentPolicy(nn.Module):
    """A GRU that goes from (last arm, last reward) and its memory to the next arm's chances."""

    def __init__(self, arms: int, hidden: int = 48):
        """Make a policy for bandits with `arms` arms.

        Raises TypeError or ValueError unless `arms` is at least 2 and `hidden` at least 1.
        """
        super().__init__()
        checks.whole_number("arms", arms, at_least=2)
        checks.whole_number("hidden", hidden)
        self.arms, self.hidden = arms, hidden
        self.memory = nn.GRUCell(arms + 1, hidden)
        self.output = nn.Linear(hidden, arms)
        self.to(device())

    def forward(self, seen: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-chances of the arms (tasks, arms), and the memory (tasks, hidden).

        `seen` is (tasks, arms + 1): the last arm as one-hot vector, then its reward.
        """
        memory = self.memory(seen, memory)
        return F.log_softmax(self.output(memory), dim=1), memory


class Played(NamedTuple):
    """What happened, each (tasks, rounds): the arms, each choice's log-chance and entropy."""

    arms: Tensor
    log_chance: Tensor
    entropy: Tensor


def play(policy: RecurrentPolicy, bandits: Tensor, rounds: int, generator: Generator) -> Played:
    """Let the policy play each bandit (tasks, arms) for `rounds` rounds from an empty memory.

    Raises TypeError or ValueError unless `rounds` is at least 1 and the bandits have as many arms
    as the policy.
    """
    checks.whole_number("rounds", rounds)
    checks.shape("bandits", bandits, f"(tasks, {policy.arms})", bandits.shape[1:] == (policy.arms,))
    seen = bandits.new_zeros(len(bandits), policy.arms + 1)
    memory = bandits.new_zeros(len(bandits), policy.hidden)
    moments = []
    for _ in range(rounds):
        log_chances, memory = policy(seen, memory)
        arm = _choose(log_chances.detach(), generator)
        reward = pull(bandits, arm, generator)
        entropy = -(log_chances.exp() * log_chances).sum(dim=1)
        moments.append((arm, log_chances.gather(1, arm[:, None])[:, 0], entropy))
        seen = torch.cat([F.one_hot(arm, policy.arms).to(bandits), reward[:, None]], dim=1)
    return Played(*(torch.stack(part, dim=1) for part in zip(*moments, strict=True)))


def policy_loss(bandits: Tensor, played: Played, discount: float, entropy_weight: float) -> Tensor:
    """Return the REINFORCE loss (Williams 1992): its gradient raises what led to less regret.

    A choice gains (chance of its arm - best chance), which is its reward without the luck: who
    trains the policy knows the machines, the policy does not. Its return is the discounted sum of
    the gains from then on, and its advantage the return beside the other tasks' in that round. The
    entropy's weight keeps the policy curious while it learns.

    Raises ValueError for a single bandit, beside which there is no other.
    """
    expected = "(tasks, arms), with 2 tasks or more"
    checks.shape("bandits", bandits, expected, bandits.ndim == 2 and len(bandits) > 1)
    gain = bandits.gather(1, played.arms) - bandits.amax(dim=1, keepdim=True)
    returns = [gain[:, -1]]
    for earlier in gain.flip(1).unbind(dim=1)[1:]:
        returns.append(earlier + discount * returns[-1])
    returns = torch.stack(returns[::-1], dim=1)
    advantage = returns - returns.mean(dim=0)
    advantage = advantage / advantage.std()
    return -(advantage * played.log_chance + entropy_weight * played.entropy).mean()


def train(
    policy: RecurrentPolicy,
    sample: Callable[[], Tensor],
    rounds: int,
    iterations: int,
    generator: Generator,
    beta: float = 5e-3,
    discount: float = 0.9,
    entropy_weight: float = 0.05,
    run: Run | None = None,
) -> list[float]:
    """Meta-train the policy in place; `sample` returns fresh bandits (tasks, arms) each time.

    Returns the losses. `run` says where checkpoints and the log go (`runs`). Raises as `play`,
    `policy_loss` and `training.minimise` do.
    """

    def loss() -> Tensor:
        bandits = sample()
        played = play(policy, bandits, rounds, generator)
        return policy_loss(bandits, played, discount, entropy_weight)

    return minimise(
        policy.named_parameters(),
        loss,
        iterations,
        beta,
        clip=1.0,
        decay=True,
        label="recurrent policy",
        run=run,
    )


def _choose(log_chances: Tensor, generator: Generator) -> Tensor:
    """Draw one arm a task with these chances, from the CPU's generator on any device."""
    threshold = uniform(len(log_chances), 1, generator=generator)
    chosen = (log_chances.exp().cumsum(dim=1) < threshold).sum(dim=1)
    return chosen.clamp(max=log_chances.shape[1] - 1)
