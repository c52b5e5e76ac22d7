"""The conftest of `make alone`: nbval also compares the pictures, and the figures that move.

Both may differ by rounding between machines, so they are compared as numbers: a picture point by
point, a figure trait by trait with what lies beside the notebook.
"""

import io
import json
import math
from base64 import b64decode

import numpy as np
from nbformat.v4 import new_code_cell
from nbval import plugin
from PIL import Image

from meta_lib.moving import stored

PICTURE = "image/png"
# The tag of a cell whose picture shows rounding itself: it is another on another machine.
ROUNDING = "picture-of-rounding"
# Of all points of a picture, the share that may differ, and from which difference on they do.
SHARE, DIFFERENCE = 0.001, 32
# What lies between two of the 16 shades of a thumbnail.
SHADE = 17


def compare_outputs(cell, test, ref, skip_compare=None, texts=plugin.IPyNbCell.compare_outputs):
    """Compare a cell's outputs as nbval does, which leaves out the pictures, then these."""
    if not texts(cell, test, ref, skip_compare):
        return False
    if ROUNDING in cell.cell.metadata.get("tags", []):
        return True
    fresh, known = pictures(test), pictures(ref)
    same = len(fresh) == len(known) and all(map(same_picture, fresh, known))
    return agree(cell, same, "a picture")


class Figures(plugin.IPyNbCell):
    """After the last cell: the figures that the notebook has shown."""

    def compare_outputs(self, test, ref, skip_compare=None):
        """Compare trait by trait."""
        self.comparison_traceback = []
        fresh, known = test[0]["data"]["application/json"], figures(self.parent)
        changed = [] if len(fresh) == len(known) else ["their number"]
        for one, other in zip(fresh, known, strict=False):
            name = other["state"].get("name")
            for part in ("state", "buffers"):
                for trait in sorted(one[part].keys() | other[part].keys()):
                    if not alike(one[part].get(trait), other[part].get(trait), part):
                        changed.append(f"{name}.{trait}")
        return agree(self, not changed, f"of the figures, {', '.join(changed)}")


def agree(cell, same, what):
    """Note for the report what has changed."""
    if not same:
        cell.comparison_traceback.append(f"{what} is not as it is stored: `make notebooks`?")
    return same


def figures(file):
    """Return what is stored beside a notebook."""
    beside = file.path.with_name(file.path.stem + stored.ENDING)
    return json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else []


def pictures(outputs):
    """List the pictures among outputs, as arrays."""
    found = [each["data"][PICTURE] for each in outputs if PICTURE in each.get("data", {})]
    return [np.asarray(Image.open(io.BytesIO(b64decode(one))).convert("RGB"), int) for one in found]


def same_picture(one, other):
    """Tell whether two pictures are of one size and hardly differ."""
    if one.shape != other.shape:
        return False
    return (abs(one - other).max(axis=-1) > DIFFERENCE).mean() <= SHARE


def alike(one, other, part="state"):
    """Tell whether two values of a trait are the same but for rounding."""
    if one == other:
        return True
    if part == "buffers" and isinstance(one, str) and isinstance(other, str):
        one, other = b64decode(one), b64decode(other)
        if len(one) != len(other) or len(one) % 4:
            return one == other
        shades = [np.frombuffer(each, "u1").astype(int) for each in (one, other)]
        if not any((each % SHADE).any() for each in shades):  # as `moving.greys` makes them
            apart = np.abs(shades[0] - shades[1])
            return apart.max(initial=0) <= SHADE and (apart > 0).mean() <= SHARE
        numbers = (np.frombuffer(each, "<f4") for each in (one, other))
        return np.allclose(*numbers, rtol=1e-4, atol=1e-6)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return one == other


def collect(file, cells=plugin.IPyNbFile.collect):
    """Add to a notebook's cells the one that says what figures it has shown."""
    found = list(cells(file))
    yield from found
    last = new_code_cell(stored.CELL, execution_count=len(found) + 1)
    options = {"check": file.compare_outputs, "check_exception": False, "skip": False}
    yield Figures.from_parent(file, name="Figures", cell_num=len(found), cell=last, options=options)


plugin.IPyNbCell.compare_outputs = compare_outputs
plugin.IPyNbFile.collect = collect
