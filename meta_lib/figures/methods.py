"""A method's colour and a class's, the same in all pictures and in what moves (`moving/kit.js`).

The colours stand in the order of the kit's c1 to c6, which are the same hues, darker or lighter.
"""

from collections.abc import Iterable

from meta_lib.figures import BLACK, BLUE, GREEN, INDIGO, ORANGE, PURPLE, RED, SKY

CLASSES = (BLUE, RED, GREEN, ORANGE, PURPLE, INDIGO)

METHODS = {
    "MAML": BLUE,
    "meta-learned": BLUE,
    "first order": PURPLE,
    "pre-trained": RED,
    "whole network": RED,
    "classifier": RED,
    "random start": GREEN,
    "random weights": GREEN,
    "from scratch": GREEN,
    "new head only": ORANGE,
    "Siamese": ORANGE,
    "practised": BLUE,
    "copies": GREEN,
    "pixels": BLACK,
    "pixels, nearest": BLACK,
    "features, nearest": PURPLE,
    "LSTM": BLUE,
    "learned": BLUE,
    "SGD": BLACK,
    "momentum": GREEN,
    "NAG": SKY,
    "RMSprop": PURPLE,
    "Adam": RED,
}
OTHERS = (PURPLE, RED, GREEN, SKY, BLUE, ORANGE)


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name: a method's own, or one that none of the others has."""
    names = list(names)
    free = iter(colour for colour in OTHERS if colour not in map(METHODS.get, names))
    return {name: METHODS.get(name) or next(free) for name in names}
