"""Attention that learns a line from its context: part 6, "Where these ideas stand"."""

import numpy as np
import traitlets
from matplotlib.figure import Figure

from meta_lib.figures import outlook
from meta_lib.moving import MovingFigure


class InContext(MovingFigure):
    """Points (x, y) as a context, and the line that layers of linear attention make of them.

    Each of the `layers` is one step of gradient descent at the rate `alpha`, from θ = 0, on the
    mean of ½ (θ · (1, x) - y)². `query` is where the attention is shown.
    """

    shared = ("alpha", "layers", "query", "xs", "ys")
    alpha = traitlets.Float(0.4).tag(sync=True)
    layers = traitlets.Int(1).tag(sync=True)
    query = traitlets.Float(1.0).tag(sync=True)
    xs = traitlets.List([-1.4, -0.6, 0.3, 1.6]).tag(sync=True)
    ys = traitlets.List([-1.1, -0.9, 0.8, 1.9]).tag(sync=True)

    def theta(self) -> np.ndarray:
        """Return θ after as many steps as there are layers, (2,): the line's height and slope."""
        features, y = np.stack([np.ones(len(self.xs)), self.xs], axis=1), np.array(self.ys)
        theta = np.zeros(2)
        for _ in range(self.layers):
            theta = theta - self.alpha * features.T @ (features @ theta - y) / len(y)
        return theta

    def still(self) -> Figure:
        """Return the context, the layers' line and that of least squares."""
        ends = np.array([-2.0, 2.0])
        best = np.polynomial.Polynomial.fit(self.xs, self.ys, 1)
        height, slope = self.theta()
        words = f"{self.layers} layer{'s' * (self.layers > 1)}, α = {self.alpha:g}"
        curve = np.stack([ends, height + slope * ends])
        return outlook.in_context(self.xs, self.ys, curve, np.stack([ends, best(ends)]), words)
