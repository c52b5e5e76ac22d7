"""The pictures of "Meta-learning and transfer learning"."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.figures import BLUE, GREEN, ORANGE, RED, describe, subplots

COLOURS = {"from scratch": ORANGE, "pre-trained": BLUE, "meta-learned": RED}


def three_starts() -> Figure:
    """Draw the idea: three starting points, and how far each is from what a task needs."""
    figure, axes = subplots(figsize=(7, 3))
    axes.set(xlim=(0, 10), ylim=(0, 4.4), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    goals = [(7.2, 3.6), (8.8, 3.1), (9.2, 1.6), (8.2, 0.7), (6.6, 0.9)]
    for number, goal in enumerate(goals):
        axes.plot(*goal, "*", color=GREEN, markersize=15)
        axes.text(goal[0] + 0.18, goal[1] + 0.1, f"task {number + 1}", color=GREEN)
    starts = {"from scratch": (1.2, 1.0), "pre-trained": (5.0, 3.4), "meta-learned": (7.8, 2.1)}
    for name, start in starts.items():
        axes.plot(*start, "o", color=COLOURS[name], markersize=11)
        axes.text(start[0], start[1] - 0.45, name, color=COLOURS[name], ha="center")
        for goal in goals:
            axes.plot(*zip(start, goal, strict=True), color=COLOURS[name], alpha=0.3, linewidth=1)
    return describe(
        figure,
        "Five stars are the best weights for five tasks. The weights from scratch lie far from all "
        "of them, pre-trained ones nearer, where one shared problem put them, and the "
        "meta-learned ones in the middle, chosen so that every star is a few steps away.",
    )


def by_steps(curves: dict[str, Tensor], y: str, note: str, log: bool = False) -> Figure:
    """Draw each contender's result over the number of steps, with 95 % bands over tasks.

    A curve is (tasks, steps + 1).
    """
    figure, axes = subplots(figsize=(7, 3.6))
    words = []
    for name, results in curves.items():
        results = results.detach().cpu()
        mean, steps = results.mean(dim=0), torch.arange(results.shape[1])
        half = 1.96 * results.std(dim=0) / len(results) ** 0.5
        axes.plot(steps, mean, "o-", markersize=4, color=COLOURS[name], label=name)
        axes.fill_between(steps, mean - half, mean + half, color=COLOURS[name], alpha=0.2)
        words.append(f"{name} from {mean[0]:.2f} to {mean[-1]:.2f}")
    axes.set(xlabel="gradient steps on the new task", ylabel=y, title=note)
    axes.set_yscale("log" if log else "linear")
    axes.legend()
    return describe(
        figure, f"{y} over {len(steps) - 1} steps on a new task, {note}: {', '.join(words)}."
    )
