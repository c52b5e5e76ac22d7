"""The pictures of the recorded runs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from meta_lib.figures import BLACK, describe, subplots


def curve(
    iterations: Sequence[float], losses: Sequence[float], y: str, log: bool = False
) -> Figure:
    """Draw a training curve whose points are means of blocks of iterations."""
    figure, axes = subplots(figsize=(7, 2.8))
    axes.plot(iterations, losses)
    axes.set(xlabel="iteration", ylabel=y, yscale="log" if log else "linear")
    return describe(
        figure,
        f"The recorded training curve over {iterations[-1]:,.0f} iterations: the {y} goes from "
        f"{losses[0]:.2g} to {losses[-1]:.2g}.",
    )


def race(curves: dict[str, Sequence[float]], cut: float = 1e-5) -> Figure:
    """Draw the mean losses of the learned optimizer and its rivals, on a logarithmic axis."""
    figure, axes = subplots(figsize=(7, 3.4))
    for name, losses in curves.items():
        learned = name == "learned"
        axes.plot(
            np.maximum(np.array(losses, dtype=float), cut), label=name,
            color=BLACK if learned else None, linewidth=2.4 if learned else 1.2,
        )  # fmt: skip
    axes.set(xlabel="step", ylabel="mean loss", yscale="log")
    axes.legend(ncols=2)
    ends = ", ".join(f"{name} {losses[-1]:.2g}" for name, losses in curves.items())
    return describe(figure, f"Mean losses along the way; at the end: {ends}.")


def ladder(rows: dict[str, tuple[float, float]], published: dict[str, float]) -> Figure:
    """Draw errors in per cent as dots with intervals, one row a run, beside published errors."""
    figure, axes = subplots(figsize=(7, 0.45 * len(rows) + 1.2))
    places = range(len(rows))[::-1]
    for place, (error, interval) in zip(places, rows.values(), strict=True):
        axes.errorbar(error, place, xerr=interval, fmt="o", color="C0", capsize=3)
        axes.annotate(f"{error:.1f}", (error, place), (0, 6), textcoords="offset points",
                      ha="center", fontsize=9)  # fmt: skip
    for number, (name, error) in enumerate(published.items()):
        axes.axvline(error, color=f"C{number + 1}", linestyle="--", label=f"{name}, {error} %")
    axes.set(yticks=list(places), yticklabels=list(rows), xlabel="error in %", ylim=(-0.6, None))
    axes.set_xlim(left=0)
    axes.legend(loc="lower right")
    said = ", ".join(f"{name} {error:.1f}" for name, (error, _) in rows.items())
    known = ", ".join(f"{name} {error}" for name, error in published.items())
    return describe(figure, f"Errors in per cent: {said}. Published: {known}.")
