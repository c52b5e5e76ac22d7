"""What practice is worth, by labels and by how askew the digits lie: part 1, "What meta-learning
offers".
"""

from collections.abc import Callable
from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib import evaluation
from meta_lib.figures import limits
from meta_lib.moving import MovingFigure, greys
from meta_lib.tasks.episodes import Episode

Read = Callable[[Episode], Tensor]
WAYS = 10


class Offers(MovingFigure):
    """Ten support and ten query digits as two readers see them, and the accuracy of all readers.

    `readers` goes from a name to what classifies an episode. `task(draw, shots, degrees, shift)`
    is an episode of the ten digits, in order, each image turned and moved by up to the numbers in
    `turns` (degrees) and `shifts` (pixels). Accuracies are (readers, shots, turns, shifts, draws).
    """

    shared = ("shots", "degrees", "shift")
    shots = traitlets.Int(1).tag(sync=True)
    degrees = traitlets.Float(30.0).tag(sync=True)
    shift = traitlets.Float(1.0).tag(sync=True)
    numbers = traitlets.Dict().tag(sync=True)
    readers: traitlets.List[str] = traitlets.List().tag(sync=True)
    accuracies: traitlets.List[Any] = traitlets.List().tag(sync=True)
    answers: traitlets.List[Any] = traitlets.List().tag(sync=True)
    pictures = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        readers: dict[str, Read],
        task: Callable[[int, int, float, float], Episode],
        shots: list[int],
        turns: list[float],
        shifts: list[float],
        draws: int,
        **traits: Any,
    ):
        accuracies = torch.zeros(len(readers), len(shots), len(turns), len(shifts), draws)
        answers = torch.zeros(2, len(turns), len(shifts), WAYS, dtype=torch.long)
        pictures = []
        for t, degrees in enumerate(turns):
            for s, shift in enumerate(shifts):
                one = _one_query_each(task(0, 1, degrees, shift))
                for r, read in enumerate(list(readers.values())[:2]):
                    answers[r, t, s] = read(one)
                pictures += [one.support_x, one.query_x]
                for k, number in enumerate(shots):
                    drawn = [task(draw, number, degrees, shift) for draw in range(draws)]
                    for r, read in enumerate(readers.values()):
                        found = evaluation.accuracies(read, drawn)
                        accuracies[r, k, t, s] = torch.as_tensor(found)
        self._pictures = torch.stack(pictures).unflatten(0, (len(turns), len(shifts), 2))
        super().__init__(
            numbers={"shots": list(shots), "degrees": list(turns), "shift": list(shifts)},
            readers=list(readers),
            accuracies=accuracies.mul(1e4).round().div(1e4).tolist(),
            answers=answers.tolist(),
            pictures=greys(self._pictures),
            **traits,
        )

    def still(self) -> Figure:
        """Return the digits with two readings, and the accuracy of each reader, at the start."""
        k, t, s = (self.numbers[of].index(getattr(self, of)) for of in self.shared)
        support, query = self._pictures[t, s]
        readings = {
            name: each[t][s] for name, each in zip(self.readers, self.answers, strict=False)
        }
        scores = {
            name: sum(table[k][t][s]) / len(table[k][t][s])
            for name, table in zip(self.readers, self.accuracies, strict=True)
        }
        title = (
            f"K = {self.shots}, turned by up to {self.degrees:g}°, moved by up to {self.shift:g}"
        )
        return limits.compare(support, query, readings, scores, f"{title} pixels")


def _one_query_each(episode: Episode) -> Episode:
    first = [int((episode.query_y == digit).nonzero()[0]) for digit in range(WAYS)]
    return episode._replace(query_x=episode.query_x[first], query_y=episode.query_y[first])
