"""Accuracy over shots and ways: part 5, "Few-shot character recognition"."""

from collections.abc import Callable
from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.evaluation import estimate
from meta_lib.figures import project
from meta_lib.moving import MovingFigure, greys
from meta_lib.tasks.episodes import Episode

LOOKED_AT = 2
"""How many queries of each class are shown."""


class ShotsWays(MovingFigure):
    """How well each learner reads, for each number of shots and ways, and an episode of each.

    `learners` goes from a name to a function from a stack of episodes to labels (tasks, queries).
    `sample(ways, shots)` draws the stack that all of them are tried on, with the classes in their
    order. A learner with an entry in `only` is tried at that number of ways alone: it has that many
    outputs. Each is tried with all of `all_ways` and `all_shots`.
    """

    shared = ("ways", "shots", "learner")
    ways = traitlets.Int(5).tag(sync=True)
    shots = traitlets.Int(1).tag(sync=True)
    learner = traitlets.Unicode().tag(sync=True)
    numbers = traitlets.Dict().tag(sync=True)
    learners: traitlets.List[str] = traitlets.List().tag(sync=True)
    episodes = traitlets.Int().tag(sync=True)
    scores: traitlets.List[Any] = traitlets.List().tag(sync=True)
    labels: traitlets.List[Any] = traitlets.List().tag(sync=True)
    pictures: traitlets.List[int] = traitlets.List().tag(sync=True)
    images = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        learners: dict[str, Callable[[Episode], Tensor]],
        sample: Callable[[int, int], Episode],
        all_ways: list[int],
        all_shots: list[int],
        only: dict[str, int],
        **traits: Any,
    ):
        scores, labels, images, pictures, count = [], [], [], [], 0
        row: list[list[float] | None]
        said: list[list[int]]
        for n in all_ways:
            for k in all_shots:
                tasks, row, said = sample(n, k), [], []
                for name, learner in learners.items():
                    if only.get(name, n) != n:
                        row.append(None)
                        said.append([])
                        continue
                    read = learner(tasks)
                    of = estimate((read == tasks.query_y).double().mean(dim=1))
                    row.append([round(of.mean, 6), round(of.interval, 6)])
                    said.append(read[0].unflatten(0, (n, -1))[:, :LOOKED_AT].flatten().tolist())
                shown = torch.cat(
                    [
                        tasks.support_x[0].unflatten(0, (n, k))[:, :1],
                        tasks.query_x[0].unflatten(0, (n, -1))[:, :LOOKED_AT],
                    ],
                    dim=1,
                )
                pictures.append(count)
                count += shown.shape[0] * shown.shape[1]
                images.append(greys(shown))
                scores.append(row)
                labels.append(said)
        super().__init__(
            numbers={"ways": list(all_ways), "shots": list(all_shots)},
            learners=list(learners),
            episodes=len(tasks.query_y),
            scores=scores,
            labels=labels,
            pictures=pictures,
            images=b"".join(images),
            **({"learner": list(learners)[-1]} | traits),
        )

    def still(self) -> Figure:
        """Return the accuracies over shots at the chosen number of ways."""
        first = self.numbers["ways"].index(self.ways) * len(self.numbers["shots"])
        rows = self.scores[first : first + len(self.numbers["shots"])]
        curves = {
            name: [row[place] for row in rows]
            for place, name in enumerate(self.learners)
            if rows[0][place]
        }
        return project.over_shots(curves, self.numbers["shots"], self.ways)
