"""The pictures of part 5, "Few-shot character recognition".

The learners' colours and their order are the same in all of them. An episode is one task or a
stack of tasks as `meta_lib.tasks.episodes` makes them; answers are labels, one for each query.
"""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.evaluation import estimate
from meta_lib.figures import BLACK, BLUE, RED, describe, subplots
from meta_lib.figures.methods import METHODS, colours
from meta_lib.tasks.episodes import Episode, ImageSet

MARKERS = {"pixels": "s", "from scratch": "D", "Siamese": "o", "MAML": "^", "classifier": "v"}
LETTERS = "ABCDEFGHIJKLMNOPQRST"


def gallery(image_set: ImageSet, classes: int = 6, drawings: int = 10) -> Figure:
    """Draw the first classes of an image set, one to a row."""
    names = list(image_set)[:classes]
    figure, grid = subplots(classes, drawings, figsize=(7, 0.66 * classes))
    for name, row in zip(names, grid, strict=True):
        for axes, image in zip(row, image_set[name], strict=False):
            _image(axes, image)
        row[0].set_ylabel(name.split("/")[-1], rotation=0, ha="right", va="center", fontsize=9)
    return describe(
        figure,
        f"{classes} rows of {drawings} small pictures. Each row is one character drawn by "
        f"{drawings} hands: the strokes stay, while size, slant and thickness change.",
    )


def one_episode(episode: Episode, columns: int = 9) -> Figure:
    """Draw an episode with one support image a class, its queries in a mixed order."""
    ways = len(episode.support_y)
    order = _mixed(len(episode.query_y))
    lines = -(-len(order) // columns)
    figure = _figure(7, 0.85 * (lines + 1) + 0.3)
    above, below = figure.subfigures(2, 1, height_ratios=[1.15, lines], squeeze=False)[:, 0]
    row = above.subplots(1, columns)
    for axes, image, letter in zip(row[1:], episode.support_x, LETTERS, strict=False):
        _image(axes, image, frame=BLACK)
        axes.set_title(letter, fontsize=11, fontweight="bold")
    for axes in (row[0], *row[ways + 1 :]):
        axes.set_axis_off()
    row[0].text(1, 0.5, "support", ha="right", va="center", fontsize=10)
    grid = below.subplots(lines, columns, squeeze=False).flatten()
    for number, (axes, query) in enumerate(zip(grid, order, strict=False), start=1):
        _image(axes, episode.query_x[query])
        axes.set_xlabel(str(number), fontsize=9, labelpad=1)
    for axes in grid[len(order) :]:
        axes.set_axis_off()
    return describe(
        figure,
        f"Above, {ways} characters named {LETTERS[0]} to {LETTERS[ways - 1]}, one drawing of each. "
        f"Below, {len(order)} drawings of the same characters by other hands, numbered and mixed.",
    )


def differences(of: str, accuracies: dict[str, Tensor]) -> Figure:
    """Draw one learner's accuracy less each other's, alone and episode by episode."""
    figure, row = subplots(1, 2, figsize=(7, 2.9), width_ratios=[1.1, 1])
    others = [name for name in accuracies if name != of]
    words = []
    for height, name in enumerate(others):
        paired = accuracies[of] - accuracies[name]
        mean, interval = (100 * number for number in estimate(paired))
        apart = 100 * sum(estimate(accuracies[each]).interval ** 2 for each in (of, name)) ** 0.5
        row[0].errorbar(mean, -height, xerr=apart, color="0.7", capsize=3, fmt="none")
        row[0].errorbar(
            mean, -height - 0.22, xerr=interval, fmt=MARKERS[name], color=METHODS[name], capsize=3
        )
        words.append(f"{name} {mean:+.1f} ± {interval:.1f}, unpaired ± {apart:.1f}")
    row[0].axvline(0, color=BLACK, linestyle=":")
    row[0].set_yticks([-height - 0.1 for height in range(len(others))], others)
    row[0].set(xlabel=f"{of} minus the other, in points")
    row[0].set_title("grey: as if unpaired; coloured: paired", fontsize=9)
    name = others[-1] if "MAML" not in others else "MAML"
    shift = np.random.default_rng(0).uniform(-1, 1, (2, len(accuracies[of])))
    row[1].scatter(
        100 * accuracies[name].cpu() + shift[0], 100 * accuracies[of].cpu() + shift[1],
        s=8, color=METHODS[of], alpha=0.5,
    )  # fmt: skip
    row[1].plot([0, 100], [0, 100], color=BLACK, linestyle=":")
    row[1].set(xlabel=f"{name}, accuracy in %", ylabel=f"{of}, accuracy in %")
    row[1].set(xlim=(20, 103), ylim=(20, 103))
    row[1].set_title("a point for each task, shaken a little", fontsize=9)
    together = np.corrcoef(accuracies[name].cpu(), accuracies[of].cpu())[0, 1]
    return describe(
        figure,
        f"Left: {of} minus the other, in points, paired: {'; '.join(words)}. Right: the "
        f"accuracies of {name} and {of}, a point for each episode; their correlation is "
        f"{together:.2f}.",
    )


def lucky(chosen_on: Tensor, fresh: Tensor) -> Figure:
    """Draw many rulers' accuracies where the best was picked, and on fresh episodes."""
    chosen_on, fresh = 100 * chosen_on.cpu().numpy(), 100 * fresh.cpu().numpy()
    best = chosen_on.argmax()
    figure, axes = subplots(figsize=(7, 3.2))
    bins = np.linspace(
        min(chosen_on.min(), fresh.min()) - 1, max(chosen_on.max(), fresh.max()) + 1, 32
    )
    axes.hist(chosen_on, bins, color=RED, alpha=0.45, label="on the episodes it was picked by")
    axes.hist(fresh, bins, color=BLUE, alpha=0.45, label="on fresh episodes")
    height = axes.get_ylim()[1]
    for value, colour, place in ((chosen_on[best], RED, 0.62), (fresh[best], BLUE, 0.8)):
        axes.axvline(value, color=colour, linewidth=2)
        axes.annotate(
            f"the winner\n{value:.1f} %", (value, place * height), xytext=(6, 0),
            textcoords="offset points", color=colour, fontsize=9, va="center",
        )  # fmt: skip
    axes.set(xlabel="accuracy of a ruler in %", ylabel="number of rulers")
    axes.set_xlim(bins[0], bins[-1] + 3)
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    return describe(
        figure,
        f"Histograms of {len(fresh)} rulers' accuracies. The winner had {chosen_on[best]:.1f} per "
        f"cent on the episodes it was picked by and {fresh[best]:.1f} per cent on fresh ones; the "
        f"means are {chosen_on.mean():.1f} and {fresh.mean():.1f} per cent.",
    )


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure in the style of the book, for a grid of small pictures."""
    figure, axes = subplots(figsize=(width, height))
    axes.remove()
    return figure


def _image(axes: Axes, image: Tensor, frame: str | None = None) -> None:
    axes.imshow(image[0].cpu().numpy(), vmin=0, vmax=1, cmap="gray_r")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(frame or "0.85")
    axes.spines[:].set_linewidth(2 if frame else 0.8)


def _mixed(count: int) -> list[int]:
    """Return 0 … count - 1 in an order that is mixed, but always the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(1)).tolist()


def over_shots(curves: dict[str, list], shots: list[int], ways: int) -> Figure:
    """Draw accuracy with its interval against shots; curves hold (mean, interval) by name."""
    figure, axes = subplots(figsize=(7, 3.6))
    colour = colours(curves)
    for place, (name, rows) in enumerate(curves.items()):
        means, halves = (100 * np.array(each) for each in zip(*rows, strict=True))
        axes.errorbar(
            shots, means, halves, fmt=("o-", "o--")[place % 2],
            color=colour[name], markersize=4, capsize=2, label=name,
        )  # fmt: skip
    axes.axhline(100 / ways, color=BLACK, linestyle=":", linewidth=1)
    axes.set(xscale="log", ylim=(0, 102), xlabel="shots K", ylabel="accuracy, %")
    axes.set_xticks(shots, shots)
    axes.minorticks_off()
    axes.legend(fontsize=9)
    ends = ", ".join(
        f"{name} from {100 * rows[0][0]:.0f} to {100 * rows[-1][0]:.0f}"
        for name, rows in curves.items()
    )
    return describe(
        figure,
        f"Accuracy in per cent with {ways} ways, from {shots[0]} to {shots[-1]} shots: {ends}.",
    )
