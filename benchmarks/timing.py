"""What the benchmarks share: equality first, then time and memory."""

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from meta_lib.machinery.cost import wait
from meta_lib.machinery.device import device

Run = Callable[[], Iterable[Tensor]]
"""One variant, ready to go: it does the whole work and returns the gradients."""

Times = dict[str, float]
"""The median seconds of each variant."""

LEAST_ROUNDS, TURN = 5, 0.2


def arguments(description: str) -> argparse.Namespace:
    """Read --threads and --seconds, set the threads, and print on what machine this runs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument(
        "--seconds", type=float, default=10, help="time for each comparison (default 10)"
    )
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    # On a GPU too, float32 is to mean float32: torch would round in convolutions, not in products.
    torch.backends.cudnn.allow_tf32 = False
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"\n{_machine()}, threads: {asked.threads}, {load} at the start\n", flush=True)
    return asked


def compare(
    prepare: Callable[[], dict[str, Run]], seconds: float, **beside: Callable[[], object]
) -> tuple[float, Times]:
    """Return the largest relative difference in float64, and the times in float32.

    `prepare` makes the runs, each time with the same weights and tasks. What is `beside` them is
    timed in turns with them, and not compared.

    Raises ArithmeticError if the gradients differ by 1e-8 or more.
    """
    torch.set_default_dtype(torch.float64)
    try:
        runs = prepare()
        first, *others = (torch.cat([part.flatten() for part in run()]) for run in runs.values())
    finally:
        torch.set_default_dtype(torch.float32)
    difference = max(((other - first).norm() / first.norm()).item() for other in others)
    if not difference < 1e-8:
        raise ArithmeticError(f"the gradients of {', '.join(runs)} differ by {difference:.1e}")
    return difference, in_turns(prepare() | beside, seconds)


def in_turns(runs: dict[str, Callable[[], object]], seconds: float) -> Times:
    """Return the median seconds of each run. All take turns, so that a busy moment hits all.

    A turn is as many calls as fill TURN seconds, at least one, as a training would call it.
    """
    for run in runs.values():
        run()
    taken = {name: [] for name in runs}
    rounds, end = 0, time.perf_counter() + seconds
    while rounds < LEAST_ROUNDS or time.perf_counter() < end:
        rounds += 1
        for name, run in runs.items():
            # What the one before has left behind is not for this one to clear up.
            gc.collect()
            taken[name].append(_turn(run))
    return {name: statistics.median(times) for name, times in taken.items()}


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def head(*titles: str) -> None:
    """Print the head of a Markdown table."""
    row(*titles)
    row(*(len(titles) * ["---"]))


def _turn(run: Callable[[], object]) -> float:
    wait()
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < TURN:
        run()
        wait()
        calls += 1
    return (time.perf_counter() - start) / calls


def _machine() -> str:
    if device().type == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} CPU cores, {capability}, torch {torch.__version__}"
