"""The mode in which a network answers: evaluation, whatever it was in before.

In training mode dropout is random, and batch normalisation lets an image's features depend on its
neighbours and adds each batch to its running statistics. An answer wants neither. Explained in part
3, "Siamese networks", section "What goes wrong".
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

Modes = dict[nn.Module, bool]
"""For each module of a network, whether it is in training mode."""

_lock = threading.Lock()
_held: dict[nn.Module, tuple[int, bool]] = {}
"""For each module that is held in evaluation mode: how often it was asked for, and its own mode."""


def modes_of(*networks: object) -> Modes:
    """Return the mode of each module in these networks; what is no module has none."""
    found = [network.modules() for network in networks if isinstance(network, nn.Module)]
    return {module: module.training for modules in found for module in modules}


def restore(modes: Modes) -> None:
    """Put each module back into its own mode."""
    for module, training in modes.items():
        # The flag alone: a `train` of the module's own may do more than set it.
        module.training = training


@contextmanager
def evaluating(*networks: object) -> Iterator[None]:
    """Hold all modules of the networks in evaluation mode, and leave each as it was.

    So also where what is done meanwhile fails. If several threads ask for it at once, the first
    finds the modes and the last restores them; none waits for another. A network that is no module,
    such as a function, has no mode, and is left alone.
    """
    modules = list(modes_of(*networks))
    with _lock:
        for module in modules:
            asked, mode = _held.get(module, (0, module.training))
            _held[module] = asked + 1, mode
        restore(dict.fromkeys(modules, False))
    try:
        yield
    finally:
        with _lock:
            for module in modules:
                asked, mode = _held.pop(module)
                if asked > 1:
                    _held[module] = asked - 1, mode
                else:
                    module.training = mode
