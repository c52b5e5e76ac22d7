"""What a computation costs: the time that it takes, and the memory at its peak.

Used by the benchmarks and by `comparison`. Part 5, "How far from the papers".
"""

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from meta_lib.machinery.device import device

Run = Callable[[], object]


def peak_memory(threads: int, prepare: Callable[..., Run], *of: object) -> float:
    """Return by how many MiB one run of `prepare(*of)` raises the memory in use at its peak.

    On the CPU it is the peak resident memory (getrusage) of a process that does nothing else; on
    CUDA it is what torch has allocated. `prepare` and `of` are pickled for that process.
    """
    # A process that starts by exec, as with "spawn", counts its parent's peak as its own.
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as alone:
        return alone.submit(_peak_memory, threads, prepare, of).result()


def median_seconds(run: Run, calls: int = 20) -> float:
    """Return the median time of so many calls, after one that is not counted."""
    run()
    taken = []
    for _ in range(calls):
        gc.collect()
        wait()
        start = time.perf_counter()
        run()
        wait()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def wait() -> None:
    """Wait until a GPU has done what it was asked for."""
    if device().type == "cuda":
        torch.cuda.synchronize()


def _peak_memory(threads: int, prepare: Callable[..., Run], of: tuple[object, ...]) -> float:
    torch.set_num_threads(threads)
    run = prepare(*of)
    before = _most_memory()
    run()
    return (_most_memory() - before) / 2**20


def _most_memory() -> int:
    if device().type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
