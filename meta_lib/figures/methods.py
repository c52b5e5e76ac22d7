"""A method's colour, the same in every picture and, from `moving/kit.js`, in what moves."""

from collections.abc import Iterable

from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY

METHODS = {
    "MAML": BLUE,
    "meta-learned": BLUE,
    "pre-trained": RED,
    "whole network": RED,
    "classifier": RED,
    "random weights": GREEN,
    "from scratch": GREEN,
    "new head only": ORANGE,
    "Siamese": ORANGE,
    "practised": BLUE,
    "copies": GREEN,
    "pixels": BLACK,
    "pixels, nearest": BLACK,
    "features, nearest": PURPLE,
}
OTHERS = (PURPLE, RED, GREEN, SKY, BLUE, ORANGE)


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name: a method's own, or one that none of the others has."""
    names = list(names)
    free = iter(colour for colour in OTHERS if colour not in map(METHODS.get, names))
    return {name: METHODS.get(name) or next(free) for name in names}
