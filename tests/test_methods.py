"""A method has one colour, in the still pictures as in the moving ones."""

import re
from importlib.resources import files

from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED
from meta_lib.figures.methods import METHODS, colours

KINDS = {"c1": BLUE, "c2": RED, "c3": GREEN, "c4": ORANGE, "c5": PURPLE, "grey": BLACK}


def test_a_method_has_the_colour_that_it_has_where_it_moves():
    script = (files("meta_lib") / "moving" / "kit.js").read_text(encoding="utf-8")
    table = script.split("const METHODS = {")[1].split("};")[0]
    entries = re.findall(r'(?:"([^"]+)"|(\w+)): "(\w+)', table)
    moving = {quoted or bare: KINDS[kind] for quoted, bare, kind in entries}
    both = METHODS.keys() & moving.keys()
    assert len(both) >= 7
    assert {name: METHODS[name] for name in both} == {name: moving[name] for name in both}


def test_a_name_without_a_colour_gets_one_that_is_free():
    found = colours(["MAML", "pixels", "5 characters", "300 characters"])
    assert found["MAML"] == BLUE and found["pixels"] == BLACK
    assert len(set(found.values())) == 4
