"""Two gates held still on a quadratic: part 4, "The LSTM's update rule"."""

import traitlets
from matplotlib.figure import Figure

from meta_lib.figures import gates
from meta_lib.moving import MovingFigure


class GatedPath(MovingFigure):
    """The path of θ ← f θ - i ∇L on L = ½ Σ a (θ - b)², beside gradient descent with α = i.

    `forget` and `rate` are the gates f and i, the same for both coordinates; `curvatures` are a,
    `minimum` is b.
    """

    shared = ("forget", "rate", "steps", "theta")
    forget = traitlets.Float(0.97).tag(sync=True)
    rate = traitlets.Float(0.1).tag(sync=True)
    steps = traitlets.Int(40).tag(sync=True)
    theta = traitlets.List(list(gates.START)).tag(sync=True)
    curvatures = traitlets.List(list(gates.CURVATURES)).tag(sync=True)
    minimum = traitlets.List(list(gates.MINIMUM)).tag(sync=True)

    def still(self) -> Figure:
        """Return the path and its loss."""
        return gates.path(self.forget, self.rate, self.steps)
