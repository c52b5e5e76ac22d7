"""One pair and its contrastive loss: part 4, "Similarity and the contrastive loss"."""

import traitlets
from matplotlib.figure import Figure

from meta_lib.figures import similarity
from meta_lib.moving import MovingFigure


class Pair(MovingFigure):
    """Two vectors in the plane, f₁ to drag and f₂ fixed: their distance, loss and gradients."""

    parts = ("contrastive.js",)
    shared = ("f1", "margin", "measure", "different")
    f1 = traitlets.List([0.5, 1.0]).tag(sync=True)
    f2 = traitlets.List([1.0, 0.5]).tag(sync=True)
    margin = traitlets.Float(1.25, min=0.01).tag(sync=True)
    measure = traitlets.Enum(["Euclidean", "cosine"], "Euclidean").tag(sync=True)
    different = traitlets.Bool(True).tag(sync=True)

    def still(self) -> Figure:
        """Return the pair in the plane, and its place on the loss."""
        return similarity.pair_and_loss(self.f1, self.f2, self.different, self.margin, self.measure)
