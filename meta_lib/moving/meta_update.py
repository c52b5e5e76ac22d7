"""MAML's meta-update, one arrow at a time: part 4, "MAML's meta-update"."""

import numpy as np
import traitlets
from matplotlib.figure import Figure

from meta_lib.figures import meta_update
from meta_lib.moving import MovingFigure

LINE = [
    {"H": [[1.0]], "c": [-1.0]},
    {"H": [[4.0]], "c": [2.0]},
    {"H": [[2.0]], "c": [0.5]},
]
PLANE = [
    {"H": [[0.8, 0.5], [0.5, 0.8]], "c": [-2.0, 0.5]},
    {"H": [[3.0, -1.0], [-1.0, 2.0]], "c": [1.2, 1.2]},
    {"H": [[1.0, 0.0], [0.0, 1.0]], "c": [-0.5, -2.0]},
]


class MetaUpdate(MovingFigure):
    """Two or three quadratic tasks, ½ (θ - c)⊤ H (θ - c): inner steps, gradients, the next φ.

    `line` lists the tasks with one coordinate, `plane` those with two. The gradients are added up
    over the tasks, as in the formula. `moment` says how much of a meta-update is shown, from φ
    alone (0) to the next φ (4).
    """

    shared = ("phi", "alpha", "beta", "steps", "tasks", "space", "moment")
    phi = traitlets.List([0.6, -1.5]).tag(sync=True)
    alpha = traitlets.Float(0.2).tag(sync=True)
    beta = traitlets.Float(0.3).tag(sync=True)
    steps = traitlets.Int(1).tag(sync=True)
    tasks = traitlets.Int(2).tag(sync=True)
    space = traitlets.Enum(["line", "plane"], "plane").tag(sync=True)
    moment = traitlets.Int(4).tag(sync=True)
    line = traitlets.List(LINE).tag(sync=True)
    plane = traitlets.List(PLANE).tag(sync=True)

    def still(self) -> Figure:
        """Return the two bowls with the inner paths, the pulls on φ, and where they lead."""
        H, c = (np.array([task[of] for task in self.plane[:2]]) for of in ("H", "c"))
        return meta_update.bowls(H, c, self.phi, self.alpha, self.beta, self.steps)
