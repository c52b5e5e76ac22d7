"""Part 2, "Meta-learning and transfer learning": three roads to a new task, and how far they lead.

Nothing here learns: each function goes from numbers to a described figure.
"""

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from meta_lib.evaluation import Estimate
from meta_lib.figures import BLACK, BLUE, GREEN, RED, describe, subplots
from meta_lib.figures.methods import METHODS

CONTENDERS = (
    "from scratch", "pixels, nearest", "new head only",
    "whole network", "features, nearest", "MAML",
)  # fmt: skip


def roads() -> Figure:
    """Draw what each of the three roads does with the old characters and with a new task."""
    rows = (
        ("from scratch", GREEN, "nothing", "gradient steps\non the support set"),
        ("transfer", RED, "learn to name\nall of them\n(pre-training)",
         "new last layer, then\ngradient steps\non the support set"),
        ("meta-learning", BLUE, "practise episodes:\nsteps on a support set,\njudged on queries",
         "gradient steps\non the support set"),
    )  # fmt: skip
    figure, axes = subplots(figsize=(7, 3.8))
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    columns = ((0.245, 0.47), (0.775, 0.43))  # middle and width
    titles = "with the old characters", "with the new task"
    for (x, _), title in zip(columns, titles, strict=True):
        axes.text(x, 0.97, title, ha="center", va="center", weight="bold", fontsize=9)
    for y, (name, colour, *both) in zip((0.74, 0.42, 0.1), rows, strict=True):
        axes.text(0.0, y + 0.13, name, va="center", weight="bold", color=colour)
        for (x, width), words in zip(columns, both, strict=True):
            axes.add_patch(
                FancyBboxPatch(
                    (x - width / 2, y - 0.085), width, 0.17, facecolor=colour + "18",
                    edgecolor=colour, boxstyle="round,pad=0.005,rounding_size=0.02",
                )
            )  # fmt: skip
            axes.text(x, y, words, ha="center", va="center", fontsize=9)
        axes.annotate(
            "", (0.555, y), (0.485, y), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.5}
        )
    return describe(
        figure,
        "Three roads in three rows. From scratch: nothing is done with the old characters; on the "
        "new task, gradient steps on its support set. Transfer: learn to name all old characters, "
        "then put a new last layer on and take gradient steps on the support set. Meta-learning: "
        "practise episodes made of the old characters, taking steps on a support set and being "
        "judged on queries, and on the new task take gradient steps on its support set.",
    )


def search(curves: dict[str, Tensor], level: float, shots: int, rate: float, steps: int) -> Figure:
    """Draw accuracies after 0, 1, … steps, one curve a contender, and mark one number of steps.

    `level` is the accuracy of nearest neighbours on features, which take no step.
    """
    figure, axes = subplots()
    for name, curve in curves.items():
        label = f"{name}: {100 * curve[steps]:.0f} %"
        axes.plot(100 * curve.cpu(), color=METHODS[name], marker="o", markersize=3, label=label)
    name = "features, nearest"
    label = f"{name}: {100 * level:.0f} %"
    axes.axhline(100 * level, color=METHODS[name], linestyle="--", linewidth=1.2, label=label)
    axes.axvline(steps, color=BLACK, linewidth=6, alpha=0.12)
    plural = "s" * (shots > 1)
    axes.set(
        xlabel="gradient steps on the support set", ylabel="validation accuracy (%)",
        ylim=(0, 103), title=f"5 ways, {shots} shot{plural}, rate α = {rate:g}",
    )  # fmt: skip
    axes.legend(title=f"after {steps} step{'s' * (steps != 1)}", fontsize=9, loc="lower right")
    ends = ", ".join(f"{name} {100 * curve[steps]:.0f} %" for name, curve in curves.items())
    return describe(
        figure,
        f"Accuracy on validation episodes of 5 ways and {shots} shot{plural} over the number of "
        f"gradient steps at rate {rate:g}. After {steps}: {ends}; nearest neighbours on "
        f"pre-trained features, without a step, {100 * level:.0f} %.",
    )


def wave_errors(panels: dict[str, dict[str, list[Estimate]]]) -> Figure:
    """Draw errors after 0, 1, … steps, a panel for each family of waves, a curve for each start."""
    figure, row = subplots(1, len(panels), figsize=(7, 3.1), sharey=True)
    for axes, (title, curves) in zip(row, panels.items(), strict=True):
        for name, points in curves.items():
            means = torch.tensor([point.mean for point in points])
            half = torch.tensor([point.interval for point in points])
            steps, colour = range(len(points)), METHODS[name]
            axes.plot(steps, means, color=colour, marker="o", markersize=3, label=name)
            axes.fill_between(steps, means - half, means + half, color=colour, alpha=0.2)
        axes.set(xlabel="gradient steps on 5 points", title=title)
    row[0].set_ylim(bottom=0)
    row[0].set_ylabel("squared error")
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    words = " ".join(
        f"{title}: "
        + ", ".join(f"{name} {p[0].mean:.1f} to {p[-1].mean:.1f}" for name, p in curves.items())
        + "."
        for title, curves in panels.items()
    )
    last = len(points) - 1
    return describe(figure, f"Squared error from 0 to {last} gradient steps on 5 points. {words}")
