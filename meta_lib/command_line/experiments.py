"""Experiments of the command line that are not few-shot classification.

`waves`: MAML on sine waves, or the same network pre-trained on all of them at once. `optimizer`:
Andrychowicz et al.'s learned optimizer on quadratics or on small networks, or several of them with
different first weights, beside hand-made ones that are tuned with the same budget. `policies`:
recurrent policies with different first weights, on bandits or on grids. Each is built from its
settings, as the learners are (`learners`). Part 3, "MAML", part 3, "The LSTM optimizer", and part
2, "Meta-learning and reinforcement learning".
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib import lstm_optimizer, maml, recurrent_policy
from meta_lib.evaluation import estimate
from meta_lib.lstm_optimizer import LSTMOptimizer, SideBySide
from meta_lib.machinery.distributed import share
from meta_lib.machinery.runs import Run
from meta_lib.networks import expand, loss_of, mlp, parameters_of
from meta_lib.recurrent_policy import RecurrentPolicy, World
from meta_lib.rivals.baselines import BASELINES, RATES, conjugate_gradients, descend, tune
from meta_lib.tasks.bandits import Bandits, sample_bandits, sample_changing, sample_paired
from meta_lib.tasks.episodes import Episode
from meta_lib.tasks.grids import MOVES, SIDE, Grids, sample_goals
from meta_lib.tasks.optimizees import Optimizee, digit_networks, quadratics
from meta_lib.tasks.quadratics import Quadratics
from meta_lib.tasks.sinusoids import sample_points, sample_waves
from meta_lib.torch_optimizer import Learned

Settings = dict[str, Any]

TUNING_SEED = 2**32
"""What is added to a seed for the tasks on which rates are chosen, so that none is tested on."""


class Experiment(NamedTuple):
    """What all experiments can do.

    `weights` and `buffers` are its tensors by name. `train` takes a generator and a run and returns
    the losses. `measure` takes a number of tasks and a seed and returns what JSON can hold.
    """

    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]
    train: Callable[[Generator, Run], list[float]]
    measure: Callable[[int, int], dict[str, Any]]


def waves(settings: Settings) -> Experiment:
    """Build MAML on sine waves: `alpha`, `steps`, `multi_step`, `tasks`, `shots`, `beta`, `decay`.

    With no inner `steps` it is the network that is pre-trained on all waves; then α is chosen for
    it, by the search that all rivals get, on other waves.
    """
    network, steps = mlp(1, 40, 40, 1), settings["steps"]
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)

    def draw(tasks: int, shots: int, queries: int, generator: Generator) -> Episode:
        return sample_points(sample_waves(tasks, generator), shots, queries, generator)

    def train(generator: Generator, run: Run) -> list[float]:
        shape = (settings["tasks"], settings["shots"], settings["queries"])
        trained, losses = maml.train(
            network,
            loss,
            lambda: share(draw(*shape, generator)),
            settings["iterations"],
            settings["alpha"],
            settings["beta"],
            steps,
            maml.multi_step_loss if settings["multi_step"] else maml.meta_loss,
            decay=settings["decay"],
            run=run,
        )
        for name, weight in trained.items():
            phi[name].copy_(weight)
        return losses

    def errors(shots: int, tasks: int, alpha: float, generator: Generator) -> list[Tensor]:
        """Return the query errors (tasks,) after 0 to 10 steps from φ."""
        episodes = draw(tasks, shots, 100, generator)
        theta, found = expand(phi, tasks), []
        for _ in range(11):
            found.append(loss(theta, episodes.query_x, episodes.query_y))
            theta = maml.adapt(loss, theta, episodes.support_x, episodes.support_y, alpha)
        return found

    def best_alpha(seed: int) -> float:
        def end(alpha: float) -> float:
            after = errors(5, 100, alpha, Generator().manual_seed(seed + TUNING_SEED))[10]
            return after.mean().nan_to_num(torch.inf).item()

        return min(RATES, key=end)

    def measure(tasks: int, seed: int) -> dict[str, Any]:
        alpha = settings["alpha"] if steps else best_alpha(seed)
        generator = Generator().manual_seed(seed)
        found = {shots: errors(shots, tasks, alpha, generator) for shots in (5, 10, 20)}
        mse = {
            str(shots): [_described(error) for error in by_step] for shots, by_step in found.items()
        }
        return {"alpha": alpha, "mse_by_shots_and_steps": mse}

    return Experiment(phi, {}, train, measure)


def optimizer(settings: Settings) -> Experiment:
    """Build learned optimizers: `on`, `rules`, `hidden`, `tasks`, `horizon`, `truncation`, `beta`.

    They are trained side by side `on` quadratics or digits, each on `tasks` of its own, and
    measured on other problems of the same kind and on those of other kinds in `VARIATIONS`.
    """
    # Checkpoints from before there could be several do not say how many.
    count = settings.get("rules", 1)
    group = [LSTMOptimizer(settings["hidden"]) for _ in range(count)]
    rule = group[0] if count == 1 else SideBySide(group)
    variations = VARIATIONS[settings["on"]]

    def train(generator: Generator, run: Run) -> list[float]:
        make = TRAINED_ON[settings["on"]]
        return lstm_optimizer.train(
            rule,
            lambda: make(count * settings["tasks"], generator),
            settings["iterations"],
            settings["horizon"],
            settings["truncation"],
            settings["beta"],
            run,
        )

    def race(make: Callable[..., Optimizee], steps: int, tasks: int, seed: int) -> dict[str, Any]:
        """Return the losses along the way, for the rules and for each rival at its best rate."""
        names = ["learned", *(f"learned {number}" for number in range(2, count + 1))]
        singles = rule.apart() if isinstance(rule, SideBySide) else [rule]
        runners: dict[str, Any] = {
            name: (None, partial(Learned, rule=single))
            for name, single in zip(names, singles, strict=True)
        }
        for name, rival in BASELINES.items():
            tuning = make(tasks, Generator().manual_seed(seed + TUNING_SEED))
            rate = tune(rival, *tuning, steps)
            runners[name] = (rate, partial(rival, lr=rate))
        # The same starts and the same mini-batches for each.
        losses = {
            name: descend(runner, *make(tasks, Generator().manual_seed(seed)), steps)
            for name, (_, runner) in runners.items()
        }
        problems, theta = make(tasks, Generator().manual_seed(seed))
        if isinstance(problems, Quadratics):
            runners["conjugate gradients"] = None, None
            losses["conjugate gradients"] = conjugate_gradients(problems, theta, steps)
        return {
            name: {
                "rate": runners[name][0],
                "end": _described(passed[-1]),
                "curve": [_finite(value) for value in passed.mean(dim=1).tolist()],
                # On which share of the problems it ends above each of the learned ones.
                "above": [(passed[-1] > losses[learned][-1]).double().mean().item()
                          for learned in names],
            }
            for name, passed in losses.items()
        }  # fmt: skip

    def measure(tasks: int, seed: int) -> dict[str, Any]:
        return {
            "losses": {
                name: {"steps": steps, **race(make, steps, tasks, seed)}
                for name, (make, steps) in variations.items()
            }
        }

    return Experiment(dict(rule.named_parameters()), {}, train, measure)


def policies(settings: Settings) -> Experiment:
    """Build recurrent policies: `on`, `policies`, `hidden`, `tasks`, `rounds`, `beta`, ….

    They are trained side by side on tasks of their own, `tasks` each in an iteration, and measured
    on the same ones.
    """
    actions, observed, make = WORLDS[settings["on"]]
    group = [
        RecurrentPolicy(actions, settings["hidden"], observed) for _ in range(settings["policies"])
    ]
    rounds = settings["rounds"]

    def train(generator: Generator, run: Run) -> list[float]:
        return recurrent_policy.train(
            group,
            lambda: make(settings["policies"] * settings["tasks"], rounds, generator),
            rounds,
            settings["iterations"],
            generator,
            settings["beta"],
            settings["discount"],
            settings["entropy"],
            run,
        )

    @torch.no_grad()
    def measure(tasks: int, seed: int) -> dict[str, Any]:
        found = []
        for policy in group:
            generator = Generator().manual_seed(seed)
            played = recurrent_policy.play(
                policy, make(tasks, rounds, generator), rounds, generator
            )
            found.append(_described(played.gains.sum(dim=1)))
        return {"gains": found}

    return Experiment(dict(nn.ModuleList(group).named_parameters()), {}, train, measure)


WORLDS: dict[str, tuple[int, int, Callable[[int, int, Generator], World]]] = {
    "bandits": (3, 0, lambda tasks, *rest: Bandits(sample_bandits(tasks, 3, *rest))),
    "changing": (3, 0, lambda tasks, *rest: Bandits(sample_changing(tasks, 3, *rest))),
    "paired": (2, 0, lambda *given: Bandits(sample_paired(*given))),
    "grids": (
        len(MOVES),
        SIDE**2,
        lambda tasks, _, generator: Grids(sample_goals(tasks, generator)),
    ),
}
"""Where a policy can act: how many actions it has, how much it sees, and how tasks are drawn."""


def _described(values: Tensor) -> dict[str, float | None]:
    mean, interval = estimate(values)
    # What has left the numbers is large; torch's median would be lost with it.
    median = values.nan_to_num(nan=math.inf, posinf=math.inf).median().item()
    return {"mean": _finite(mean), "ci95": _finite(interval), "median": _finite(median)}


def _finite(value: float) -> float | None:
    """Return the number, or None for one that JSON cannot hold."""
    return value if math.isfinite(value) else None


TRAINED_ON: dict[str, Callable[..., Optimizee]] = {
    "quadratics": quadratics,
    "digits": digit_networks,
}
_unseen = partial(digit_networks, held_out=True)
VARIATIONS: dict[str, dict[str, tuple[Callable[..., Optimizee], int]]] = {
    "quadratics": {
        "as in training": (quadratics, 100),
        "20 steps": (quadratics, 20),
        "400 steps": (quadratics, 400),
    },
    "digits": {
        "as in training": (_unseen, 100),
        "40 units": (partial(_unseen, hidden=(40,)), 100),
        "2 layers": (partial(_unseen, hidden=(20, 20)), 100),
        "200 steps": (_unseen, 200),
        "ReLU": (partial(_unseen, activation=nn.ReLU), 100),
    },
}
"""What a learned optimizer is tried on, by what it was trained on, and for how many steps."""

BUILD: dict[str, Callable[[Settings], Experiment]] = {
    "waves": waves,
    "optimizer": optimizer,
    "policies": policies,
}


def build(settings: Settings) -> Experiment:
    """Return the experiment that these settings describe, its first weights from their `seed`."""
    torch.manual_seed(settings["seed"])
    return BUILD[settings["learner"]](settings)
