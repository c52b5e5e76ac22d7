"""The pictures of part 3, "MAML"."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, describe, subplots

BOWLS = np.array([[[3.0, 0.0], [0.0, 0.4]], [[0.5, 0.4], [0.4, 2.6]], [[2.0, -1.5], [-1.5, 2.0]]])
LOWEST = np.array([[-1.6, 0.3], [0.9, -1.5], [1.4, 1.6]])
TOP = 1e3


def starting_points(alpha: float = 0.3) -> Figure:
    """Draw three tasks over two parameters, and one inner step from two starting points.

    Left from the point that is best before any step, right from the one best after a step.
    """
    J = np.eye(2) - alpha * BOWLS
    figure, panels = subplots(1, 2, figsize=(7, 3.7), sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-3, 3, 121), np.linspace(-3, 3, 121))
    sheet = np.stack([x, y], axis=-1)
    losses = []
    for axes, weights, title in (
        (panels[0], BOWLS, "best before any step"),
        (panels[1], J @ BOWLS @ J, "best after one step (MAML)"),
    ):
        phi = np.linalg.solve(weights.sum(0), np.einsum("tij,tj->i", weights, LOWEST))
        after = 0.0
        for task, colour in enumerate((BLUE, ORANGE, GREEN)):
            offset = sheet - LOWEST[task]
            height = 0.5 * np.einsum("...i,ij,...j->...", offset, BOWLS[task], offset)
            axes.contour(x, y, height, levels=(0.08, 0.35, 0.8), colors=colour, alpha=0.45)
            theta = LOWEST[task] + J[task] @ (phi - LOWEST[task])
            axes.annotate(
                "", theta, phi,
                arrowprops={"color": colour, "arrowstyle": "-|>", "linewidth": 2, "shrinkA": 0,
                            "shrinkB": 0},
            )  # fmt: skip
            after += 0.5 * (theta - LOWEST[task]) @ BOWLS[task] @ (theta - LOWEST[task]) / 3
        axes.plot(*phi, "o", color=BLACK, markersize=8)
        axes.annotate("φ", phi, xytext=(7, -3), textcoords="offset points", fontsize=12)
        axes.set(xlabel="first parameter", xlim=(-3, 3), ylim=(-3, 3))
        axes.set_title(f"{title}\nmean loss after the step: {after:.2f}", fontsize=10)
        losses.append(after)
    panels[0].set_ylabel("second parameter")
    return describe(
        figure,
        "Three tasks as bowls over two parameters, and one gradient step towards each of them from "
        f"a common start φ. From the start that is best before any step the mean loss after the "
        f"step is {losses[0]:.2f}; from the start that is best after one step it is "
        f"{losses[1]:.2f}, and all three arrows end close to the middle of their bowls.",
    )


def fit(
    x: np.ndarray,
    wave: np.ndarray,
    support_x: np.ndarray,
    support_y: np.ndarray,
    fits: Sequence[np.ndarray],
    errors: Sequence[float],
    alpha: float,
) -> Figure:
    """Draw a network's curve before and after each inner step, and its error after each.

    x, wave and each of `fits` are curves of the same length; `errors` has one number a step.
    """
    figure, (left, right) = subplots(1, 2, figsize=(7, 3.5), width_ratios=(1.8, 1))
    left.plot(x, wave, color=BLACK, linestyle="--", linewidth=1.2, label="the wave")
    for step, curve in enumerate(fits):
        first, last = step == 0, step == len(fits) - 1
        label = "before" if first else f"after {step} step{'s' if step > 1 else ''}"
        left.plot(
            x, np.clip(curve, -TOP, TOP), label=label if first or last or step == 1 else None,
            color=ORANGE if first else BLUE if last else SKY, linewidth=2 if first or last else 0.8,
        )  # fmt: skip
    left.plot(support_x, support_y, "o", color=RED, markersize=6, label="support", zorder=5)
    left.set(xlabel="x", ylabel="y", ylim=(-6.5, 9.5))
    left.legend(fontsize=8, ncol=3, loc="upper center", frameon=False)
    left.set_title(f"{len(support_x)} shots, α = {alpha:.3g}", fontsize=10)
    shown = np.clip(np.nan_to_num(errors, nan=TOP), 1e-3, TOP)
    right.semilogy(range(len(shown)), shown, "o-", color=BLUE)
    right.set(xlabel="inner steps", ylabel="mean squared error on the wave", ylim=(1e-3, 2 * TOP))
    right.xaxis.get_major_locator().set_params(integer=True)
    words = ["off the scale" if not e < TOP else f"{e:.2f}" for e in errors]
    right.set_title(f"error {words[0]} → {words[-1]}", fontsize=10)
    return describe(
        figure,
        f"A sine wave, {len(support_x)} points of it, and the network's curve before and after "
        f"{len(fits) - 1} inner step(s) with α = {alpha:.3g}. Mean squared error before: "
        f"{words[0]}; after each step: {', '.join(words[1:]) or 'no step was taken'}.",
    )


def steps_and_curvature(
    rates: Sequence[float], losses: Sequence[float], limit: float, start: float
) -> Figure:
    """Draw the support loss after the inner steps against α, and `limit`, 2 over the largest λ."""
    figure, axes = subplots(figsize=(7, 3.4))
    shown = np.clip(np.nan_to_num(losses, nan=TOP, posinf=TOP), 1e-6, TOP)
    axes.loglog(rates, shown, "o-", color=BLUE, markersize=3, label="support loss after 10 steps")
    axes.axhline(start, color=BLACK, linestyle=":", label="support loss before")
    for factor, colour in ((2, RED), (1, PURPLE)):
        rate = factor * limit / 2
        name = rf"${factor}/\lambda_{{\max}}$ = {rate:.4f}"
        axes.axvline(rate, color=colour, linestyle="--", label=name)
    axes.set(xlabel="inner learning rate α", ylabel="mean squared error", ylim=(None, TOP / 2))
    axes.legend(fontsize=8, frameon=False)
    worse = next((r for r, value in zip(rates, losses, strict=True) if not value < start), None)
    words = f"about {worse:.2g}" if worse else "no rate tried"
    return describe(
        figure,
        "Support loss of one wave after ten inner steps against α, on logarithmic scales: it falls "
        f"at first, then climbs steeply. It is above the starting loss {start:.2g} from {words} "
        f"on; a vertical line marks 2 over the largest curvature, {limit:.4f}.",
    )
