"""What is stored of a moving figure, so that it moves in a page without a kernel.

`make notebooks` stores it beside the notebook, in `NAME.figures.json`: the figure's own traits, and
no script, since the package has that. The build puts both together on the page, by `embedded`.
"""

import importlib
import json

import anywidget
import ipywidgets

from meta_lib.moving import MovingFigure

ENDING = ".figures.json"
# As the last cell of a notebook, this outputs what is to be stored.
CELL = "from IPython.display import JSON\nfrom meta_lib.moving import stored\nJSON(stored.shown())"


def shown() -> list[dict]:
    """Return the states of all figures that have been shown, the oldest first."""
    models = ipywidgets.Widget.get_manager_state()["state"].values()
    return [own(model) for model in models if model["state"].get("description")]


def own(model: dict) -> dict:
    """Return a figure's own traits, numbers with 9 digits, and beside them its bytes in base64.

    model: as ipywidgets embeds it, with everything that it and anywidget add.
    """
    others = anywidget.AnyWidget.class_trait_names(sync=True)
    traits = {
        name: value
        for name, value in sorted(model["state"].items())
        if name not in others and not name.startswith("_")
    }
    buffers = {buffer["path"][0]: buffer["data"] for buffer in model.get("buffers", ())}
    text = json.dumps({"state": traits, "buffers": dict(sorted(buffers.items()))})
    return json.loads(text, parse_float=lambda digits: float(f"{float(digits):.9g}"))


def embedded(figure: dict) -> str:
    """Return the element that `host.js` makes a figure of: state, script and style."""
    name = figure["state"]["name"].split("-")[0]
    importlib.import_module(f"meta_lib.moving.{name}")
    kind = next(kind for kind in MovingFigure.__subclasses__() if kind.stem == name)
    text = json.dumps(figure | {"script": kind._esm, "style": kind._css}).replace("</", r"<\/")
    return f'<script type="application/json">{text}</script>'
