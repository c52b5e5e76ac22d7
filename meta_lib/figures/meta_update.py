"""The pictures of part 4, "MAML's meta-update"."""

import weakref
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from torch import Tensor

from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, describe, subplots

HIGHEST = 10.5
WIDEST = 1e6


def dial(
    phi: float,
    alpha: float,
    a: ArrayLike = (1.0, 4.0),
    c: ArrayLike = (-1.0, 2.0),
    steps: int = 1,
) -> Figure:
    """Draw two parabolas ½ a (θ - c)² with the inner steps from φ, and the loss before and after.

    Left: the losses of the two tasks, and where `steps` steps of rate α take them from φ. Right:
    their sum at φ, before and after adaptation, and the point where first-order MAML stops.
    """
    a, c = np.array(a, dtype=float), np.array(c, dtype=float)
    shrink = (1 - alpha * a) ** steps
    grid = np.linspace(-3, 4, 301)
    figure, (left, right) = subplots(1, 2, figsize=(7, 3.5))
    ends = []
    for task, colour in enumerate((GREEN, ORANGE)):
        height = _visible(0.5 * a[task] * (grid - c[task]) ** 2)
        left.plot(
            grid, height, color=colour, label=f"task {task + 1}: a = {a[task]:g}, c = {c[task]:g}"
        )
        theta = c[task] + (1 - alpha * a[task]) ** np.arange(steps + 1) * (phi - c[task])
        loss = 0.5 * a[task] * (theta - c[task]) ** 2
        left.plot(theta, loss, "-", color=colour, linewidth=1)
        left.plot(theta[1:], loss[1:], "o", color=colour, markersize=6)
        left.plot(phi, loss[0], "o", color=BLACK, markersize=6)
        ends.append((theta[-1], loss[-1]))
    left.set(xlabel="θ", ylabel="loss of a task", ylim=(-0.5, 17), xlim=(-3, 4))
    left.set_title(f"from φ = {phi:g} (black) to θ′", fontsize=10)
    left.legend(fontsize=8, loc="upper center", frameon=False)

    before = (0.5 * a[:, None] * (grid - c[:, None]) ** 2).sum(0)
    after = (0.5 * (a * shrink**2)[:, None] * (grid - c[:, None]) ** 2).sum(0)
    right.plot(grid, _visible(before), color=BLACK, linestyle="--", label="before adaptation")
    right.plot(grid, _visible(after), color=BLUE, label="after adaptation: the meta-loss")
    rest = {
        "joint training": (a @ c / a.sum(), "s", BLACK, before),
        "MAML": ((a * shrink**2) @ c / (a * shrink**2).sum(), "o", BLUE, after),
    }
    if abs((a * shrink).sum()) > 1e-9:
        rest["first-order"] = ((a * shrink) @ c / (a * shrink).sum(), "^", PURPLE, after)
    places = {}
    for name, (place, marker, colour, curve) in rest.items():
        places[name] = f"{name} {place:.2f}"
        if -3 <= place <= 4:
            height = np.interp(place, grid, curve)
            right.plot(
                place, height, marker, color=colour, markersize=8, label=f"{name}: φ* = {place:.2f}"
            )
    right.set(xlabel="φ", ylabel="sum of the losses", ylim=(-0.5, 17), xlim=(-3, 4))
    right.legend(fontsize=8, loc="upper center", frameon=False)
    arrivals = " and ".join(f"θ′ = {end:.2f} (loss {loss:.2f})" for end, loss in ends)
    return describe(
        figure,
        f"Two parabolas with curvatures {a[0]:g} and {a[1]:g}. From φ = {phi:g}, with α = "
        f"{alpha:.3g} and {steps} inner step(s), they reach {arrivals}. On the right the sum of "
        f"the losses before and after adaptation; resting places: {', '.join(places.values())}.",
    )


def step_sizes(h: Sequence[float], curves: dict[str, Sequence[float]]) -> Figure:
    """Draw how far each of three formulas (by name) is from the finite differences of width h.

    The first is MAML's, the last the first-order rule's.
    """
    figure, axes = subplots(figsize=(7, 3.6))
    looks = zip(curves.items(), (BLUE, RED, PURPLE), "osv", strict=True)
    for (name, errors), colour, marker in looks:
        axes.loglog(h, errors, color=colour, marker=marker, markersize=4, label=name)
    axes.set(xlabel="width h of the finite difference", ylabel="relative difference")
    axes.set_ylim(top=100)
    axes.legend(ncol=len(curves), loc="upper center", frameon=False)
    middle = len(h) // 2
    ends = ", ".join(
        f"{name} {'below 1e-6' if errors[middle] < 1e-6 else format(errors[middle], '.2g')}"
        for name, errors in curves.items()
    )
    return describe(
        figure,
        "Relative difference between three formulas for the meta-gradient and central finite "
        f"differences, against the width h from {h[0]:.0e} to {h[-1]:.0e}, both on logarithmic "
        f"scales. At h = {h[middle]:.0e}: {ends}. Only the correct formula falls into a valley.",
    )


def bowls(
    H: ArrayLike, c: ArrayLike, phi: ArrayLike, alpha: float, beta: float, steps: int
) -> Figure:
    """Draw inner paths on two bowls ½ (θ - c)⊤ H (θ - c), the pulls on φ, and the outer paths.

    H is (2, 2, 2), c is (2, 2) and φ is (2,). Pulls are downhill: -β times the gradient of a task.
    The gradients are added up over the tasks, as in the formula.
    """
    H, c, phi = (np.asarray(each, dtype=float) for each in (H, c, phi))
    J = np.eye(2) - alpha * H
    figure, (left, right) = subplots(1, 2, figsize=(7, 4.1), sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-3, 3, 81), np.linspace(-2.6, 2.6, 81))
    sheet = np.stack([x, y], axis=-1)
    full, first = np.zeros(2), np.zeros(2)
    for task, colour in enumerate((GREEN, ORANGE)):
        offset = sheet - c[task]
        height = 0.5 * np.einsum("...i,ij,...j->...", offset, H[task], offset)
        left.contour(x, y, height, levels=(0.15, 0.6, 1.4, 2.5), colors=colour, alpha=0.3)
        left.plot(*c[task], "+", color=colour, markersize=10, markeredgewidth=2)
        theta = [phi]
        for _ in range(steps):
            theta.append(c[task] + J[task] @ (theta[-1] - c[task]))
        path = np.clip(np.array(theta), -WIDEST, WIDEST)
        left.plot(*path.T, "-o", color=colour, markersize=4, linewidth=1.5)
        slope = H[task] @ (path[-1] - c[task])
        pull = np.linalg.matrix_power(J[task], steps) @ slope
        first, full = first + slope, full + pull
        _arrow(left, path[-1], -beta * slope, PURPLE)
        _arrow(left, path[-1], -beta * pull, BLUE)
    go, go_first = phi - beta * full, phi - beta * first
    left.plot(*phi, "o", color=BLACK, markersize=7, zorder=5)
    left.plot(*go, "o", color=BLUE, markersize=9, zorder=5)
    left.plot(*go_first, "^", color=PURPLE, markersize=9, zorder=5)
    left.set(xlabel="first coordinate", ylabel="second coordinate")
    left.set_title(f"α = {alpha:.2g}, {steps} inner step(s)", fontsize=10)

    shrink = np.stack([np.linalg.matrix_power(each, steps) for each in J])
    meta = np.zeros_like(x)
    for task in range(2):
        offset = (sheet - c[task]) @ shrink[task].T
        meta = meta + 0.5 * np.einsum("...i,ij,...j->...", offset, H[task], offset)
    levels = meta.min() + (np.percentile(meta, 70) - meta.min()) * np.array([0.03, 0.12, 0.3, 0.6])
    right.contour(x, y, meta, levels=levels, colors=BLACK, alpha=0.3)
    ends = {}
    for name, power, colour, marker in (("MAML", 2, BLUE, "o"), ("first-order", 1, PURPLE, "^")):
        pulls = np.stack([H[i] @ np.linalg.matrix_power(J[i], power * steps) for i in range(2)])
        path = [phi]
        for _ in range(60):
            slope = sum(pulls[i] @ (path[-1] - c[i]) for i in range(2))
            path.append(np.clip(path[-1] - beta * slope, -WIDEST, WIDEST))
        path = np.array(path)
        right.plot(*path.T, marker=marker, color=colour, markersize=3, linewidth=1, label=name)
        last = path[-1]
        away = np.abs(last).max() > 10
        ends[name] = "far away" if away else f"at ({last[0]:.2f}, {last[1]:.2f})"
        if not away:
            right.plot(*last, marker=marker, color=colour, markersize=9)
    right.plot(*phi, "o", color=BLACK, markersize=7, zorder=5)
    right.set(xlabel="first coordinate", xlim=(-3, 3), ylim=(-2.6, 2.6))
    right.set_title(f"60 meta-updates, β = {beta:.2g}", fontsize=10)
    figure.legend(
        handles=[
            Line2D([], [], color=GREEN, marker="o", markersize=4, label="task 1: φ to θ′"),
            Line2D([], [], color=ORANGE, marker="o", markersize=4, label="task 2: φ to θ′"),
            Line2D([], [], color=BLUE, marker="o", linewidth=3, label="MAML's pull, next φ"),
            Line2D([], [], color=PURPLE, marker="^", linewidth=3, label="first-order's"),
        ],
        loc="outside lower center", ncol=4, fontsize=8, frameon=False,
    )  # fmt: skip
    return describe(
        figure,
        f"Two bowls and φ at ({phi[0]:g}, {phi[1]:g}), with α = {alpha:.2g}, β = {beta:.2g} and "
        f"{steps} inner step(s). The next φ is ({go[0]:.2f}, {go[1]:.2f}) by MAML and "
        f"({go_first[0]:.2f}, {go_first[1]:.2f}) by the first-order rule. After 60 meta-updates "
        f"MAML is {ends['MAML']} and first-order {ends['first-order']}.",
    )


def _visible(heights: np.ndarray) -> np.ndarray:
    """Cut curves off below the legend."""
    return np.where(heights < HIGHEST, heights, np.nan)


def _arrow(axes: Axes, start: np.ndarray, move: np.ndarray, colour: str) -> None:
    if np.abs(move).max() < 20 and np.abs(start).max() < 20:
        look = {"color": colour, "arrowstyle": "-|>", "linewidth": 2.5, "mutation_scale": 14,
                "shrinkA": 0, "shrinkB": 0}  # fmt: skip
        axes.annotate("", tuple(start + move), tuple(start), arrowprops=look, annotation_clip=True)


class _Remembered:
    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def bytes_kept(compute: Callable[[], Tensor]) -> int:
    """Return how many bytes autograd keeps for the way back from `compute()`.

    Each tensor counts once, and only if it is still kept when `compute` has returned.
    """
    kept: weakref.WeakSet[_Remembered] = weakref.WeakSet()

    def remember(tensor: Tensor) -> _Remembered:
        kept.add(remembered := _Remembered(tensor))
        return remembered

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda remembered: remembered.tensor):
        result = compute()
        stores = [remembered.tensor.untyped_storage() for remembered in kept]
    del result
    return sum({store.data_ptr(): store.nbytes() for store in stores}.values())
