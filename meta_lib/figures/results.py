"""The pictures of the recorded runs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from meta_lib.evaluation import Estimate
from meta_lib.figures import BLUE, GREEN, ORANGE, PURPLE, RED, describe, subplots
from meta_lib.figures.lstm_optimizer import DASHES
from meta_lib.figures.methods import colours

Pair = tuple[Estimate, Estimate]
"""Ours and the paper's."""


def race(curves: dict[str, Sequence[float]], cut: float = 1e-5) -> Figure:
    """Draw the mean losses of the learned optimizer and its rivals, on a logarithmic axis."""
    figure, axes = subplots(figsize=(7, 3.4))
    colour = colours(curves)
    for name, losses in curves.items():
        axes.plot(
            np.maximum(np.array(losses, dtype=float), cut / 10),
            label="LSTM" if name == "learned" else name,
            color=colour[name], linestyle=DASHES.get(name, "-"),
            linewidth=2.4 if name == "learned" else 1.2,
        )  # fmt: skip
    # What falls below the cut leaves the picture.
    axes.set(xlabel="step", ylabel="mean loss", yscale="log", ylim=(cut, None))
    axes.legend(ncols=2, loc="lower right")
    ends = ", ".join(f"{name} {losses[-1]:.2g}" for name, losses in curves.items())
    return describe(figure, f"Mean losses along the way; at the end: {ends}.")


def beside(
    ladder: dict[str, Estimate], published: dict[str, float], others: dict[str, Pair]
) -> Figure:
    """Draw errors in per cent, ours as dots with their intervals, one row a run.

    Above, the rungs of a ladder and published errors as lines; below, each run of `others` beside
    a diamond, the paper's figure, whose interval may be 0 where none was published. `published`
    has four errors.
    """
    height = 0.36 * (len(ladder) + len(others)) + 1.6
    figure, (top, low) = subplots(
        2, figsize=(7, height), height_ratios=[len(ladder) + 1.5, len(others) + 1]
    )
    for axes, rows in ((top, ladder), (low, {name: ours for name, (ours, _) in others.items()})):
        places = range(len(rows))[::-1]
        for place, (error, interval) in zip(places, rows.values(), strict=True):
            axes.errorbar(error, place, xerr=[[min(interval, error)], [interval]],  # no error < 0
                          fmt="o", color=BLUE, capsize=3)  # fmt: skip
            axes.annotate(f"{error:.1f}", (error, place), (0, 5), textcoords="offset points",
                          ha="center", fontsize=8)  # fmt: skip
        axes.set(yticks=list(places), yticklabels=list(rows), ylim=(-0.6, len(rows) - 0.3))
    lines = (GREEN, ORANGE, RED, PURPLE)
    for colour, (name, error) in zip(lines, published.items(), strict=True):
        top.axvline(error, color=colour, linestyle="--", label=f"{name}, {error} %")
    for place, (_, (error, interval)) in zip(places, others.values(), strict=True):
        low.errorbar(error, place - 0.15, xerr=interval, fmt="D", color=RED, markersize=4,
                     label="the paper" if place == 0 else None)  # fmt: skip
    for axes, corner in ((top, "lower right"), (low, "upper right")):
        axes.set_xlim(left=0)
        axes.legend(loc=corner, fontsize=8)
    top.set(xlabel="Siamese networks, official runs: error in %")
    low.set(xlabel="Omniglot, random classes: error in %")
    said = ", ".join(f"{name} {error:.1f}" for name, (error, _) in ladder.items())
    known = ", ".join(f"{name} {error}" for name, error in published.items())
    pairs = ", ".join(
        f"{name} {ours.mean:.1f}, the paper {theirs.mean:.1f}"
        for name, (ours, theirs) in others.items()
    )
    return describe(
        figure, f"Errors in per cent. Siamese networks: {said}; published: {known}. {pairs}."
    )
