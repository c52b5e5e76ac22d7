"""Pictures of part 6, "Where these ideas stand"."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, RED, describe, subplots

LANES = {"metric": ORANGE, "initialisation": BLUE, "update rule": RED, "memory, context": GREEN}


def timeline(works: dict[str, Sequence[str]]) -> Figure:
    """Draw works, "Name year", along the years, a lane for each of the `LANES` that is learned."""
    figure, axes = subplots(figsize=(7, 4.6))
    for row, (lane, colour) in enumerate(LANES.items()):
        place = len(LANES) - row
        own = sorted((int(words.split()[-1]), words) for words in works[lane])
        axes.axhline(place, color=colour, linewidth=2, alpha=0.4)
        for number, (year, words) in enumerate(own):
            # Names in four heights, so that neighbours in time do not lie on each other.
            height = (0.21, 0.38, -0.2, -0.38)[number % 4]
            axes.plot([year, year], [place, place + height * 0.75], color=colour, linewidth=0.8)
            axes.plot(year, place, "o", color=colour, markersize=4)
            axes.annotate(words, (year, place + height), ha="right", fontsize=8,
                          va="center", color=BLACK)  # fmt: skip
    names = [lane.replace(", ", ",\n") for lane in LANES]
    axes.set(yticks=range(len(LANES), 0, -1), yticklabels=names, xlim=(1978, 2025),
             ylim=(0.4, len(LANES) + 0.6))  # fmt: skip
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    said = "; ".join(f"{lane}: {', '.join(works[lane])}" for lane in LANES)
    return describe(figure, f"A timeline of works, by what is learned. {said}.")


def in_context(
    x: Sequence[float], y: Sequence[float], curve: np.ndarray, best: np.ndarray, words: str
) -> Figure:
    """Draw a context of points, and two lines (2, points): of some layers, and of least squares."""
    figure, axes = subplots(figsize=(5.4, 3.4))
    axes.plot(*best, color=BLACK, linestyle="--", label="least squares")
    axes.plot(*curve, color=BLUE, label=words)
    axes.plot(x, y, "o", color=ORANGE, label="the context")
    axes.set(xlabel="x", ylabel="y", xlim=(-2, 2), ylim=(-3, 3))
    axes.legend()
    ends = f"from {curve[1][0]:.2f} at x = {curve[0][0]:g} to {curve[1][-1]:.2f}"
    return describe(
        figure, f"{len(x)} points and the line of {words}, {ends}; least squares lies dashed."
    )


def attention_and_outside(
    x: np.ndarray,
    truth: np.ndarray,
    curves: dict[str, np.ndarray],
    context_x: np.ndarray,
    context_y: np.ndarray,
) -> Figure:
    """Draw what several readers of one context answer, within it and outside."""
    figure, axes = subplots(figsize=(7, 3.2))
    axes.axvspan(min(context_x), max(context_x), color="grey", alpha=0.12)
    axes.plot(x, truth, color=BLACK, linestyle=":", label="the task")
    for (name, curve), colour in zip(curves.items(), (BLUE, RED, GREEN), strict=False):
        axes.plot(x, curve, color=colour, label=name)
    axes.plot(context_x, context_y, "o", color=ORANGE, label="the context")
    axes.set(xlabel="x of the query", ylabel="answer")
    axes.legend(ncols=2, fontsize=8)
    ends = ", ".join(f"{name} {curve[-1]:.1f}" for name, curve in curves.items())
    return describe(
        figure,
        f"Answers along x, the context's range shaded. At x = {x[-1]:g} the task has "
        f"{truth[-1]:.1f}; {ends}.",
    )
