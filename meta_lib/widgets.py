"""Sliders for a drawing: live with a kernel, a still picture without one.

A widget is a plain function that draws a figure from its parameters, and a control for each of
them. The first picture is an ordinary output of the cell, so a page without a kernel shows it.
"""

import math
from collections.abc import Callable

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from meta_lib.figures import bundle

STILL = (
    "<p><em>This picture moves where the notebook runs: open the chapter in Jupyter or Colab to "
    "change {names}.</em></p>"
)


def log_slider(symbol: str, low: float, high: float, value: float) -> ipywidgets.FloatLogSlider:
    """Return a slider with a logarithmic scale from `low` to `high`, labelled with the symbol."""
    return ipywidgets.FloatLogSlider(
        description=symbol, min=math.log10(low), max=math.log10(high), step=0.05, value=value,
        readout_format=".3g", continuous_update=False,
    )  # fmt: skip


def slider(symbol: str, low: float, high: float, value: float, step: float = 1):
    """Return a slider from `low` to `high`, for whole numbers if value and step are."""
    whole = isinstance(value, int) and isinstance(step, int)
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(
        description=symbol, min=low, max=high, step=step, value=value, continuous_update=False
    )


def choice(symbol: str, *options) -> ipywidgets.Dropdown:
    """Return a menu of options, the first one chosen."""
    return ipywidgets.Dropdown(description=symbol, options=options)


def explore(draw: Callable[..., Figure], **controls: ipywidgets.Widget) -> None:
    """Show `draw(name=value, …)` with its controls, and draw it anew when one is moved.

    `draw` is called with the value of each control, by name, and returns a described figure.
    """

    def picture():
        return bundle(draw(**{name: control.value for name, control in controls.items()}))

    def redraw(_change) -> None:
        data, metadata = picture()
        handle.update(data, metadata=metadata, raw=True)

    names = ", ".join(control.description for control in controls.values())
    panel = ipywidgets.VBox(list(controls.values()))
    view = {"model_id": panel.model_id, "version_major": 2, "version_minor": 0}
    display(
        {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": STILL.format(names=names),
            "text/plain": f"Controls: {names}",
        },
        raw=True,
    )
    data, metadata = picture()
    handle = display(data, metadata=metadata, raw=True, display_id=True)
    for control in controls.values():
        control.observe(redraw, names="value")
