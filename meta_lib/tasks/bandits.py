"""Bernoulli bandits: machines with several arms, each of which pays 1 with its own probability.

The simplest problem that needs exploration, and three classic strategies for it. Used in part 2,
"Meta-learning and reinforcement learning". Lattimore & Szepesvári (2020), Bandit Algorithms,
https://doi.org/10.1017/9781108571401.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import placed, uniform

Strategy = Callable[[Tensor, Tensor, int, Generator], Tensor]
"""From pulls and wins of each arm so far, both (tasks, arms), the round and a generator, to the
arm to pull next, (tasks,)."""


def sample_bandits(tasks: int, arms: int, generator: Generator) -> Tensor:
    """Draw `tasks` bandits: each arm's chance of paying, uniform in 0 to 1, (tasks, arms).

    Raises TypeError or ValueError unless `tasks` is at least 1 and `arms` at least 2.
    """
    checks.whole_number("tasks", tasks)
    checks.whole_number("arms", arms, at_least=2)
    return uniform(tasks, arms, generator=generator)


def pull(bandits: Tensor, arm: Tensor, generator: Generator) -> Tensor:
    """Pull one arm (tasks,) of each bandit and return the rewards, 0 or 1, (tasks,)."""
    chance = bandits.gather(1, arm[:, None]).squeeze(1)
    return (uniform(*chance.shape, generator=generator) < chance).to(bandits.dtype)


def play(strategy: Strategy, bandits: Tensor, rounds: int, generator: Generator) -> Tensor:
    """Let `strategy` play every bandit and return the arms that it pulled, (tasks, rounds).

    Raises TypeError or ValueError unless `rounds` is a whole number of at least 1.
    """
    checks.whole_number("rounds", rounds)
    pulls, wins = torch.zeros_like(bandits), torch.zeros_like(bandits)
    arms = []
    for number in range(rounds):
        arm = strategy(pulls, wins, number, generator)
        reward = pull(bandits, arm, generator)
        pulls.scatter_add_(1, arm[:, None], torch.ones_like(reward)[:, None])
        wins.scatter_add_(1, arm[:, None], reward[:, None])
        arms.append(arm)
    return torch.stack(arms, dim=1)


def regret(bandits: Tensor, arms: Tensor) -> Tensor:
    """Return what the pulled arms (tasks, rounds) cost so far beside the best arm, (tasks, rounds).

    This is the expected regret: the sum over rounds of (best chance - chance of the arm pulled).
    """
    best = bandits.amax(dim=1, keepdim=True)
    return (best - bandits.gather(1, arms)).cumsum(dim=1)


def epsilon_greedy(epsilon: float) -> Strategy:
    """Pull the arm that paid best so far, but with chance `epsilon` a random one."""

    def strategy(pulls: Tensor, wins: Tensor, number: int, generator: Generator) -> Tensor:
        # An arm that was never pulled counts as one that always paid, so each is tried once.
        mean = torch.where(pulls > 0, wins / pulls.clamp(min=1), torch.ones_like(wins))
        explore = uniform(len(pulls), generator=generator) < epsilon
        random_arm = uniform(len(pulls), high=pulls.shape[1], generator=generator).long()
        return torch.where(explore, random_arm, mean.argmax(dim=1))

    return strategy


def ucb1(pulls: Tensor, wins: Tensor, number: int, generator: Generator) -> Tensor:
    """Pull the arm with the highest upper confidence bound (Auer, Cesa-Bianchi & Fischer 2002)."""
    rounds = torch.tensor(max(number, 1), dtype=pulls.dtype)
    bound = wins / pulls.clamp(min=1) + torch.sqrt(2 * torch.log(rounds) / pulls.clamp(min=1))
    return torch.where(pulls > 0, bound, torch.inf).argmax(dim=1)


def thompson(pulls: Tensor, wins: Tensor, number: int, generator: Generator) -> Tensor:
    """Draw each arm's chance from its Beta posterior and pull the largest (Thompson 1933)."""
    # A Beta variable is a ratio of two Gamma variables, and torch draws those from a generator.
    won = torch._standard_gamma((wins + 1).cpu().double(), generator=generator)
    lost = torch._standard_gamma((pulls - wins + 1).cpu().double(), generator=generator)
    return placed(won / (won + lost)).argmax(dim=1)
