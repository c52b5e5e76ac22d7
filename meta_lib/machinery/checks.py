"""Errors that name the argument, what it was, and what is allowed."""

import math
from numbers import Integral, Real

import torch
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


def zero_or_one(name: str, tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor of nothing but 0 and 1 as numbers of `like`, whatever they were before.

    Raises TypeError for anything that is no real tensor, ValueError for any other number. But to
    look at numbers on another device is to wait for it, and under `torch.func.vmap` there is no
    looking: there any other number becomes NaN, and so does what is made of it.
    """
    if not isinstance(tensor, Tensor) or tensor.is_complex():
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a tensor of booleans, 0 and 1, but was {kind}")
    numbers = tensor.to(like)
    if tensor.dtype == torch.bool:
        return numbers
    other = (tensor != 0) & (tensor != 1)
    if not tensor.is_cpu or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return numbers.masked_fill(other.to(like.device), torch.nan)
    if other.any():
        raise ValueError(
            f"{name} must hold nothing but 0 and 1, but held {tensor[other].unique().tolist()}"
        )
    return numbers


def classes(name: str, labels: Tensor) -> int:
    """Return N, the number of classes, for labels (…, images) that hold each of 0, 1, … N - 1.

    N is a value: labels on a GPU are waited for, labels on the CPU are not.

    Raises TypeError for labels that are no whole numbers, ValueError where one is missing.
    """
    found = _whole_numbers(name, labels)
    largest = int(found.max()) if found.numel() else 0
    there = (found[..., None] == torch.arange(largest + 1)).any(dim=-2)
    if not (found.numel() and found.min() >= 0 and there.all()):
        raise ValueError(f"{name} must hold each of 0 to {largest}, but were {found.tolist()}")
    return largest + 1


def labels_of(name: str, labels: Tensor, ways: int) -> None:
    """Raise unless each label is one of the classes 0 to `ways` - 1; waits as `classes` does."""
    found = _whole_numbers(name, labels)
    outside = found[(found < 0) | (found >= ways)].unique().tolist()
    if outside:
        raise ValueError(f"{name} must be 0 to {ways - 1}, but held {outside}")


def _whole_numbers(name: str, labels: Tensor) -> Tensor:
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name} must be whole numbers, but were of {labels.dtype}")
    return labels.detach().cpu()
