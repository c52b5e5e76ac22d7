"""The pictures of part 1: "The limits of machine learning" and "What meta-learning offers"."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.figures import BLACK, BLUE, GREEN, RED, describe, subplots
from meta_lib.figures.methods import CLASSES, colours

MARKERS = "osv^D"


def three_limits(labelled: Tensor, shifted: Tensor, names: list[str]) -> Figure:
    """Draw the three limits: few labels, changed images (names below them), a new task.

    `labelled` holds one image of each digit, 0 to 9; `shifted` ten versions of one image.
    """
    figure, grid = subplots(3, 10, figsize=(7, 3.6))
    titles = ("1  few labels", "2  other conditions", "3  a new task")
    for row, (axes_row, images) in enumerate(zip(grid, (labelled, shifted, labelled), strict=True)):
        for column, (axes, image) in enumerate(zip(axes_row, images, strict=True)):
            _image(axes, image)
            colour = (BLUE if column < 5 else RED) if row == 2 else BLACK
            axes.set_xlabel(names[column] if row == 1 else column, color=colour, fontsize=8)
            if row == 2:
                axes.spines[:].set_visible(True)
                axes.spines[:].set(color=colour, linewidth=2)
        axes_row[0].set_title(titles[row], loc="left", fontsize=10)
    return describe(
        figure,
        "Three rows of handwritten digits, 8 × 8 pixels each. First: one labelled image of each "
        f"digit 0 to 9. Second: one image in ten versions, {', '.join(names)}. Third: the digits "
        "0 to 4 framed in blue, the task learned first, and 5 to 9 in red, the task that follows.",
    )


def label_curves(labels: list[int], draws: dict[str, np.ndarray], power: tuple) -> Figure:
    """Draw accuracy and error against labels per class.

    `draws` holds accuracies (sizes, draws) by name; `power` is (c, b) of the first one's error
    c · n^-b.
    """
    figure, (left, right) = subplots(1, 2, figsize=(7, 3.5))
    said = []
    for place, (name, each) in enumerate(draws.items()):
        colour, marker = CLASSES[place], MARKERS[place]
        mean = each.mean(axis=1)
        x = np.repeat(np.array(labels) * 0.92 * 1.08**place, each.shape[1])
        left.plot(x, 100 * each.ravel(), ".", color=colour, alpha=0.3, markersize=3)
        left.plot(labels, 100 * mean, color=colour, marker=marker, markersize=4, label=name)
        right.plot(
            labels, 100 * (1 - mean), color=colour, marker=marker, markersize=4, linestyle="none"
        )
        said.append(
            f"{name} from {100 * mean[0]:.0f} % with {labels[0]} to {100 * mean[-1]:.0f} % with "
            f"{labels[-1]}"
        )
    c, b = power
    line = np.array([labels[0], 10 * labels[-1]])
    right.plot(line, 100 * c * line**-b, color=BLUE, linewidth=1)
    right.plot(line, 100 * c * line**-b, "--", color="white", linewidth=1)
    right.annotate(
        f"error = {c:.2f} · n$^{{-{b:.2f}}}$", (12, 100 * c * 12**-b), xytext=(8, 10),
        textcoords="offset points", color=BLUE,
    )  # fmt: skip
    left.set(xscale="log", xlabel="labels per class, n", ylabel="accuracy, %")
    right.set(xscale="log", yscale="log", xlabel="labels per class, n", ylabel="error, %")
    left.set_xticks(labels, labels)
    right.set_xticks([1, 10, 100, 1000], [1, 10, 100, 1000])
    right.set_yticks([1, 2, 5, 10, 20, 40], [1, 2, 5, 10, 20, 40])
    left.minorticks_off()
    right.minorticks_off()
    left.legend(loc="lower right")
    return describe(
        figure,
        f"Accuracy against labels per class, a dot for each draw of the labelled images: "
        f"{'; '.join(said)}. On the right the error on logarithmic scales lies close to the line "
        f"{c:.2f} · n^-{b:.2f}.",
    )


def shift_curves(panels: dict[str, tuple], chance: float = 0.1) -> Figure:
    """Draw accuracy against the amount of shift, a panel for each kind.

    `panels` goes from the label of the horizontal axis to (amounts, {model: accuracies}).
    """
    figure, grid = subplots(1, len(panels), figsize=(7, 3.2), sharey=True, squeeze=False)
    said = []
    for axes, (label, (amounts, models)) in zip(grid[0], panels.items(), strict=True):
        for (name, values), colour, marker in zip(models.items(), CLASSES, MARKERS, strict=False):
            values = 100 * np.array(values)
            axes.plot(amounts, values, color=colour, marker=marker, markersize=4, label=name)
            said.append(f"{name}, {label}: {values[0]:.0f} to {values[-1]:.0f} %")
        axes.axhline(100 * chance, color=BLACK, linestyle=":", linewidth=1)
        axes.set(xlabel=label, ylim=(0, 102))
    grid[0, 0].set_ylabel("accuracy, %")
    grid[0, 0].text(amounts[0], 100 * chance + 1, "guessing", fontsize=8)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncol=len(names), fontsize=9)
    return describe(
        figure, f"Accuracy against the amount of shift, from none to the most. {'; '.join(said)}."
    )


def misread(images: Tensor, truth: Tensor, predicted: Tensor, sure: Tensor) -> Figure:
    """Draw images in two rows with what they are, what they were read as, and how surely."""
    columns = (len(images) + 1) // 2
    figure, grid = subplots(2, columns, figsize=(7, 2.9), squeeze=False)
    words = []
    for axes, image, is_, read, how in zip(
        grid.ravel(), images, truth.tolist(), predicted.tolist(), sure.tolist(), strict=False
    ):
        _image(axes, image)
        axes.set_title(f"{is_} read as {read}", fontsize=9, color=BLACK if is_ == read else RED)
        axes.set_xlabel(f"{100 * how:.0f} % sure", fontsize=8)
        words.append(f"{is_} as {read}")
    return describe(figure, f"Digits and how the network reads them: {', '.join(words)}.")


def forgetting(steps: list[int], runs: dict[str, tuple]) -> Figure:
    """Draw accuracy on the old and on the new task while a network trains on the new one.

    `runs` goes from a name to (accuracies on the old task, accuracies on the new one).
    """
    figure, grid = subplots(1, 2, figsize=(7, 3.3), sharey=True)
    said = []
    for (name, both), colour, marker in zip(runs.items(), CLASSES, MARKERS, strict=False):
        for axes, values in zip(grid, both, strict=True):
            axes.plot(
                steps, 100 * np.array(values), color=colour, marker=marker, markersize=3,
                markevery=5, label=name,
            )  # fmt: skip
        said.append(f"{name}: old {100 * both[0][-1]:.0f} %, new {100 * both[1][-1]:.0f} %")
    for axes, title in zip(
        grid, ("old task, digits 0 to 4", "new task, digits 5 to 9"), strict=True
    ):
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="steps on the new task", ylim=(-3, 103))
    grid[0].set_ylabel("accuracy, %")
    figure.legend(
        *grid[0].get_legend_handles_labels(), loc="outside lower center", ncol=len(runs), fontsize=9
    )
    return describe(
        figure,
        f"Accuracy on the old and the new task over {steps[-1]} steps on the new one. At the end: "
        f"{'; '.join(said)}.",
    )


def reader(
    images: Tensor,
    truth: Tensor,
    predicted: Tensor,
    labels: list[int],
    accuracies: list[float],
    chosen: int,
    title: str,
) -> Figure:
    """Draw one image of each digit as it is read, and accuracy against labels per class."""
    figure, (tops, below) = subplots(2, 10, figsize=(7, 3.9), height_ratios=(1, 2.4))
    for axes in below:
        axes.remove()
    curve = figure.add_subplot(tops[0].get_gridspec()[1, :])
    for axes, image, is_, read in zip(
        tops, images, truth.tolist(), predicted.tolist(), strict=True
    ):
        _image(axes, image)
        axes.set_xlabel(read, color=GREEN if is_ == read else RED, fontsize=11)
    right = int((truth == predicted).sum())
    curve.plot(labels, 100 * np.array(accuracies), color=BLUE, marker="o", markersize=4)
    at = 100 * accuracies[labels.index(chosen)]
    curve.plot(chosen, at, "o", color=RED, markersize=9)
    curve.annotate(f"{at:.0f} %", (chosen, at), xytext=(6, -14), textcoords="offset points")
    curve.axhline(10, color=BLACK, linestyle=":", linewidth=1)
    curve.grid(True, alpha=0.25)
    curve.spines[["top", "right"]].set_visible(False)
    curve.set(xscale="log", ylim=(0, 102), xlabel="labels per class", ylabel="accuracy, %")
    curve.set_xticks(labels, map(str, labels))
    curve.minorticks_off()
    figure.suptitle(title, fontsize=10)
    return describe(
        figure,
        f"{title}: of one test image of each digit, {right} of 10 are read correctly by the "
        f"network with {chosen} labels per class, and {at:.0f} % of the whole test set. Below, "
        f"accuracy against labels per class goes from {100 * accuracies[0]:.0f} to "
        f"{100 * accuracies[-1]:.0f} %.",
    )


def _image(axes: Axes, image: Tensor) -> None:
    axes.imshow(image[0].cpu().numpy(), vmin=0, vmax=1, cmap="gray_r")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def tasks(episodes: dict, ways: int) -> Figure:
    """Draw one-shot episodes, by name, a row each: support images framed, then query images."""
    figure, grid = subplots(
        len(episodes), 2 * ways + 1, figsize=(7, 0.72 * len(episodes) + 0.6),
        width_ratios=[1] * ways + [0.9] + [1] * ways, squeeze=False,
    )  # fmt: skip
    for row, ((name, episode), axes_row) in enumerate(zip(episodes.items(), grid, strict=True)):
        colour = RED if row == len(episodes) - 1 else BLUE
        for axes, image in zip(axes_row[:ways], episode.support_x, strict=True):
            _image(axes, image)
            axes.spines[:].set_visible(True)
            axes.spines[:].set(color=colour, linewidth=2)
        for axes, image in zip(axes_row[ways + 1 :], episode.query_x, strict=True):
            _image(axes, image)
        axes_row[ways].axis("off")
        axes_row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=colour)
    grid[0, ways // 2].set_title("support", fontsize=10)
    grid[0, ways + 1 + ways // 2].set_title("query", fontsize=10)
    return describe(
        figure,
        f"{len(episodes)} tasks, a row each: {', '.join(episodes)}. In each row {ways} framed "
        f"support images, one of each class, and {ways} query images, one of each class, drawn by "
        "other hands. The last row shows digits, the others invented characters.",
    )


def shots_curves(panels: dict, ticks: list[int]) -> Figure:
    """Draw accuracy against labels per class with intervals, a panel for each condition.

    `panels` goes from a title to {method: {labels per class: Estimate}}.
    """
    figure, grid = subplots(1, len(panels), figsize=(7, 3.7), sharey=True, squeeze=False)
    said = []
    for axes, (title, methods) in zip(grid[0], panels.items(), strict=True):
        _shots(axes, methods, ticks)
        axes.set_title(title, fontsize=10)
        said += [f"{title}, {each}" for each in _said(methods)]
    grid[0, 0].set_ylabel("accuracy, %")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncol=len(names), fontsize=9)
    return describe(figure, f"Accuracy against labels per class. {'; '.join(said)}.")


def compare(support: Tensor, query: Tensor, readings: dict, scores: dict, title: str) -> Figure:
    """Draw a support and a query row with two readings below, and the accuracy of each method.

    `readings` goes from a method to the labels it gives to the query images, 0 to 9 in order.
    """
    figure, (*rows, below) = subplots(3, 10, figsize=(7, 4.2), height_ratios=(1, 1, 1.5))
    for axes in below:
        axes.remove()
    bars = figure.add_subplot(below[0].get_gridspec()[2, :])
    for axes_row, images, name in zip(rows, (support, query), ("support", "query"), strict=True):
        for axes, image in zip(axes_row, images, strict=True):
            _image(axes, image)
        axes_row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for digit, axes in enumerate(rows[1]):
        read = [int(labels[digit]) for labels in readings.values()]
        axes.set_xlabel("  ".join(map(str, read)), fontsize=9)
    colour = colours(scores)
    for place, (name, value) in enumerate(scores.items()):
        bars.barh(place, 100 * value, color=colour[name], height=0.6)
        bars.text(100 * value + 1, place, f"{100 * value:.0f} %", va="center")
    bars.set(xlim=(0, 108), xlabel="accuracy, %")
    bars.set_yticks(range(len(scores)), list(scores))
    bars.invert_yaxis()
    bars.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    said = ", ".join(f"{name} {100 * value:.0f} %" for name, value in scores.items())
    right = ", ".join(
        f"{name} {sum(int(labels[d]) == d for d in range(10))}" for name, labels in readings.items()
    )
    return describe(
        figure,
        f"{title}. One labelled and one query image of each digit; of these ten queries read "
        f"correctly: {right}. Accuracy over several draws: {said}.",
    )


def _shots(axes: Axes, methods: dict, ticks: list[int]) -> None:
    colour = colours(methods)
    for (name, estimates), marker in zip(methods.items(), MARKERS, strict=False):
        mean = [100 * each.mean for each in estimates.values()]
        half = [100 * each.interval for each in estimates.values()]
        axes.errorbar(
            list(estimates), mean, half, color=colour[name], marker=marker, markersize=4,
            capsize=2, label=name,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="labels per class, K", ylim=(0, 102))
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()


def _said(methods: dict) -> list[str]:
    said = []
    for name, estimates in methods.items():
        (first, one), *_, (last, many) = estimates.items()
        said.append(
            f"{name} {100 * one.mean:.0f} % with {first} to {100 * many.mean:.0f} % with {last}"
        )
    return said
