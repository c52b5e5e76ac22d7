"""The pictures of the preface: one example of each character, then others in other hands."""

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.figures import BLACK, BLUE, GREEN, RED, describe, subplots
from meta_lib.tasks.episodes import Episode

LETTERS = "ABCDEFGHIJ"


def puzzle(episode: Episode) -> Figure:
    """Draw a one-shot episode as a riddle: named examples above, nameless drawings below."""
    ways, queries = len(episode.support_x), len(episode.query_x)
    figure, grid = _rows(max(ways, queries))
    for name, axes, image in zip(LETTERS, grid[0], episode.support_x, strict=False):
        _draw(axes, image, name, BLUE)
    for axes, image in zip(grid[1], episode.query_x, strict=False):
        _draw(axes, image, "?", "black")
    return describe(
        figure,
        f"Above, one drawing each of {ways} invented characters, named {LETTERS[0]} to "
        f"{LETTERS[ways - 1]}. Below, {queries} drawings of the same characters in other hands, "
        "without names.",
    )


def answers(episode: Episode, predicted: dict[str, Tensor]) -> Figure:
    """Draw the riddle with its answers: a row for each learner, wrong names in red."""
    ways, queries = len(episode.support_x), len(episode.query_x)
    figure, grid = _rows(max(ways, queries), rows=1 + len(predicted))
    for name, axes, image in zip(LETTERS, grid[0], episode.support_x, strict=False):
        _draw(axes, image, name, BLUE)
    words = []
    for row, (learner, labels) in zip(grid[1:], predicted.items(), strict=True):
        row[0].set_ylabel(learner)
        right = labels == episode.query_y
        words.append(f"{learner} names {int(right.sum())} right")
        for axes, image, label, good in zip(row, episode.query_x, labels, right, strict=False):
            _draw(axes, image, LETTERS[label] + ("" if good else " ✗"), GREEN if good else RED)
    return describe(
        figure,
        f"Of {queries} drawings of {ways} new characters, {', '.join(words)}. Wrong names are red "
        "and marked with a cross.",
    )


def _rows(columns: int, rows: int = 2) -> tuple[Figure, Any]:
    figure, grid = subplots(rows, columns, figsize=(7, 0.35 + 7 / columns * 0.9 * rows))
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
    return figure, grid


def _draw(axes: Axes, image: Tensor, title: str, colour: str) -> None:
    axes.imshow(image[0].cpu().numpy(), vmin=0, vmax=1, cmap="gray_r")
    axes.set_title(title, color=colour, fontsize=11)


def shuffled(episode: Episode, queries: int, generator: torch.Generator) -> Episode:
    """Return the episode with `queries` of its query images, in a random order."""
    order = torch.randperm(len(episode.query_x), generator=generator)[:queries]
    return episode._replace(query_x=episode.query_x[order], query_y=episode.query_y[order])


def hand(support: list, query: list, distances: dict[str, float]) -> Figure:
    """Draw the symbols with their distances from the query, and the query, as strokes.

    A drawing is a list of strokes, a stroke a list x, y, x, y, …
    """
    answer = min(distances, key=distances.__getitem__, default=None)
    figure, row = _rows(len(support) + 1, rows=1)
    figure.set_size_inches(7, 1.8)
    for axes, drawing, name in zip(
        row, [*support, query], [*LETTERS[: len(support)], "?"], strict=True
    ):
        axes.set(xlim=(-4, 67), ylim=(67, -4), aspect="equal")
        for stroke in drawing:
            axes.plot(stroke[::2], stroke[1::2], color=BLACK, linewidth=2)
        axes.set_title(name, color=GREEN if name == answer else BLUE, fontsize=11)
        if name in distances:
            axes.set_xlabel(f"D = {distances[name]:.2f}")
    listed = ", ".join(f"{name} {distance:.2f}" for name, distance in distances.items())
    found = f" The network's distances from the query are {listed}: it is nearest to {answer}."
    return describe(
        figure,
        f"{len(support)} symbols, drawn once each, and one more drawing, the query."
        + (found if distances else ""),
    )
