"""Chunks: a mean over many tasks, taken a few tasks at a time, in all of the processor's threads.

A stack of many tasks with a large network needs much memory, and one operation on it is shared out
to the threads anew each time. A chunk is small enough for the processor's cache, and each thread
works through chunks of its own. Used in part 3, "MAML".
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.machinery.device import device

Batch = TypeVar("Batch", bound=NamedTuple)
Item = TypeVar("Item")
Result = TypeVar("Result")


def mean_in_chunks(
    mean: Callable[[Batch], Tensor], batch: Batch, chunk: int | None, weights: Sequence[Tensor]
) -> Tensor:
    """Return mean(batch), computed for `chunk` tasks at a time, or for all at once with None.

    `batch` is a NamedTuple of tensors (tasks, …), and `mean` makes one number of it, a mean over
    its tasks. In chunks, the result has the gradient of mean(batch) with respect to `weights`,
    leaves of the graph; only they have one, and it cannot be differentiated again. A weight that
    the mean does not depend on has slope 0. If `mean` draws random numbers of its own, as dropout
    does, each task has its own, but with several threads it is open which.

    Raises TypeError or ValueError unless `chunk` is None or a whole number of at least 1.
    """
    if chunk is None:
        return mean(batch)
    checks.whole_number("chunk", chunk)
    tasks = len(batch[0])

    def share(part: Batch) -> tuple[Tensor, ...]:
        with torch.enable_grad():  # each thread has a setting of its own
            value = mean(part) * (len(part[0]) / tasks)
            slopes = torch.autograd.grad(value, weights, materialize_grads=True)
        return value.detach(), *slopes

    parts = map(type(batch)._make, zip(*(tensor.split(chunk) for tensor in batch), strict=True))
    value, *slopes = (sum(shares) for shares in zip(*in_threads(share, parts), strict=True))
    # These products are 0, so that the value is right; and their gradient is the slope.
    return value + sum(
        ((weight - weight.detach()) * slope.conj()).sum().real
        for weight, slope in zip(weights, slopes, strict=True)
    )


def best_chunk() -> int | None:
    """Return the chunk that serves networks of convolutions best on the book's device.

    On the CPU it is 4, as measured in `benchmarks/`; on a GPU None, all tasks at once.
    """
    return None if device().type == "cuda" else 4


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return [work(item) for item in items], in as many threads as torch has, each alone."""
    threads = torch.get_num_threads()
    if threads == 1:
        return list(map(work, items))
    try:
        return list(_workers(threads).map(work, items))
    finally:
        # Each worker, when it starts, sets it for the whole process.
        torch.set_num_threads(threads)


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads that are kept: the memory that one has worked in serves its next chunk too."""
    return ThreadPoolExecutor(threads, initializer=_alone)


if hasattr(os, "register_at_fork"):
    # A forked process has none of its parent's threads, and would wait for them for ever.
    os.register_at_fork(after_in_child=_workers.cache_clear)


def _alone() -> None:
    # A thread takes the process's number when it first asks, and must not do so later.
    torch.get_num_threads()
    torch.set_num_threads(1)
