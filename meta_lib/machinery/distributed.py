"""Several processes that train as one: each takes its share of the tasks of every meta-batch.

Started by `torchrun`, every process draws the same meta-batch from the same seed, takes its share
of the tasks, and the gradients are averaged before each step, so that all processes hold the same
weights as one process would. The messages are torch.distributed's. Without torchrun there is one
process, and everything here does nothing. The preface, section "How to run it".
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from meta_lib.machinery.device import device

Batch = TypeVar("Batch", bound=NamedTuple)


@contextmanager
def processes() -> Iterator[None]:
    """Work together with the other processes that torchrun has started, as long as this lasts.

    One process a GPU (nccl) where the device is CUDA, else on the CPU (gloo). Without torchrun,
    or with one process, it does nothing.

    Raises ValueError if this machine has fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device().type == "cuda":
        here, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if here >= gpus:
            raise ValueError(
                f"each process needs a GPU of its own, but process {here + 1} of this machine "
                f"found {gpus}. Start fewer (--nproc-per-node), or set META_LIB_DEVICE=cpu."
            )
        torch.cuda.set_device(here)
        dist.init_process_group("nccl", device_id=torch.device("cuda", here))
    else:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if _together() else 1


def is_first() -> bool:
    """Return whether this is the process that writes files and talks to the user."""
    return not _together() or dist.get_rank() == 0


def share(batch: Batch) -> Batch:
    """Return this process's share of a NamedTuple of tensors, each (tasks, …): (tasks / count, …).

    An `Episode`'s stack is shared out by its tasks, `Pairs` by its pairs. The shares follow one
    another in the order of the processes.

    Raises ValueError unless the tasks can be shared out evenly.
    """
    tasks = len(batch[0])
    if tasks % count():
        raise ValueError(
            f"the number of tasks in a batch must be a multiple of {count()}, the number of "
            f"processes, but was {tasks}"
        )
    if not _together():
        return batch
    size = tasks // count()
    mine = slice(dist.get_rank() * size, (dist.get_rank() + 1) * size)
    return type(batch)(*(tensor[mine] for tensor in batch))


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, all of them in one message."""
    if not _together():
        return
    tensors = list(tensors)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= count()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view(tensor.shape))


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes, differentiable as such."""
    return _Mean.apply(tensor) if _together() else tensor


def from_first(read: Callable[[], bytes]) -> bytes:
    """Return in every process what `read` returns in the first, the only one to call it."""
    content = read() if is_first() else b""
    if not _together():
        return content
    length = torch.tensor([len(content)], device=device())
    dist.broadcast(length, src=0)
    sent = torch.zeros(int(length), dtype=torch.uint8, device=device())
    if is_first():
        sent.copy_(torch.from_numpy(np.frombuffer(bytearray(content), dtype=np.uint8)))
    dist.broadcast(sent, src=0)
    return sent.cpu().numpy().tobytes()


class _Mean(torch.autograd.Function):
    """y = (1/N) Σ x over the N processes; its gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        mean = tensor.clone()
        average([mean])
        return mean

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return _Mean.apply(slope)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
