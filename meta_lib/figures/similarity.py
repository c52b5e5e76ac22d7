"""The pictures of "Similarity and the contrastive loss"."""

import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from meta_lib import siamese
from meta_lib.figures import BLUE, GREEN, ORANGE, RED, describe, subplots


def nearest_by(query: Tensor, candidates: dict[str, Tensor]) -> Figure:
    """Draw a query vector and its candidates, and name the nearest by distance and by cosine."""
    figure, axes = subplots(figsize=(6, 4))
    for name, vector in {**candidates, "query": query}.items():
        colour, width = ("black", 4) if name == "query" else (BLUE, 2)
        _arrow(axes, torch.zeros(2), vector, colour, width)
        axes.text(vector[0] + 0.1, vector[1] - 0.25, name, color=colour, fontsize=12)
    by_distance = min(candidates, key=lambda n: siamese.euclidean_distance(query, candidates[n]))
    by_cosine = max(candidates, key=lambda n: siamese.cosine_similarity(query, candidates[n]))
    near, along = candidates[by_distance], candidates[by_cosine]
    axes.plot(*torch.stack([query, near]).T.tolist(), color=RED, linestyle="--")
    axes.plot([0, 2 * along[0]], [0, 2 * along[1]], color=GREEN, linestyle=":")
    axes.set(xlim=(-0.3, 5), ylim=(-0.3, 3.4), xlabel="feature 1", ylabel="feature 2")
    axes.set_aspect("equal")
    axes.set_title(f"nearest by distance: {by_distance} (dashed) · by cosine: {by_cosine} (dotted)")
    return describe(
        figure,
        f"A query arrow and {len(candidates)} candidate arrows from the origin. The tip of "
        f"{by_distance} is nearest to the query's tip; {by_cosine} points most nearly in its "
        "direction.",
    )


def loss_by_distance(margin: float) -> Figure:
    """Draw the contrastive loss and its slope over the distance, for both kinds of pair."""
    distance = torch.linspace(0, 2.2 * margin, 300).requires_grad_()
    figure, (left, right) = subplots(1, 2, figsize=(7.5, 3.3))
    for label, different, colour in (("similar, Y = 0", 0.0, BLUE), ("different, Y = 1", 1.0, RED)):
        loss = siamese.contrastive_loss(distance, torch.full_like(distance, different), margin)
        (slope,) = torch.autograd.grad(loss.sum(), distance)
        x = distance.detach().cpu().numpy()
        left.plot(x, loss.detach().cpu().numpy(), color=colour, label=label)
        right.plot(x, slope.cpu().numpy(), color=colour, label=label)
    for axes, name in ((left, "loss L"), (right, "slope dL/dD")):
        axes.axvline(margin, color="grey", linewidth=0.8, linestyle="--")
        axes.set(xlabel="distance D", title=name)
        axes.text(margin, axes.get_ylim()[1], " margin m", va="top", color="grey")
    left.legend(loc="center left", fontsize=9)
    return describe(
        figure,
        f"Loss and slope over the distance D with margin {margin:g}. For a similar pair the loss "
        "is half D squared and the slope D. For a different pair the loss falls from half the "
        "margin squared to 0 at the margin and stays 0 beyond; its slope is D minus the margin, "
        "then 0.",
    )


def pair_and_loss(
    f1: Sequence[float], f2: Sequence[float], different: bool, margin: float, measure: str
) -> Figure:
    """Draw a pair in the plane with its gradients, and beside it where it stands on its loss.

    `measure` is "Euclidean" or "cosine".
    """
    figure, (left, right) = subplots(1, 2, figsize=(7.5, 3.8))
    distance, loss = draw_pair(left, f1, f2, different, margin, measure)
    for point, name in ((f1, "f₁"), (f2, "f₂")):
        left.plot(*point, "o", color=BLUE, markersize=9)
        left.annotate(name, point, (7, 7), textcoords="offset points", fontsize=12)
    left.set(xlim=(-2, 2), ylim=(-2, 2), xlabel="feature 1", ylabel="feature 2")
    left.set_aspect("equal")
    far = torch.linspace(0, 2 if measure == "cosine" else 4, 200)
    curve = siamese.contrastive_loss(far, torch.full_like(far, different), margin)
    right.plot(far.numpy(), curve.numpy(), color=BLUE)
    right.plot(distance, loss, "o", color=RED, markersize=9)
    right.axvline(margin, color="grey", linestyle="--", label="margin m")
    right.set(xlabel="distance D", ylabel="loss L", title=f"D = {distance:.2f}   L = {loss:.3f}")
    right.legend()
    moves = "pull them together"
    if different:
        moves = "push them apart" if loss > 0 else "have no length: the pair is left alone"
    return describe(
        figure,
        f"A {'different' if different else 'similar'} pair in the plane at {measure} distance "
        f"{distance:.2f}, the margin being {margin:g}. The loss is {loss:.3f}; the arrows of "
        f"gradient descent {moves}. Beside it, the loss over the distance.",
    )


def draw_pair(
    axes: Axes,
    f1: Sequence[float],
    f2: Sequence[float],
    different: bool,
    margin: float,
    measure: str,
) -> tuple[float, float]:
    """Draw half a step of gradient descent for both of a pair; return its distance and loss.

    Of a different pair the place of the margin is drawn, too.
    """
    dtype = torch.get_default_dtype()
    pair = [torch.tensor(list(f), dtype=dtype, requires_grad=True) for f in (f1, f2)]
    cosine = measure == "cosine"
    distance = (siamese.cosine_distance if cosine else siamese.euclidean_distance)(*pair)
    loss = siamese.contrastive_loss(distance, torch.full_like(distance, different), margin)
    if different and not cosine:
        axes.add_patch(Circle((f2[0], f2[1]), margin, fill=False, linestyle="--", color="grey"))
    if different and cosine and margin < 2:
        for turn in (-math.acos(1 - margin), math.acos(1 - margin)):
            angle = math.atan2(f2[1], f2[0]) + turn
            axes.axline((0, 0), (math.cos(angle), math.sin(angle)), color="grey", linestyle="--")
    for point, slope in zip(pair, torch.autograd.grad(loss, pair), strict=True):
        if slope.norm() > 1e-3:
            _arrow(axes, point.detach(), point.detach() - slope / 2, ORANGE, 2.5)
    return distance.item(), loss.item()


def _arrow(axes: Axes, start: Tensor, end: Tensor, colour: str, width: float) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tuple(end.tolist()), tuple(start.tolist()), arrowprops=style)


def forces_by_angle(degrees: Tensor, forces: dict[tuple[str, float], Tensor]) -> Figure:
    """Draw the size of the loss's slope over the angle, of similar and of different pairs.

    `forces` has a value for each angle; its keys are the name of a distance, and Y.
    """
    figure, panels = subplots(1, 2, figsize=(7.5, 3.3), sharey=True)
    names = list(dict.fromkeys(name for name, _ in forces))
    at, words = (degrees - 15).abs().argmin(), []
    for axes, different, title in zip(panels, (0, 1), ("pull", "push"), strict=True):
        kind = "different" if different else "similar"
        for name, colour, line in zip(names, (BLUE, ORANGE), ("-", "--"), strict=True):
            force = forces[name, different]
            axes.plot(degrees.cpu().numpy(), force.cpu().numpy(), line, color=colour, label=name)
            words.append(f"the {title} by the {name} distance is {force[at]:.2f}")
        axes.set(title=f"{kind} pairs: the {title}", xlabel="angle ω, degrees")
        axes.set_xticks(range(0, 181, 45))
    panels[0].set_ylabel("size of the slope dL/dω")
    panels[0].legend()
    return describe(
        figure,
        f"The size of the loss's slope over the angle, 0 to 180 degrees, for similar pairs and for "
        f"different ones. At 15 degrees {', '.join(words)}.",
    )
