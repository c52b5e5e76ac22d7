"""Learners side by side: the same test episodes, and what each answer costs.

Beside trained learners stand two that have learned nothing beforehand: the nearest support image in
pixels, and a network trained from scratch on the support set. Part 5, "How far from the papers".
"""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from meta_lib import siamese
from meta_lib.command_line import learners
from meta_lib.command_line.learners import Learner, Settings
from meta_lib.evaluation import accuracies, estimate
from meta_lib.machinery.cost import median_seconds, peak_memory
from meta_lib.tasks.episodes import Episode

Path = str | os.PathLike

UNTRAINED = PIXELS, SCRATCH = "pixels", "from scratch"
FROM_SCRATCH = [(alpha, steps) for alpha in (0.1, 0.3, 1.0) for steps in (5, 20, 50)]
"""The rates and numbers of steps that the network from scratch may choose from."""


def pixels(settings: Settings) -> Learner:
    """Return the learner that compares pixels."""

    def classify(episode: Episode) -> Tensor:
        return siamese.classify(nn.Flatten(), episode)

    return Learner({}, {}, lambda *_: [], classify)


def from_scratch(settings: Settings, alpha: float, steps: int) -> Learner:
    """Return MAML's network without MAML: random weights, trained on the support set alone."""
    untrained = {**settings, "learner": "maml", "variant": "second-order", "network": "strided"}
    untrained |= {"layer_rates": False, "alpha": alpha, "steps": 1, "test_steps": steps}
    return learners.build(untrained)


def names(paths: Iterable[Path]) -> dict[str, Path]:
    """Return checkpoints by name: the ends of their paths, as long as it takes to differ.

    None is named as one of the learners that have learned nothing.
    """
    whole = {pathlib.Path(path).resolve(): path for path in paths}

    def end(path: pathlib.Path, length: int) -> str:
        return pathlib.Path(*path.parts[-length:]).as_posix()

    found: dict[str, Path] = {}
    for path, given in whole.items():
        others = [other for other in whole if other != path]
        lengths = range(1, len(path.parts) + 1)
        free = [
            n for n in lengths if end(path, n) not in {*UNTRAINED, *(end(o, n) for o in others)}
        ]
        found[end(path, free[0])] = given
    return found


def compare(
    trained: Mapping[str, tuple[Path, Settings]],
    tasks: Callable[[str, Settings], list[Episode]],
    shape: Settings,
) -> dict[str, dict[str, Any]]:
    """Return for each learner its accuracy on the same test episodes, and its cost, by name.

    `trained` gives checkpoints and their settings by name; "pixels" and "from scratch" are added.
    `tasks` gives the episodes of a part of the data, with images of the size that a learner's
    settings name. `shape` is the size of those two, and the `ways` and `filters` of the latter's
    network, whose rate and steps are chosen on the part "validation". Of each: `accuracy` and
    `ci95`; `right_by_task`, how many queries of each task it answered correctly; `parameters`, how
    many weights it has; `task_ms`, the median time in milliseconds that an episode takes, its
    adaptation included; `peak_mib`, what an episode adds to the memory in use; and `choice`, what
    was chosen.

    Raises as `learners.load_learner` does.
    """
    validation = tasks("validation", shape)
    best = max(FROM_SCRATCH, key=lambda choice: _mean(from_scratch(shape, *choice), validation))
    rows: dict[str, tuple[Callable[..., Learner], tuple, Settings]] = {
        PIXELS: (pixels, (shape,), shape),
        SCRATCH: (from_scratch, (shape, *best), shape),
    }
    rows |= {name: (_load, (path,), settings) for name, (path, settings) in trained.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, (make, of, settings) in rows.items():
        learner, test = make(*of), tasks("test", settings)
        by_task = accuracies(learner.classify, test)
        right = estimate(by_task)
        found[name] = {
            "accuracy": right.mean,
            "ci95": right.interval,
            "right_by_task": [
                round(share * len(episode.query_y))
                for share, episode in zip(by_task, test, strict=True)
            ],
            "parameters": sum(weight.numel() for weight in learner.weights.values()),
            "task_ms": 1000 * median_seconds(partial(learner.classify, test[0])),
            "peak_mib": peak_memory(torch.get_num_threads(), _answering, make, of, test[0]),
        }
    found[SCRATCH]["choice"] = {"alpha": best[0], "steps": best[1]}
    return found


def _load(path: Path) -> Learner:
    return learners.load_learner(path)[0]


def _answering(make: Callable[..., Learner], of: tuple, episode: Episode) -> Callable[[], Tensor]:
    learner = make(*of)
    return lambda: learner.classify(episode)


def _mean(learner: Learner, episodes: list[Episode]) -> float:
    return estimate(accuracies(learner.classify, episodes)).mean
