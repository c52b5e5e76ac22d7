"""The pictures of the book: one style, and a description for whoever cannot see them.

Each module holds the drawings of one chapter. A drawing is a plain function from numbers to a
matplotlib figure that carries its own description, so that the same function serves a still
picture, a widget (`meta_lib.moving`) and a reader's own experiment.
"""

import base64
import inspect
import io
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from PIL import Image

from meta_lib.figures.narrow import fold

# Okabe & Ito's colours, which colour-blind readers can tell apart, and a seventh for classes.
# What has which of them is said in `meta_lib.figures.methods`.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, INDIGO, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#46269A", "#333333",
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

    The metadata say how large the picture is, and hold a narrow version for phones where its words
    fit into one.

    Raises ValueError if the figure has no description.
    """
    if not figure.get_label():
        raise ValueError("the figure has no description: call describe(figure, …) first")
    data = {"image/png": _drawn(figure), "text/plain": figure.get_label()}
    width, height = (round(inches * DOTS_PER_INCH) for inches in figure.get_size_inches())
    metadata: dict[str, Any] = {"width": width, "height": height}
    if fold(figure):
        metadata["narrow"] = _drawn(figure)
    plt.close(figure)
    return data, {"image/png": metadata}


def _drawn(figure: Figure) -> str:
    with io.BytesIO() as drawn, io.BytesIO() as small:
        figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH * SHARPNESS)
        # 64 colours are plenty for a chart, and a quarter of the bytes in every notebook.
        Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
            small, "png", optimize=True
        )
        return base64.b64encode(small.getvalue()).decode()


def show(figure: Figure) -> None:
    """Display a described figure, as a picture with its description beneath the surface."""
    data, metadata = bundle(figure)
    display(data, metadata=metadata, raw=True)


def show_source(*functions: Callable) -> None:
    """Display the source code of functions or classes, as it stands in the library."""
    source = "\n\n".join(inspect.getsource(function).rstrip() for function in functions)
    display(Markdown(f"```python\n{source}\n```"))


def shades(count: int) -> np.ndarray:
    """Return blues from light to dark, (count, 4), for curves that have an order."""
    return plt.get_cmap("Blues")(np.linspace(0.4, 1, count))
