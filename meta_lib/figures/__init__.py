"""The pictures of the book: one style, and a description for whoever cannot see them.

Each module holds the drawings of one chapter. A drawing is a plain function from numbers to a
matplotlib figure that carries its own description, so that the same function serves a still
picture, a widget (`meta_lib.moving`) and a reader's own experiment.
"""

import base64
import inspect
import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

# Okabe & Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#333333",
)  # fmt: skip

DOTS_PER_INCH = 100
SHARPNESS = 2

STYLE: dict[Any, Any] = {
    "figure.figsize": (7, 3.6),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.prop_cycle": plt.cycler(color=[BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def subplots(*args: Any, **kwargs: Any) -> tuple[Figure, Any]:
    """Return matplotlib's `plt.subplots(…)` in the style of the book."""
    with plt.rc_context(STYLE):
        return plt.subplots(*args, **kwargs)


def describe(figure: Figure, description: str) -> Figure:
    """Give the figure the words that stand for it where it cannot be seen, and return it."""
    figure.set_label(description)
    return figure


def bundle(figure: Figure) -> tuple[dict, dict]:
    """Return the figure as notebook output, picture and description, and its metadata; close it.

    Raises ValueError if the figure has no description.
    """
    if not figure.get_label():
        raise ValueError("the figure has no description: call describe(figure, …) first")
    with io.BytesIO() as drawn, io.BytesIO() as small:
        figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH * SHARPNESS)
        # 64 colours are plenty for a chart, and a quarter of the bytes in every notebook.
        Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
            small, "png", optimize=True
        )
        picture = base64.b64encode(small.getvalue()).decode()
    plt.close(figure)
    width, height = (round(inches * DOTS_PER_INCH) for inches in figure.get_size_inches())
    data = {"image/png": picture, "text/plain": figure.get_label()}
    return data, {"image/png": {"width": width, "height": height}}


def show(figure: Figure) -> None:
    """Display a described figure, as a picture with its description beneath the surface."""
    data, metadata = bundle(figure)
    display(data, metadata=metadata, raw=True)


def show_source(*functions: Callable) -> None:
    """Display the source code of functions or classes, as it stands in the library."""
    source = "\n\n".join(inspect.getsource(function).rstrip() for function in functions)
    display(Markdown(f"```python\n{source}\n```"))


def losses(
    *curves: Sequence[float],
    labels: Sequence[str] = (),
    y: str = "loss",
    smooth: int = 20,
    log: bool = False,
) -> Figure:
    """Draw training curves: thin as measured, thick as their running mean over `smooth` steps."""
    figure, axes = subplots()
    for number, curve in enumerate(curves):
        colour = f"C{number}"
        axes.plot(curve, color=colour, alpha=0.25, linewidth=0.8)
        mean = np.convolve(curve, np.ones(smooth) / smooth, mode="valid")
        label = labels[number] if labels else None
        axes.plot(range(smooth - 1, len(curve)), mean, color=colour, label=label)
    axes.set(xlabel="iteration", ylabel=y, yscale="log" if log else "linear")
    if labels:
        axes.legend()
    ends = ", ".join(
        f"{name} from {curve[0]:.2g} to {np.mean(curve[-smooth:]):.2g}".strip()
        for name, curve in zip(labels or [""] * len(curves), curves, strict=True)
    )
    iterations = len(curves[0])
    return describe(figure, f"Training curve over {iterations} iterations: the {y} goes {ends}.")


def images(
    rows: Sequence[Tensor],
    row_labels: Sequence[str] = (),
    title: str = "",
    description: str = "",
) -> Figure:
    """Draw rows of images; each row is a tensor (columns, 1, height, width)."""
    count, columns = len(rows), max(len(row) for row in rows)
    figure, grid = subplots(
        count, columns, figsize=(min(7, 0.9 * columns + 1), 0.9 * count + 0.3), squeeze=False
    )
    for number, (axes_row, row) in enumerate(zip(grid, rows, strict=True)):
        for axes in axes_row:
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
        for axes, image in zip(axes_row, row, strict=False):
            axes.imshow(image[0].cpu().numpy(), vmin=0, vmax=1, cmap="gray_r")
        if row_labels:
            axes_row[0].set_ylabel(row_labels[number], rotation=0, ha="right", va="center")
    figure.suptitle(title)
    return describe(figure, description or f"{count} rows of images. {title}")
