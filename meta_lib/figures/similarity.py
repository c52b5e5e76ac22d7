"""The pictures of "Similarity and the contrastive loss"."""

import torch
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


def pair_in_the_plane(x: float, y: float, margin: float, kind: str) -> Figure:
    """Draw two points, their loss, and the steps along which gradient descent moves them."""
    f1 = torch.tensor([x, y], requires_grad=True)
    f2 = torch.tensor([0.0, 0.0], requires_grad=True)
    distance = siamese.euclidean_distance(f1, f2)
    different = torch.tensor(0.0 if kind == "similar" else 1.0)
    loss = siamese.contrastive_loss(distance, different, margin)
    slopes = torch.autograd.grad(loss, (f1, f2))
    figure, axes = subplots(figsize=(5.2, 4.6))
    axes.add_patch(Circle((0, 0), margin, fill=False, linestyle="--", color="grey"))
    for point, slope, name in zip((f1, f2), slopes, ("f₁", "f₂"), strict=True):
        where, step = point.detach(), -slope
        axes.plot(*where.tolist(), "o", color=BLUE, markersize=9)
        axes.text(where[0] + 0.06, where[1] - 0.2, name, fontsize=12)
        if step.norm() > 1e-3:
            _arrow(axes, where, where + step, ORANGE, 2.5)
    axes.set(xlim=(-2, 2), ylim=(-2, 2), xlabel="feature 1", ylabel="feature 2")
    axes.set_aspect("equal")
    axes.set_title(f"D = {distance.item():.2f}   L = {loss.item():.3f}")
    moves = "no arrow: the pair does not move"
    if slopes[0].norm() > 1e-3:
        moves = "arrows " + ("pull them together" if kind == "similar" else "push them apart")
    return describe(
        figure,
        f"A {kind} pair in the plane at distance {distance.item():.2f}, with a circle of radius "
        f"{margin:g}, the margin, around the second point. The loss is {loss.item():.3f}; {moves}.",
    )


def _arrow(axes, start: Tensor, end: Tensor, colour: str, width: float) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end.tolist(), start.tolist(), arrowprops=style)


def disagreement(spreads: list[float], shares: list[float]) -> Figure:
    """Draw how often distance and cosine name different nearest neighbours."""
    figure, axes = subplots(figsize=(6, 3.2))
    axes.plot(spreads, [100 * share for share in shares], "o-", color=BLUE, clip_on=False)
    axes.set(xlabel="spread s of the logarithm of the norms", ylabel="disagreements, % of queries")
    axes.set_ylim(bottom=0)
    return describe(
        figure,
        f"The share of queries whose nearest neighbour differs between distance and cosine climbs "
        f"from {100 * shares[0]:.0f} % when all norms are equal to {100 * shares[-1]:.0f} % when "
        f"their logarithm has spread {spreads[-1]:g}.",
    )
