"""Pictures of part 5, "Your own images"."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from meta_lib.figures import BLUE, ORANGE, RED, describe, subplots
from meta_lib.tasks.episodes import ImageSet


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def road(photo: str | Path, plain: Tensor, clean: Tensor, support: ImageSet) -> Figure:
    """Draw the way of one picture: as it lies in the folder, as it is read, and what it may be.

    `plain` and `clean` are the ink (1, size, size) without and with cleaning.
    """
    names = list(support)
    figure, grid = subplots(1, 3 + len(names), figsize=(7, 1.25))
    shown = [np.asarray(Image.open(photo)), plain[0].cpu(), clean[0].cpu()]
    titles = ["the file", "read", "cleaned"]
    for axes, picture, title in zip(grid, shown, titles, strict=False):
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=255 if title == "the file" else 1)
        axes.set_title(title, fontsize=8)
        _bare(axes)
    for axes, name in zip(grid[3:], names, strict=True):
        axes.imshow(support[name][0, 0].cpu(), cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(name, fontsize=8, color=BLUE)
        _bare(axes)
    return describe(
        figure,
        "A photographed mark on its way: the picture file, its ink as it is read, the ink cut out "
        f"under even light; beside it one labelled mark of each of {len(names)} makers: "
        f"{', '.join(names)}.",
    )


def scenes(files: dict[str, Path], read: dict[str, Tensor]) -> Figure:
    """Draw a photograph of each scene, and below it what is read of it, (1, size, size)."""
    figure, grid = subplots(2, len(files), figsize=(1.9 * len(files), 3.4), squeeze=False)
    for axes in grid.flat:
        _bare(axes)
    for column, (name, file) in zip(grid.T, files.items(), strict=True):
        column[0].imshow(np.asarray(Image.open(file)))
        column[0].set_title(name, fontsize=9)
        column[1].imshow(read[name][0].cpu(), cmap="gray_r", vmin=0, vmax=1)
    return describe(figure, "One mark in several scenes, each as a photograph, and as it is read "
                    f"and cleaned: {', '.join(files)}.")  # fmt: skip


def reliability(stated: dict[str, tuple[Tensor, Tensor]], bins: int = 5) -> Figure:
    """Draw how many answers are right, by how sure they are.

    `stated` goes from a name to the answers' p and whether each is right, both (queries,).
    """
    bins = min([bins, *(len(p) for p, _ in stated.values())])
    figure, axes = subplots(figsize=(4.6, 3.4))
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    said = []
    for (name, (p, right)), marker in zip(stated.items(), "os^D", strict=False):
        groups = p.argsort().tensor_split(bins)
        x = [p[group].mean().item() for group in groups]
        y = [right[group].double().mean().item() for group in groups]
        axes.plot(x, y, marker=marker, label=name)
        said.append(f"{name}, from {x[0]:.2f} ({y[0]:.0%} right) to {x[-1]:.2f} ({y[-1]:.0%})")
    axes.set(xlabel="stated confidence, mean of a group", ylabel="share that is right",
             xlim=(0, 1.02), ylim=(0, 1.02))  # fmt: skip
    axes.legend()
    return describe(figure, f"Confidence against accuracy, in {bins} groups: {'; '.join(said)}.")


def mistakes(images: Tensor, captions: Sequence[str], title: str) -> Figure:
    """Draw queries that got a wrong name, with a caption each."""
    columns = 8
    rows = max(1, -(-len(images) // columns))  # a row without pictures where nothing is wrong
    figure, grid = subplots(rows, columns, figsize=(7, 1.15 * rows + 0.3), squeeze=False)
    for axes in grid.flat:
        _bare(axes)
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        axes.imshow(image[0].cpu(), cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(caption, fontsize=8, color=RED)
    figure.suptitle(title, fontsize=10)
    said = ", ".join(caption.replace("\n", " ") for caption in captions) or "none"
    return describe(figure, f"{title}: {said}.")


def refusals(scores: Tensor, kind: Tensor, threshold: float, label: str) -> Figure:
    """Draw how sure each answer is, a row for each kind: 0 right, 1 wrong, 2 a stranger."""
    names = ("correctly named", "wrongly named", "strangers")
    figure, axes = subplots(figsize=(7, 2.4))
    for row, colour in enumerate((BLUE, RED, ORANGE)):
        own = scores[kind == row].cpu().numpy()
        axes.vlines(own, 2 - row - 0.35, 2 - row + 0.35, color=colour, linewidth=0.8)
    axes.axvline(threshold, color="black", linestyle="--")
    axes.set(yticks=[2, 1, 0], yticklabels=names, xlabel=label, xlim=(0, 1))
    kept = scores >= threshold
    counts = [f"{int((kept & (kind == row)).sum())} of {int((kind == row).sum())} {name}"
              for row, name in enumerate(names)]  # fmt: skip
    return describe(figure, f"At a threshold of {threshold:g} an answer is given to "
                    f"{', '.join(counts)}.")  # fmt: skip
