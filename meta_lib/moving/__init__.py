"""Figures that move: the same one in Jupyter, in Colab, and in a page without a kernel.

A moving figure is a small Python class and a small JavaScript file of the same name. The class
holds the state in traits: numbers that the reader changes, and weights or tables to compute from.
The JavaScript computes and draws. With a kernel, anywidget keeps both sides equal; without one,
`host.js` reads the state that was stored with the page and runs the same JavaScript.

`kit.js` and `kit.css` are what all figures share: controls, axes, handles to drag.
"""

import inspect
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from matplotlib.figure import Figure

from meta_lib.figures import bundle

FOLDER = Path(__file__).parent


class MovingFigure(anywidget.AnyWidget):
    """A figure that answers to the reader, with a still picture for where it cannot.

    A subclass in `NAME.py` has its drawing in `NAME.js`, its traits tagged `sync=True`, and
    `still()`. The traits named in `shared` are what the reader changes: the reset button sets them
    back, and in a page they stand in the address. `parts` names JavaScript files of this folder
    that come before its own: what several figures compute.

    `name` is what links and addresses call it: that of its module, and where it stands more than
    once on a page, a hyphen and a word that says which one it is.
    """

    stem: str
    parts: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    name = traitlets.Unicode().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    start = traitlets.Dict().tag(sync=True)
    kernel = traitlets.Bool(True).tag(sync=True)
    progress = traitlets.Float(0.0).tag(sync=True)

    def __init_subclass__(cls, **more: Any):
        # ipywidgets makes a class of its own for each figure: that one has its script already.
        if "_esm" not in vars(cls):
            path = Path(inspect.getfile(cls))
            parts = (FOLDER / name for name in cls.parts)
            scripts = (FOLDER / "kit.js", *parts, path.with_suffix(".js"))
            cls._esm = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
            cls._css = (FOLDER / "kit.css").read_text(encoding="utf-8")
            cls.stem = path.stem
        super().__init_subclass__(**more)

    def __init__(self, **traits: Any):
        super().__init__(**traits)
        self.name = self.name or self.stem
        self.start = {name: getattr(self, name) for name in self.shared}
        self.on_msg(self._answer)

    def still(self) -> Figure:
        """Return the figure as it starts, drawn and described, for paper and for GitHub."""
        raise NotImplementedError

    def train(self) -> None:
        """Meta-train anew with the chosen settings: what the button does where there is a kernel.

        Sets `progress` from 0 to 1 on the way.
        """
        raise NotImplementedError

    def _answer(self, _widget: object, content: dict, _buffers: object) -> None:
        if content.get("do") == "train":
            self.train()

    def __repr__(self) -> str:
        return self.description

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        data, metadata = bundle(self.still())
        self.description = data["text/plain"]
        metadata["image/png"].pop("narrow", None)  # where a page is narrow, the figure moves
        view = super()._repr_mimebundle_(**options)
        view, more = view if isinstance(view, tuple) else (view or {}, {})
        return view | data, more | metadata


def greys(images: Any) -> bytes:
    """Return images with values from 0 to 1 as a byte for each; `bytes(model, name)` reads them.

    They are rounded to 16 shades: plenty for a thumbnail, and packed easily.
    """
    return (images.detach().clamp(0, 1) * 15).round().mul(17).byte().cpu().numpy().tobytes()


def floats(array: Any) -> bytes:
    """Return numbers as bytes for a `traitlets.Bytes`; `floats(model, name)` in kit.js reads them.

    They are rounded to 32 bits.
    """
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    return np.ascontiguousarray(array, dtype="<f4").tobytes()
