"""Part 2, "Meta-learning and machine learning": the two levels, episodes, and numbers of classes.

Nothing here learns: each function goes from numbers to a described figure.
"""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from meta_lib.evaluation import Estimate
from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, RED, describe, subplots
from meta_lib.tasks.episodes import Episode


def levels() -> Figure:
    """Draw what is learned from what: one task on the left, many tasks on the right."""
    figure, (left, right) = subplots(1, 2, figsize=(7, 3.9), width_ratios=(1, 1.55))
    for axes, title in ((left, "machine learning"), (right, "meta-learning")):
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        axes.set_title(title)
        axes.grid(False)
        axes.spines[:].set_visible(False)
    _box(left, 0.5, 0.85, "examples", BLUE, 0.62)
    _arrow(left, (0.5, 0.78), (0.5, 0.6))
    _box(left, 0.5, 0.52, "learner A\n(chosen by hand)", BLACK, 0.62)
    _arrow(left, (0.5, 0.43), (0.5, 0.25))
    _box(left, 0.5, 0.17, "predictor\ninput → output", GREEN, 0.62)
    for x, task in ((0.13, "task 1"), (0.43, "task 2"), (0.73, "task 3")):
        _box(right, x, 0.85, f"support\nof {task}", BLUE, 0.25)
        _arrow(right, (x, 0.76), (x, 0.6))
        _box(right, x, 0.52, "learner\n$A_φ$", ORANGE, 0.25)
        _arrow(right, (x, 0.43), (x, 0.27))
        _box(right, x, 0.17, f"loss on query\nof {task}", RED, 0.25)
    right.text(0.905, 0.85, "…", ha="center", va="center", fontsize=14)
    right.plot([0.865, 0.95, 0.95], [0.17, 0.17, 0.52], color=ORANGE, linewidth=1.8)
    _arrow(right, (0.95, 0.52), (0.865, 0.52), ORANGE)
    right.text(0.985, 0.33, "change φ", rotation=90, va="center", ha="center", color=ORANGE)
    return describe(
        figure,
        "Two diagrams. Left, machine learning: examples go into a learner A that was chosen by "
        "hand, and out comes a predictor from inputs to outputs. Right, meta-learning: the support "
        "set of each of many tasks goes into the same learner A with parameters φ; the losses on "
        "the tasks' query sets lead back to the learner and change φ.",
    )


def episode(task: Episode, ways: int) -> Figure:
    """Draw one episode: a row for each class, its support images left, its queries right."""
    shots, queries = len(task.support_y) // ways, len(task.query_y) // ways
    figure, grid = subplots(
        ways,
        shots + queries + 1,
        figsize=(min(7, 0.62 * (shots + queries) + 1.2), 0.62 * ways + 0.4),
        squeeze=False,
        width_ratios=[1] * shots + [0.4] + [1] * queries,
    )
    for label, row in enumerate(grid):
        support = list(task.support_x[task.support_y == label])
        query = list(task.query_x[task.query_y == label])
        for axes, image, colour in zip(
            row, [*support, None, *query], [BLUE] * shots + [BLACK] + [RED] * queries, strict=True
        ):
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(image is not None)
            if image is not None:
                axes.spines[:].set(color=colour, linewidth=1.5)
                axes.imshow(image[0].cpu(), vmin=0, vmax=1, cmap="gray_r")
        row[0].set_ylabel(f"class {label}", rotation=0, ha="right", va="center")
    grid[0, (shots - 1) // 2].set_title("support", color=BLUE)
    grid[0, shots + 1 + (queries - 1) // 2].set_title("query", color=RED)
    return describe(
        figure,
        f"An episode of {ways} ways and {shots} shot{'s' * (shots > 1)}: {ways} rows, one for each "
        f"class of invented characters. Left, {shots} labelled support drawing"
        f"{'s' * (shots > 1)} a class, framed in blue; right, {queries} query drawings a class by "
        "other hands, framed in red.",
    )


def many_waves(x: Tensor, waves: Tensor, single: Tensor, mean: Tensor) -> Figure:
    """Draw waves (tasks, points, 1), the model trained on all of them, and their mean."""
    figure, axes = subplots()
    x = x.flatten().cpu()
    for number, wave in enumerate(waves.squeeze(-1).cpu()):
        label = "waves of the training tasks" if number == 0 else None
        axes.plot(x, wave, color=BLACK, alpha=0.25, linewidth=0.8, label=label)
    axes.plot(x, single.flatten().cpu(), color=RED, linewidth=2.5, label="one model for all waves")
    axes.plot(x, mean.flatten().cpu(), color=BLACK, linestyle="--", label="mean of all waves")
    axes.set(xlabel="input x", ylabel="output y", ylim=(-6.5, 5.3))
    axes.legend(ncols=3, loc="lower center", fontsize=9)
    return describe(
        figure,
        f"{len(waves)} thin grey sine waves of many amplitudes and phases between -5 and 5. The "
        "one model trained on such waves draws a single wave of middling height, which lies on "
        "the dashed curve of their mean, -1.62 cos x, and follows none of the grey ones.",
    )


def two_answers(x: Tensor, truth: Tensor, task: Episode, single: Tensor, adapted: Tensor) -> Figure:
    """Draw, for each of a few waves, its support points and the two models' curves.

    truth and adapted are (tasks, points, 1), single is (points, 1), task a stack of episodes.
    """
    figure, row = subplots(1, len(truth), figsize=(7, 2.9), sharey=True)
    x = x.flatten().cpu()
    for number, axes in enumerate(row):
        axes.plot(x, truth[number].cpu(), color=BLACK, linewidth=1, label="the wave")
        axes.plot(x, single.cpu(), color=RED, linestyle=":", label="one model for all")
        axes.plot(x, adapted[number].cpu(), color=BLUE, label="a learner, after its step")
        axes.plot(
            task.support_x[number].cpu(), task.support_y[number].cpu(), "o", color=ORANGE,
            label="support points",
        )  # fmt: skip
        axes.set(xlabel="input x", title=f"new wave {number + 1}")
    row[0].set_ylabel("output y")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    shots = task.support_x.shape[1]
    return describe(
        figure,
        f"{len(truth)} new sine waves, each with {shots} support points. The dotted curve of the "
        "single model is the same in every panel; the learner's curve differs from panel to panel "
        "and bends towards that panel's points.",
    )


def by_classes(
    curves: dict[str, dict[int, Estimate]], lines: dict[str, float], note: str
) -> Figure:
    """Draw accuracies, in per cent, over the number of meta-training classes.

    `curves` has a name and {number of classes: estimate} each; `lines` are levels to compare with.
    """
    figure, axes = subplots()
    colours = (GREEN, ORANGE, RED)[-len(curves) :]
    for colour, (name, points) in zip(colours, curves.items(), strict=True):
        counts = list(points)
        means = torch.tensor([100 * point.mean for point in points.values()])
        spread = torch.tensor([100 * point.interval for point in points.values()])
        axes.plot(counts, means, "o-", color=colour, markersize=4, label=name)
        axes.fill_between(counts, means - spread, means + spread, color=colour, alpha=0.2)
    for style, (name, level) in zip(("--", ":"), lines.items(), strict=False):
        axes.axhline(100 * level, color=BLACK, linestyle=style, linewidth=1, label=name)
    axes.set(
        xscale="log", xlabel="classes in meta-training", ylabel="query accuracy, %",
        ylim=(0, 103), xticks=counts, xticklabels=counts, title=note,
    )  # fmt: skip
    axes.minorticks_off()
    axes.legend(fontsize=9, loc="lower right")
    ends = "; ".join(
        f"{name}: {100 * points[counts[0]].mean:.0f} % with {counts[0]} classes, "
        f"{100 * points[counts[-1]].mean:.0f} % with {counts[-1]}"
        for name, points in curves.items()
    )
    levels = ", ".join(f"{name} {100 * level:.0f} %" for name, level in lines.items())
    return describe(
        figure,
        f"Accuracy over the number of meta-training classes, {note}. "
        f"{ends[0].upper() + ends[1:]}. Level lines: {levels}.",
    )


def _box(axes: Axes, x: float, y: float, words: str, colour: str, width: float) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.08), width, 0.16, boxstyle="round,pad=0.005,rounding_size=0.03",
            facecolor=colour + "22", edgecolor=colour, linewidth=1.2,
        )
    )  # fmt: skip
    axes.text(x, y, words, ha="center", va="center", fontsize=9)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = BLACK
) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.3})
