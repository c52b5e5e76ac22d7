"""Five agents on one bandit: part 2, "Meta-learning and reinforcement learning"."""

from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure

from meta_lib import recurrent_policy
from meta_lib.figures import bandits as pictures
from meta_lib.moving import MovingFigure, floats
from meta_lib.recurrent_policy import RecurrentPolicy
from meta_lib.tasks import bandits
from meta_lib.tasks.draws import placed, uniform


class Bandit(MovingFigure):
    """A bandit with three arms, played many times by a learned policy and by four rules.

    `c` is the constant of the tuned UCB. The policy has seen the arms in any order, but may prefer
    one by habit; so each game puts them in a random order.
    """

    shared = ("mu1", "mu2", "mu3", "rounds", "epsilon", "measure", "rival", "game", "moment")
    mu1 = traitlets.Float(0.7).tag(sync=True)
    mu2 = traitlets.Float(0.5).tag(sync=True)
    mu3 = traitlets.Float(0.3).tag(sync=True)
    rounds = traitlets.Int(30).tag(sync=True)
    epsilon = traitlets.Float(0.1).tag(sync=True)
    measure = traitlets.Enum(["regret", "reward"], "regret").tag(sync=True)
    rival = traitlets.Enum(["greedy", "thompson", "ucb1", "tuned"], "greedy").tag(sync=True)
    game = traitlets.Int(1).tag(sync=True)
    moment = traitlets.Int(30).tag(sync=True)
    games = traitlets.Int(400).tag(sync=True)
    c = traitlets.Float().tag(sync=True)
    hidden = traitlets.Int().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(self, policy: RecurrentPolicy, c: float, **traits: Any):
        """Take over a trained policy for three arms, and the tuned constant of UCB."""
        weights = floats(torch.cat([weight.flatten() for weight in policy.parameters()]))
        super().__init__(c=c, hidden=policy.hidden, weights=weights, **traits)
        self.policy = policy

    def still(self) -> Figure:
        """Return the regrets of all five by round."""
        seed, mu = torch.Generator().manual_seed, [self.mu1, self.mu2, self.mu3]
        order = uniform(self.games, 3, generator=seed(11)).argsort(dim=1)
        chances = placed(torch.tensor(mu))[order].expand(self.rounds, -1, -1)
        rules = {
            "Thompson sampling": bandits.thompson(),
            "UCB1": bandits.ucb(2**0.5),
            "UCB, tuned c": bandits.ucb(self.c),
            "ε-greedy": bandits.epsilon_greedy(self.epsilon),
        }
        with torch.no_grad():
            world = bandits.Bandits(chances)
            played = recurrent_policy.play(self.policy, world, self.rounds, seed(12))
        arms = {"learned policy": played.actions}
        arms |= {name: bandits.play(rule, chances, seed(12))[0] for name, rule in rules.items()}
        lost = {name: bandits.regret(chances, each) for name, each in arms.items()}
        return pictures.one_bandit(lost, mu, self.epsilon)
