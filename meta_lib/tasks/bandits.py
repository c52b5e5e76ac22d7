"""Bernoulli bandits: machines with several arms, each of which pays 1 with its own probability.

The smallest problem that needs exploration, and rules for it that people have thought out, each
with a constant that can be tuned. Used in part 2, "Meta-learning and reinforcement learning".
Lattimore & Szepesvári (2020), Bandit Algorithms, https://doi.org/10.1017/9781108571401.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import placed, uniform

Strategy = Callable[[Tensor, Tensor, int, Generator], Tensor]
"""From pulls and wins of each arm so far, both (tasks, arms), the round and a generator, to the
arm to pull next, (tasks,)."""


def sample_bandits(tasks: int, arms: int, rounds: int, generator: Generator) -> Tensor:
    """Draw bandits: each arm's chance of paying, from 0 to 1, by round, (rounds, tasks, arms).

    The chances of a bandit are the same in all rounds. Raises TypeError or ValueError unless
    `tasks` and `rounds` are at least 1 and `arms` at least 2.
    """
    checks.whole_number("tasks", tasks)
    checks.whole_number("arms", arms, at_least=2)
    checks.whole_number("rounds", rounds)
    return uniform(tasks, arms, generator=generator).expand(rounds, -1, -1)


def sample_changing(
    tasks: int, arms: int, rounds: int, generator: Generator, at: int | None = None
) -> Tensor:
    """Draw bandits whose chances are drawn anew after round `at`, (rounds, tasks, arms).

    Left out, each bandit's is another round, from the 5th to the 5th from the end. Raises as
    `sample_bandits` does, and ValueError unless `rounds` is at least 10.
    """
    checks.whole_number("rounds", rounds, at_least=10)
    before, after = (sample_bandits(tasks, arms, rounds, generator) for _ in range(2))
    when = uniform(tasks, generator=generator, low=5, high=rounds - 4).floor()
    when = when if at is None else torch.full_like(when, at)
    late = torch.arange(rounds).to(when)[:, None] >= when
    return torch.where(late[:, :, None], after, before)


def sample_paired(tasks: int, rounds: int, generator: Generator) -> Tensor:
    """Draw bandits with two arms whose chances add up to 1, (rounds, tasks, 2).

    Raises as `sample_bandits` does.
    """
    checks.whole_number("tasks", tasks)
    checks.whole_number("rounds", rounds)
    first = uniform(tasks, 1, generator=generator)
    return torch.cat([first, 1 - first], dim=1).expand(rounds, -1, -1)


def pull(chances: Tensor, arm: Tensor, generator: Generator) -> Tensor:
    """Pull an arm (tasks,) of each bandit (tasks, arms); return the rewards, 0 or 1, (tasks,)."""
    chance = chances.gather(1, arm[:, None]).squeeze(1)
    return (uniform(*chance.shape, generator=generator) < chance).to(chances.dtype)


class Bandits:
    """Many bandits, (rounds, tasks, arms), in the middle of being played; one sees no state."""

    def __init__(self, chances: Tensor):
        self.chances, self.round = chances, 0
        self.seen = chances.new_zeros(chances.shape[1], 0)

    def act(self, action: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Pull an arm of each; return the rewards, and their chances beside the best arm's."""
        now = self.chances[self.round]
        self.round += 1
        gain = now.gather(1, action[:, None]).squeeze(1) - now.amax(dim=1)
        return pull(now, action, generator), gain


def play(
    strategy: Strategy, chances: Tensor, generator: Generator, keep: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Let a strategy play bandits (rounds, tasks, arms); return arms and rewards, (tasks, rounds).

    With `keep` below 1 old evidence fades: pulls and wins are multiplied by it in every round.
    """
    pulls, wins = torch.zeros_like(chances[0]), torch.zeros_like(chances[0])
    moments = []
    for number, now in enumerate(chances):
        arm = strategy(pulls, wins, number, generator)
        reward = pull(now, arm, generator)
        chosen = F.one_hot(arm, now.shape[1])
        pulls = keep * pulls + chosen
        wins = keep * wins + chosen * reward[:, None]
        moments.append((arm, reward))
    arms, rewards = zip(*moments, strict=True)
    return torch.stack(arms, dim=1), torch.stack(rewards, dim=1)


def regret(chances: Tensor, arms: Tensor) -> Tensor:
    """Return what the pulled arms (tasks, rounds) cost so far beside the best arm, (tasks, rounds).

    This is the expected regret: the sum over rounds of (best chance - chance of the arm pulled).
    """
    pulled = chances.gather(2, arms.T[:, :, None]).squeeze(2)
    return (chances.amax(dim=2) - pulled).T.cumsum(dim=1)


def epsilon_greedy(epsilon: float) -> Strategy:
    """Pull the arm that paid best so far, but with chance `epsilon` a random one."""

    def strategy(pulls: Tensor, wins: Tensor, number: int, generator: Generator) -> Tensor:
        # An arm that was never pulled counts as one that always paid, so each is tried once.
        mean = torch.where(pulls > 0, wins / pulls.clamp(min=1e-9), torch.ones_like(wins))
        explore = uniform(len(pulls), generator=generator) < epsilon
        random_arm = uniform(len(pulls), high=pulls.shape[1], generator=generator).long()
        return torch.where(explore, random_arm, mean.argmax(dim=1))

    return strategy


def optimistic(wins_before: float) -> Strategy:
    """Pull the arm that paid best so far, as if each had won so often before the first round."""

    def strategy(pulls: Tensor, wins: Tensor, number: int, generator: Generator) -> Tensor:
        return ((wins + wins_before) / (pulls + wins_before)).argmax(dim=1)

    return strategy


def ucb(c: float) -> Strategy:
    """Pull the arm with the highest upper confidence bound, w / n + c √(ln t / n).

    With c = √2 it is UCB1 (Auer, Cesa-Bianchi & Fischer 2002).
    """

    def strategy(pulls: Tensor, wins: Tensor, number: int, generator: Generator) -> Tensor:
        n = pulls.clamp(min=1e-9)
        bound = wins / n + torch.sqrt(c**2 * math.log(max(number, 1)) / n)
        return torch.where(pulls > 0, bound, torch.inf).argmax(dim=1)

    return strategy


def thompson(evidence: float = 1.0) -> Strategy:
    """Draw each arm's chance from its Beta posterior and pull the largest (Thompson 1933).

    Each pull counts as `evidence` pulls, so that above 1 the draws are less spread.
    """

    def strategy(pulls: Tensor, wins: Tensor, number: int, generator: Generator) -> Tensor:
        # A Beta variable is a ratio of two Gamma variables, and torch draws those from a generator.
        won = torch._standard_gamma((evidence * wins + 1).cpu().double(), generator=generator)
        losses = evidence * (pulls - wins)
        lost = torch._standard_gamma((losses + 1).cpu().double(), generator=generator)
        return placed(won / (won + lost)).argmax(dim=1)

    return strategy
