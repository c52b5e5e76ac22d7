"""A search over rates and steps: part 2, "Meta-learning and transfer learning"."""

from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.evaluation import estimate
from meta_lib.figures import fine_tuning
from meta_lib.moving import MovingFigure, floats


class FineTuning(MovingFigure):
    """The validation accuracy of each contender, for all shots, rates and steps of a search."""

    shared = ("shots", "alpha", "steps")
    shots = traitlets.Int(5).tag(sync=True)
    alpha = traitlets.Float(0.1).tag(sync=True)
    steps = traitlets.Int(10).tag(sync=True)
    all_shots: traitlets.List[int] = traitlets.List().tag(sync=True)
    rates: traitlets.List[float] = traitlets.List().tag(sync=True)
    names: traitlets.List[str] = traitlets.List().tag(sync=True)
    table = traitlets.Bytes().tag(sync=True)
    level: traitlets.List[float] = traitlets.List().tag(sync=True)

    def __init__(self, search: dict, level: dict[int, float], **traits: Any):
        """Take over {(shots, rate): {name: accuracies}} and {shots: accuracy without a step}.

        The accuracies are (episodes, steps + 1). The table holds their means, and behind them half
        their 95 % intervals, both by shots, rate, name and steps.
        """
        shots, rates = (sorted({key[of] for key in search}) for of in (0, 1))
        names = list(search[shots[0], rates[0]])
        cells = [
            estimate(column)
            for found in (search[K, rate][name] for K in shots for rate in rates for name in names)
            for column in found.T
        ]
        table = floats(torch.tensor(cells).T)
        level = [level[K] for K in shots]
        super().__init__(
            all_shots=shots, rates=rates, names=names, table=table, level=level, **traits
        )
        self.search = search

    def curves(self) -> dict[str, Tensor]:
        """Return each contender's mean accuracy after 0, 1, … steps, at the chosen settings."""
        found = self.search[self.shots, self.alpha]
        return {name: right.mean(dim=0) for name, right in found.items()}

    def still(self) -> Figure:
        """Return the curves at the chosen settings."""
        level = self.level[self.all_shots.index(self.shots)]
        return fine_tuning.search(self.curves(), level, self.shots, self.alpha, self.steps)
