"""Scikit-learn's handwritten digits: 1,797 real images of 8 × 8 pixels, on disk with the library.

Alpaydin & Kaynak (1998), https://doi.org/10.24432/C50P49. Used in part 1,
"The limits of machine learning".
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import normal, placed
from meta_lib.tasks.episodes import ImageSet


class Split(NamedTuple):
    """Images to learn from, by digit, and images to be tested on (n, 1, 8, 8) with labels (n,)."""

    pool: ImageSet
    test_x: Tensor
    test_y: Tensor


def digits() -> ImageSet:
    """Return {"0": images, …, "9": images}: 174 to 183 images a class, each (1, 8, 8)."""
    pixels, labels = load_digits(return_X_y=True)
    images = placed(torch.as_tensor(pixels).reshape(-1, 1, 8, 8) / 16)
    return {str(label): images[labels == label] for label in range(10)}


def split(generator: Generator, by_writer: bool, tested: int = 70) -> Split:
    """Take `tested` images of each digit away for a test, and leave the others as a pool.

    Thirteen people wrote the digits, and the images seem to lie in their order. So `by_writer`
    takes a run of images, from anywhere on and past the end to the start again: but for the people
    at its two ends, nobody has written in both parts. Otherwise the images are shuffled first.

    Raises TypeError or ValueError unless `tested` is a whole number that leaves something.
    """
    images = digits()
    fewest = min(map(len, images.values()))
    checks.whole_number("tested", tested)
    if tested >= fewest:
        raise ValueError(f"tested must be less than {fewest}, but was {tested}")
    start = torch.rand(1, generator=generator, dtype=torch.float64).item()
    pool, test = {}, {}
    for name, each in images.items():
        if by_writer:
            order = torch.arange(len(each)).roll(-int(start * len(each)))
        else:
            order = torch.randperm(len(each), generator=generator)
        test[name], pool[name] = each[order[:tested]], each[order[tested:]]
    return Split(pool, *labelled(test, tested, generator))


def labelled(
    images: ImageSet, per_class: int, generator: Generator, names: Iterable[str] | None = None
) -> tuple[Tensor, Tensor]:
    """Draw images of each digit, or of those in `names`: x (n, 1, 8, 8), labels y (n,).

    Raises ValueError where a digit has fewer than `per_class` images.
    """
    x, y = [], []
    for name in images if names is None else names:
        checks.whole_number(f"the images of {name}", len(images[name]), at_least=per_class)
        order = torch.randperm(len(images[name]), generator=generator)[:per_class]
        x.append(images[name][order])
        y += [int(name)] * per_class
    return torch.cat(x), torch.tensor(y, device=x[0].device)


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Turn images (samples, channels, height, width) anticlockwise about their middle.

    Corners that come into view are 0. Raises ValueError for tensors of another shape.
    """
    _check_images(images)
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros(())
    matrix = torch.stack([cos, -sin, zero, sin, cos, zero]).reshape(1, 2, 3).to(images)
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def thin(images: Tensor, amount: float) -> Tensor:
    """Thin the strokes: amount 0 leaves the images as they are, 1 erodes a pixel all round.

    Between the two the images are a mixture. Raises ValueError for another amount or shape.
    """
    _check_images(images)
    if not 0 <= amount <= 1:
        raise ValueError(f"amount must lie between 0 and 1, but was {amount}")
    eroded = -F.max_pool2d(-images, kernel_size=3, stride=1, padding=1)
    return (1 - amount) * images + amount * eroded


def add_noise(images: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Add normal noise of standard deviation `sigma` to each pixel, then clip to 0 to 1.

    Raises ValueError for a negative sigma or tensors of another shape.
    """
    _check_images(images)
    if not sigma >= 0:
        raise ValueError(f"sigma must be at least 0, but was {sigma}")
    noise = normal(*images.shape, generator=generator)
    return (images + sigma * noise).clamp(0, 1)


def _check_images(images: Tensor) -> None:
    checks.shape("images", images, "(samples, channels, height, width)", images.ndim == 4)
