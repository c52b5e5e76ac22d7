"""The random numbers of the moving figures, in Python too: what a page draws can be drawn again.

The figures have a small generator of their own, mulberry32, in the script that all share, kit.js.
This is its twin: the same seed gives the same numbers, so that a training in the page can be
repeated and checked. Everything else in the book draws from a `torch.Generator` (`draws`). Used in
part 3, "MAML".
"""

import math

import numpy as np
import torch
from torch import Tensor

STRIDE = 0x6D2B79F5


class PageGenerator:
    """The generator of the figures, started from a seed; stands in for a `torch.Generator`."""

    def __init__(self, seed: int):
        self.seed, self.drawn = seed, 0

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers spread evenly over 0 to 1, in float64 on the CPU, in a tensor of `shape`.

        Each is one of 2³² numbers.
        """
        count = math.prod(shape)
        number = np.arange(self.drawn + 1, self.drawn + count + 1, dtype=np.uint64)
        self.drawn += count
        # 64 bits hold a product of two numbers of 32 bits; only its lower half counts.
        state = (np.uint64(self.seed % 2**32) + number * np.uint64(STRIDE)) % np.uint64(2**32)
        mixed = _times(state ^ (state >> np.uint64(15)), state | np.uint64(1))
        again = _times(mixed ^ (mixed >> np.uint64(7)), mixed | np.uint64(61))
        mixed ^= (mixed + again) % np.uint64(2**32)
        return torch.from_numpy((mixed ^ (mixed >> np.uint64(14))) / 2**32).reshape(shape)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers in float64 on the CPU, two uniform ones for each."""
        radius, angle = self.uniform(math.prod(shape), 2).unbind(1)
        return (torch.sqrt(-2 * torch.log(1 - radius)) * torch.cos(2 * math.pi * angle)).view(shape)


def _times(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other) % np.uint64(2**32)
