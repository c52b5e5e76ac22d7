"""Calls: any network with weights that it does not own, while the network itself is left alone.

A call works on a copy of the network that shares its weights and nothing else: running statistics,
cached weights, modes and other attributes that a network sets while it works stay in the copy. So
the caller's network is never changed, not for a moment, in no thread, and by no call that fails.
Part 3, "MAML".
"""

import copy
import dis
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

Parameters = dict[str, Tensor]
"""The weights of a network by name, as `networks.parameters_of` returns them."""

_answering: ContextVar[bool] = ContextVar("answering", default=False)


def call_each(network: nn.Module, tasks: Iterable[tuple[Parameters, Tensor]]) -> list[Tensor]:
    """Return what the network makes of each task's x (n, …) with that task's weights θ.

    What θ does not name is the network's own. The network has the mode that it is in, or while
    `answering` rests. Each task begins with the network's own buffers.

    Raises TypeError unless the network returns one tensor, or if it cannot be copied; ValueError if
    its code reaches the network itself past the copy, where it would find other weights than θ.
    """
    own = _copy(network)
    if _answering.get():
        _rest(own)
    buffers = dict(network.named_buffers())
    return [
        _tensor(network, functional_call(own, {**_cloned(buffers), **theta}, (x,)))
        for theta, x in tasks
    ]


@contextmanager
def answering() -> Iterator[None]:
    """Within it nothing in a call is random: dropout and the like rest.

    Normalisation alone keeps the mode that it has. What normalises by the batch in training goes on
    doing so, since no running statistics were kept for weights that are a task's own.
    """
    before = _answering.set(True)
    try:
        yield
    finally:
        _answering.reset(before)


def _rest(network: nn.Module) -> None:
    for module in network.modules():
        # The base of batch and instance normalisation.
        module.training &= isinstance(module, nn.modules.batchnorm._NormBase)


def _copy(network: nn.Module) -> nn.Module:
    modules, weights = list(network.modules()), list(network.parameters())
    theirs = {id(part) for part in (*modules, *weights)}
    for module in modules:
        for function in _functions_of(module):
            if any(id(value) in theirs for value in _reached_by(function)):
                raise ValueError(
                    f"network must find its weights by way of self or a hook's own arguments, but "
                    f"{function.__qualname__}, in its {type(module).__name__}, reaches a part of "
                    "it from outside"
                )
    # Weights are shared, and so is what has been computed from them, such as a cached weight.
    kept = [*weights, *(v for m in modules for v in vars(m).values() if isinstance(v, Tensor))]
    try:
        return copy.deepcopy(network, {id(tensor): tensor for tensor in kept})
    except Exception as error:
        raise TypeError(
            f"network must be one that copy.deepcopy can copy, so that your own is left alone, but "
            f"{type(network).__name__} is not: {error}"
        ) from error


def _functions_of(module: nn.Module) -> Iterator[FunctionType]:
    """Yield the functions that run when a module is called, as far as they are in sight."""
    own = vars(module)
    hooks = [*own["_forward_hooks"].values(), *own["_forward_pre_hooks"].values()]
    for function in (type(module).forward, *own.values(), *hooks):
        if isinstance(function, FunctionType):
            yield function


def _reached_by(function: FunctionType) -> Iterator[Any]:
    """Yield what a function finds outside of its arguments: what it closes over, and globals."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a name that is not bound yet
            yield cell.cell_contents
    yield from (function.__globals__.get(name) for name in _globals_of(function.__code__))
    yield from function.__defaults__ or ()


@cache
def _globals_of(code: CodeType) -> set[str]:
    # `code.co_names` would hold the names of attributes too.
    return {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}


def _cloned(buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in buffers.items()}


def _tensor(network: nn.Module, y: Any) -> Tensor:
    if isinstance(y, Tensor):
        return y
    raise TypeError(
        f"network must return one tensor, but {type(network).__name__} returned a "
        f"{type(y).__name__}; wrap it in a module that returns the part that you want"
    )
