"""Errors that name the argument, what it was, and what is allowed."""

import math
from numbers import Integral, Real

from torch import Tensor


def whole_number(name: str, value: object, at_least: int = 1) -> None:
    """Raise unless `value` is a whole number, `at_least` or larger.

    Raises TypeError for anything that is not a whole number, ValueError for one that is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, but was {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, but was {value}")


def positive(name: str, value: object) -> None:
    """Raise unless `value` is a finite number larger than 0.

    Raises TypeError for anything that is not a number, ValueError for one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, but was {value!r}")
    if not (math.isfinite(value) and float(value) > 0):
        raise ValueError(f"{name} must be a finite number larger than 0, but was {value}")


def shape(name: str, tensor: Tensor, expected: str, allowed: bool) -> None:
    """Raise ValueError with the tensor's shape and the one `expected`, unless `allowed`."""
    if not allowed:
        raise ValueError(f"{name} must have shape {expected}, but had {tuple(tensor.shape)}")
