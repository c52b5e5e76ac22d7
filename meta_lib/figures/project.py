"""The pictures of part 5, "Few-shot character recognition", and its table of costs.

The learners' colours and their order are the same in all of them. An episode is one task or a
stack of tasks as `meta_lib.tasks.episodes` makes them; answers are labels, one for each query.
"""

import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from meta_lib.evaluation import estimate
from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, RED, describe, subplots
from meta_lib.tasks.episodes import Episode, ImageSet

COLOURS = {
    "pixels": BLACK,
    "from scratch": ORANGE,
    "Siamese": BLUE,
    "MAML": RED,
    "gated LSTM": GREEN,
}
MARKERS = {"pixels": "s", "from scratch": "D", "Siamese": "o", "MAML": "^", "gated LSTM": "v"}
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


def settings(table: Tensor, alphas: list[float], steps: list[int], title: str) -> Figure:
    """Draw validation accuracies (alphas, steps) as a table shaded by its values."""
    values = 100 * table.cpu().numpy()
    figure, axes = subplots(figsize=(4.6, 0.5 + 0.55 * len(alphas)))
    axes.imshow(values, cmap="Blues", aspect="auto", vmin=values.min() - 3, vmax=values.max() + 3)
    axes.grid(False)
    best = np.unravel_index(values.argmax(), values.shape)
    for cell in np.ndindex(values.shape):
        axes.text(
            cell[1], cell[0], f"{values[cell]:.1f}", ha="center", va="center",
            color="white" if values[cell] > values.mean() else BLACK,
            fontweight="bold" if cell == best else "normal",
        )  # fmt: skip
    axes.set(
        xticks=range(len(steps)), xticklabels=steps, yticks=range(len(alphas)), yticklabels=alphas,
        xlabel="inner steps", ylabel="α", title=f"{title}: accuracy in %",
    )  # fmt: skip
    return describe(
        figure,
        f"{title}: validation accuracies in per cent for {len(alphas)} inner rates and "
        f"{len(steps)} numbers of steps. The best, {values[best]:.1f} per cent, is at "
        f"α = {alphas[best[0]]:g} with {steps[best[1]]} steps.",
    )


def scores(results: dict[str, dict[str, Tensor]], chance: dict[str, float]) -> Figure:
    """Draw each learner's accuracy and its 95 % interval, a panel for each setting.

    `results` goes from a setting to learners to accuracies, one number for each episode.
    """
    names = list(next(iter(results.values())))
    figure, row = subplots(1, len(results), figsize=(7, 3), sharex=True, sharey=True, squeeze=False)
    words = []
    for axes, (setting, learners) in zip(row[0], results.items(), strict=True):
        for name, accuracies in learners.items():
            height = -names.index(name)
            mean, interval = (100 * number for number in estimate(accuracies))
            axes.errorbar(
                mean, height, xerr=interval, fmt=MARKERS[name], markersize=4, capsize=4,
                color=COLOURS[name],
            )  # fmt: skip
            axes.text(mean, height + 0.25, f"{mean:.1f}", ha="center", fontsize=9)
            words.append(f"{setting}, {name} {mean:.1f} ± {interval:.1f}")
        axes.set_title(f"{setting}\n(guessing: {100 * chance[setting]:.0f} %)", fontsize=10)
        axes.set(xlabel="accuracy in %", xlim=(30, 100), ylim=(0.4 - len(names), 0.7))
    row[0][0].set_yticks([-height for height in range(len(names))], names)
    return describe(figure, f"Accuracies in per cent with 95 % intervals: {'; '.join(words)}.")


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
            mean, -height - 0.22, xerr=interval, fmt=MARKERS[name], color=COLOURS[name], capsize=3
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
        s=8, color=COLOURS[of], alpha=0.5,
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


def read_by_all(
    episodes: Episode, answers: dict[str, Tensor], number: int, only: str = "all"
) -> Figure:
    """Draw episode `number` of a stack: its queries, and beside each what the learners read.

    `only` names one learner to look at, or "all". The queries bear the numbers of `one_episode`.
    """
    episode = Episode(*(tensor[number] for tensor in episodes))
    ways = int(episode.query_y.max()) + 1
    shots, queries = (len(labels) // ways for labels in (episode.support_y, episode.query_y))
    numbers = {query: str(place) for place, query in enumerate(_mixed(ways * queries), start=1)}
    names = list(answers) if only == "all" else [only]
    figure = _figure(7, 1.05 * (queries + 1) + 0.4)
    grid = figure.subplots(queries + 1, ways)
    for label in range(ways):
        _image(grid[0][label], episode.support_x[label * shots], frame=BLACK)
        grid[0][label].set_title(f"{LETTERS[label]} (support)", fontsize=9)
        for line in range(queries):
            query = label * queries + line
            axes = grid[line + 1][label]
            _image(axes, episode.query_x[query])
            axes.text(
                0.04, 0.95, numbers[query], transform=axes.transAxes, va="top", fontsize=8,
                color="0.4",
            )  # fmt: skip
            for place, name in enumerate(names):
                said = int(answers[name][number][query])
                axes.text(
                    1.12, 0.9 - 0.21 * place, "✓" if said == label else LETTERS[said],
                    transform=axes.transAxes, ha="left", va="center", fontsize=8.5,
                    color=COLOURS[name], fontweight="normal" if said == label else "bold",
                )  # fmt: skip
    right = {name: int((answers[name][number] == episode.query_y).sum().item()) for name in names}
    figure.suptitle("Beside each query, from above: " + ", ".join(names), fontsize=9)
    total = ways * queries
    return describe(
        figure,
        f"Test episode {number}: {ways} support characters in the first row, their queries below, "
        f"and beside each query what was read. Right of {total}: "
        + ", ".join(f"{name} {count}" for name, count in right.items()) + ".",
    )  # fmt: skip


def mistakes(rows: list[tuple[Tensor, Tensor, Tensor]], learner: str) -> Figure:
    """Draw mistakes side by side: the query, its own class's example, the example it was taken for.

    Each row holds three images (1, height, width).
    """
    figure = _figure(7, 2.9)
    grid = figure.subplots(3, len(rows))
    for column, row in zip(grid.T, rows, strict=True):
        for axes, image, frame in zip(column, row, (None, BLUE, RED), strict=True):
            _image(axes, image, frame=frame)
    for axes, label in zip(grid[:, 0], ("query", "its class", "taken for"), strict=True):
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    return describe(
        figure,
        f"{len(rows)} mistakes of {learner}, in columns: above a query, in the middle the support "
        "drawing of its own class, below the drawing that it was taken for.",
    )


def hard_classes(images: list[Tensor], counts: list[dict[str, float]]) -> Figure:
    """Draw characters, and beneath each the error rate of each learner on its queries."""
    figure = _figure(7, 3.0)
    top, bottom = figure.subplots(2, len(images), height_ratios=[1, 1.6])
    for axes, image in zip(top, images, strict=True):
        _image(axes, image)
    words = []
    for axes, rates in zip(bottom, counts, strict=True):
        axes.bar(
            range(len(rates)), [100 * rate for rate in rates.values()],
            color=[COLOURS[name] for name in rates],
        )  # fmt: skip
        axes.set(ylim=(0, 100), xticks=[], yticks=[])
        axes.spines[["top", "right", "left"]].set_visible(False)
        words.append("/".join(f"{100 * rate:.0f}" for rate in rates.values()))
    bottom[0].set_yticks([0, 50, 100])
    bottom[0].set_ylabel("misread, %")
    names = list(counts[0])
    handles = [bottom[0].bar([0], [0], color=COLOURS[name]) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=9,
                  frameon=False)  # fmt: skip
    return describe(
        figure,
        f"{len(images)} characters, from the most to the least often misread, with the share of "
        f"misread queries in per cent for {', '.join(names)}: {', '.join(words)}.",
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


def company(results: dict[str, dict[str, Tensor]]) -> Figure:
    """Draw accuracies by how the queries were handed over, a line of points for each learner."""
    figure, axes = subplots(figsize=(7, 3.2))
    words = []
    ways = list(next(iter(results.values())))
    for offset, (name, by_way) in enumerate(results.items()):
        means, intervals = zip(*(estimate(values) for values in by_way.values()), strict=True)
        places = np.arange(len(ways)) + 0.12 * (offset - (len(results) - 1) / 2)
        axes.errorbar(
            places, 100 * np.array(means), yerr=100 * np.array(intervals), fmt=MARKERS[name],
            color=COLOURS[name], capsize=3, label=name,
        )  # fmt: skip
        said = ", ".join(
            f"{way.replace(chr(10), ' ')} {100 * mean:.1f}"
            for way, mean in zip(ways, means, strict=True)
        )
        words.append(f"{name}: {said}")
    axes.axhline(20, color=BLACK, linestyle=":")
    axes.set_xticks(range(len(ways)), ways)
    axes.set(ylabel="accuracy in %", ylim=(0, 100), xlim=(-0.5, len(ways) - 0.5))
    axes.legend(loc="upper center", ncols=len(results), fontsize=9, frameon=False)
    return describe(figure, f"Accuracy by how queries are handed over. {'. '.join(words)}.")


class _Memory(TorchDispatchMode):
    """Counts the bytes of all tensors made while it is on, and the most that were held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        function: Callable,
        types: Iterable[type],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = [t.untyped_storage() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.untyped_storage() not in given:
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage not in self.known:
            size = storage.nbytes()
            self.known.add(storage)
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.held -= size


def cost(step: Callable[[], object]) -> tuple[float, float]:
    """Return the processor seconds of one call of `step`, and its peak of tensors in MiB."""
    start = time.process_time()
    step()
    seconds = time.process_time() - start
    with _Memory() as memory:
        step()
    return seconds, memory.peak / 2**20


def cost_table(
    sizes: dict[str, int],
    training: dict[str, Callable[[], object]],
    reading: dict[str, Callable[[], object]],
    iterations: dict[str, int],
) -> Markdown:
    """Return a table of what each learner costs, to be shown as a cell's last line.

    `sizes` counts trained numbers; `training` runs one iteration, and `reading` one task.
    """
    rows = [
        "| learner | trained numbers | meta-training: iterations | time | peak memory | "
        "reading one task: time | peak memory |",
        "| --- |" + " ---: |" * 6,
    ]
    for name in reading:
        cells = [f"{sizes[name]:,}" if name in sizes else "0"]
        if name in training:
            seconds, memory = cost(training[name])
            cells += [f"{iterations[name]}", f"{seconds * iterations[name]:.0f} s"]
            cells.append(f"{memory:.1f} MiB")
        else:
            cells += ["–"] * 3
        seconds, memory = cost(reading[name])
        cells += [f"{1000 * seconds:.1f} ms", f"{memory:.1f} MiB"]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return Markdown("\n".join(rows))


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
    for place, (name, rows) in enumerate(curves.items()):
        means, halves = (100 * np.array(each) for each in zip(*rows, strict=True))
        style = "-" if place % 2 == 0 else "--"
        axes.errorbar(shots, means, halves, fmt=f"o{style}", markersize=4, capsize=2, label=name)
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
