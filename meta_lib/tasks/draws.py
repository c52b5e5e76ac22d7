"""Random numbers that a seed makes the same on every machine.

They are drawn on the CPU in 64 bits, where torch's streams are the same everywhere, and only then
cast to torch's default dtype and moved to the book's device. The preface, section "What you can
rely on".
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from meta_lib.machinery.device import device
from meta_lib.tasks.page_draws import PageGenerator

Source = Generator | PageGenerator
"""Where random numbers come from: torch's generator, or that of the moving figures."""


def seeded(seed: int) -> Generator:
    """Return a generator of torch's that starts from this seed."""
    return Generator().manual_seed(seed)


def uniform(*shape: int, generator: Source, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return numbers spread evenly over `low` to `high`, in a tensor of this shape."""
    return placed(low + (high - low) * _uniform(shape, generator))


def normal(*shape: int, generator: Source) -> Tensor:
    """Return standard normal numbers in a tensor of this shape."""
    if isinstance(generator, PageGenerator):
        return placed(generator.normal(*shape))
    return placed(torch.randn(shape, generator=generator, dtype=torch.float64))


def whole_below(limits: Tensor, generator: Source) -> Tensor:
    """Return for each of `limits`, whole numbers of at least 1, one of 0 … limit - 1, all alike.

    Limits and draws are indices, so they stay on the CPU.
    """
    # 64 bits: rounded to 32, a number just below 1 becomes 1, and the draw would reach the limit.
    return (_uniform(limits.shape, generator) * limits).long()


def placed(tensor: Tensor) -> Tensor:
    """Return `tensor` in torch's default dtype, on the book's device."""
    return tensor.to(device(), torch.get_default_dtype())


def _uniform(shape: Sequence[int], generator: Source) -> Tensor:
    if isinstance(generator, PageGenerator):
        return generator.uniform(*shape)
    return torch.rand(shape, generator=generator, dtype=torch.float64)
