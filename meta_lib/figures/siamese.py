"""The pictures of "Siamese networks"."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from meta_lib.figures import BLUE, ORANGE, RED, describe, subplots
from meta_lib.figures.methods import CLASSES
from meta_lib.figures.similarity import draw_pair
from meta_lib.siamese import Pairs

MARKERS = "os^DvP"


def twins() -> Figure:
    """Draw the idea: two images, one network used twice, two feature vectors, one distance."""
    figure, axes = subplots(figsize=(7, 2.6))
    axes.set(xlim=(-0.1, 10.3), ylim=(0, 4), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for y, number in ((3, "₁"), (1, "₂")):
        _box(axes, 0.9, y, f"image x{number}", "white")
        _box(axes, 3.7, y, "network $f_θ$", "#d9e8f5")
        _box(axes, 6.5, y, f"features f{number}", "white")
        for start, end in ((1.8, 2.8), (4.6, 5.6)):
            _arrow(axes, (start, y), (end, y))
        _arrow(axes, (7.4, y), (8.5, 2 + 0.25 * (y - 2)))
    axes.annotate(
        "", (3.7, 1.55), (3.7, 2.45), arrowprops={"arrowstyle": "<|-|>", "color": ORANGE, "lw": 2}
    )
    axes.text(3.9, 2, "the same weights θ", color=ORANGE, va="center")
    _box(axes, 9.2, 2, "distance D", "#fde9c9")
    return describe(
        figure,
        "Two images go through the same network with the same weights, once each. Out come two "
        "feature vectors, and from these one number, their distance.",
    )


def pairs(drawn: Pairs, columns: int = 6) -> Figure:
    """Draw some similar pairs above, and some dissimilar ones below."""
    figure, grid = subplots(4, columns, figsize=(6.6, 4.2))
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
    for row, label, wanted in ((0, "similar\nY = 0", 0), (2, "different\nY = 1", 1)):
        chosen = torch.nonzero(drawn.different == wanted)[:columns, 0]
        for axes_1, axes_2, pair in zip(grid[row], grid[row + 1], chosen, strict=False):
            for axes, side in ((axes_1, drawn.x1), (axes_2, drawn.x2)):
                axes.imshow(side[pair, 0].cpu().numpy(), vmin=0, vmax=1, cmap="gray_r")
        grid[row, 0].set_ylabel(label, rotation=0, ha="right", va="top")
    return describe(
        figure,
        f"{columns} similar pairs above, each two drawings of one character by different hands, "
        f"and {columns} dissimilar pairs below, each two drawings of different characters.",
    )


def distances(
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor],
    margin: float,
    titles: tuple[str, str] = ("before training", "after training"),
    same_scale: bool = False,
) -> Figure:
    """Draw how far similar and dissimilar pairs lie apart, in two networks."""
    figure, panels = subplots(1, 2, figsize=(7.5, 3), sharey=True)
    tops = [max(values.max().item() for values in pair) for pair in (before, after)]
    words = []
    for axes, top, pair, title in zip(panels, tops, (before, after), titles, strict=True):
        bins = torch.linspace(0, max(tops) if same_scale else top, 30).tolist()
        for values, label, colour in zip(pair, ("similar", "different"), (BLUE, RED), strict=True):
            axes.hist(values.cpu().numpy(), bins, alpha=0.55, color=colour, label=label)
        axes.set(title=title, xlabel="distance D")
        similar, different = (values.mean() for values in pair)
        words.append(
            f"{title}, similar pairs lie {similar:.2f} apart on average and different ones "
            f"{different:.2f}"
        )
    panels[1].axvline(margin, color="grey", linestyle="--", label="margin m")
    panels[0].set_ylabel("pairs")
    panels[1].legend()
    return describe(figure, f"Two histograms of distances of unseen pairs: {'; '.join(words)}.")


def pair_of_characters(
    features: np.ndarray,
    pair: Sequence[tuple[int, int]],
    support: np.ndarray,
    margin: float,
    measure: str,
) -> Figure:
    """Draw embeddings in the plane, (classes, drawings, 2), and the loss of a pair of them.

    `pair` holds two (class, drawing), and `support` numbers the drawings that are the support of
    each class: large open signs. `measure` is "Euclidean" or "cosine".
    """
    figure, axes = subplots(figsize=(6, 4.8))
    for k, drawings in enumerate(features):
        sign = {"marker": MARKERS[k % 6], "color": CLASSES[k % 6], "linestyle": ""}
        axes.plot(*drawings.T, alpha=0.6, **sign)
        axes.plot(*drawings[support].T, markersize=11, fillstyle="none", mew=2.5, **sign)
    one, two = (features[chosen].tolist() for chosen in pair)
    different = pair[0][0] != pair[1][0]
    axes.axis("scaled")
    axes.autoscale(False)
    distance, loss = draw_pair(axes, one, two, different, margin, measure)
    axes.plot(*zip(one, two, strict=True), "o:", color="black", markersize=8)
    axes.set(xlabel="feature 1", ylabel="feature 2", title=f"D = {distance:.2f}   L = {loss:.3f}")
    kind = "different characters" if different else "one character"
    return describe(
        figure,
        f"Drawings of {len(features)} characters never seen in training, in the plane of a network "
        f"with two features, a colour and a sign each. Large open signs are the support drawings. "
        f"Two drawings of {kind} are joined, at {measure} distance {distance:.2f} with margin "
        f"{margin:g}; their loss is {loss:.3f}.",
    )


def learnt_plane(
    places: np.ndarray, similar: Tensor, different: Tensor, margin: float
) -> Figure:
    """Draw embeddings in the plane, (classes, drawings, 2), and the distances of their pairs."""
    figure, (left, right) = subplots(1, 2, figsize=(7.5, 3.6), width_ratios=(1.2, 1))
    for k, drawings in enumerate(places):
        left.plot(*drawings.T, MARKERS[k], color=CLASSES[k], markersize=5)
    left.set(xlabel="feature 1", ylabel="feature 2", aspect="equal", adjustable="datalim")
    bins = torch.linspace(0, max(margin, different.max().item()), 30).tolist()
    for values, label, colour in ((similar, "similar", BLUE), (different, "different", RED)):
        right.hist(
            values.cpu().numpy(), bins, density=True, alpha=0.55, color=colour, label=label
        )
    right.axvline(margin, color="grey", linestyle="--", label="margin m")
    right.set(xlabel="distance D", yticks=())
    right.legend(loc="upper right")
    return describe(
        figure,
        f"Left, the drawings of {len(places)} characters never trained on, in the plane of a "
        "network with two outputs; right, the distances of their pairs: similar ones lie "
        f"{similar.mean():.2g} apart on average and different ones {different.mean():.2g}, with a "
        f"margin of {margin:.3g}.",
    )


def _box(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    shape = FancyBboxPatch(
        (x - 0.85, y - 0.4), 1.7, 0.8, boxstyle="round,pad=0.05", fc=colour, ec="black"
    )
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", fontsize=9.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "black"})
