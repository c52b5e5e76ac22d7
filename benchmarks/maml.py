"""MAML's meta-gradient, beside higher and torchopt: equal in float64, then time and memory.

(a) sinusoids: 1-40-40-1, 25 tasks of 10 shots. (b) the paper's Omniglot network: 5-way 1-shot,
15 queries a class. Second order, 1 and 5 inner steps. The two libraries are used as their own
examples of MAML do, in a loop over the tasks.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchopt
from timing import Run, Times, arguments, compare, head, row
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from meta_lib import maml
from meta_lib.machinery.chunks import best_chunk
from meta_lib.machinery.cost import peak_memory
from meta_lib.machinery.device import device
from meta_lib.machinery.layers import BatchNorm
from meta_lib.networks import conv_network, loss_of, mlp, parameters_of
from meta_lib.tasks.episodes import Episode, sample_episodes, unstack
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.sinusoids import sample_points, sample_waves

with warnings.catch_warnings():
    # It imports a part of torch that is called otherwise today.
    warnings.simplefilter("ignore")
    import higher


MATMUL = 2048
"""The size of the matrix product that shows the machine's own rate."""


class Problem(NamedTuple):
    """What is adapted, to which tasks, and how."""

    network: nn.Sequential
    criterion: Callable[..., Tensor]
    episodes: Episode
    alpha: float
    steps: int
    chunk: int | None


def sinusoids(tasks: int, steps: int) -> Problem:
    """Return (a), the paper's regression."""
    generator = Generator().manual_seed(0)
    episodes = sample_points(sample_waves(tasks, generator), 10, 10, generator)
    return Problem(mlp(1, 40, 40, 1), F.mse_loss, episodes, 0.01, steps, None)


def omniglot(tasks: int, steps: int) -> Problem:
    """Return (b), the paper's classification; glyphs are as large as its characters."""
    generator = Generator().manual_seed(0)
    episodes = sample_episodes(glyphs(20, 16), tasks, 5, 1, 15, generator)
    return Problem(conv_network(5), F.cross_entropy, episodes, 0.4, steps, best_chunk())


def meta_lib(problem: Problem) -> Run:
    """Return our meta-gradient, all tasks at once or in chunks."""
    network, criterion, episodes, alpha, steps, chunk = problem
    loss, phi = loss_of(network, criterion), parameters_of(network)
    return lambda: maml.meta_gradient(loss, phi, episodes, alpha, steps, chunk=chunk)[0].values()


def by_higher(problem: Problem) -> Run:
    """Return that of higher, as in its examples/maml-omniglot.py."""
    _, criterion, episodes, alpha, steps, _ = problem
    network = with_torch_batch_norm(problem.network)
    descent = torch.optim.SGD(network.parameters(), lr=alpha)

    def run() -> list[Tensor]:
        network.zero_grad()
        for support_x, support_y, query_x, query_y in unstack(episodes):
            with higher.innerloop_ctx(network, descent, copy_initial_weights=False) as (copy, step):
                for _ in range(steps):
                    step.step(criterion(copy(support_x), support_y))
                loss = criterion(copy(query_x), query_y) / len(episodes.support_x)
                loss.backward()
        return [weight.grad for weight in network.parameters()]

    return run


def by_torchopt(problem: Problem) -> Run:
    """Return that of torchopt, as in its examples/few-shot/maml_omniglot.py."""
    _, criterion, episodes, alpha, steps, _ = problem
    network = with_torch_batch_norm(problem.network)
    weights = list(network.parameters())
    descent = torchopt.MetaSGD(network, lr=alpha)

    def run() -> list[Tensor]:
        for weight in weights:
            weight.grad = None
        start = torchopt.extract_state_dict(network, by="reference", detach_buffers=True)
        descent_start = torchopt.extract_state_dict(descent, by="reference")
        losses = []
        for support_x, support_y, query_x, query_y in unstack(episodes):
            for _ in range(steps):
                descent.step(criterion(network(support_x), support_y))
            losses.append(criterion(network(query_x), query_y))
            torchopt.recover_state_dict(network, start)
            torchopt.recover_state_dict(descent, descent_start)
        torch.stack(losses).mean().backward()
        return [weight.grad for weight in weights]

    return run


VARIANTS = {"meta_lib": meta_lib, "higher": by_higher, "torchopt": by_torchopt}


def with_torch_batch_norm(network: nn.Sequential) -> nn.Sequential:
    """Return the network with torch's own batch normalisation, faster for one task than ours."""
    layers = []
    for layer in network:
        if isinstance(layer, BatchNorm):
            norm = nn.BatchNorm2d(layer.weight.numel(), layer.epsilon, track_running_stats=False)
            with torch.no_grad():
                norm.weight.copy_(layer.weight.flatten())
                norm.bias.copy_(layer.bias.flatten())
            layer = norm.to(layer.weight.device)
        layers.append(layer)
    return nn.Sequential(*layers)


def variant(name: str, make: Callable[[int, int], Problem], tasks: int, steps: int) -> Run:
    """Return a variant by name, ready to run; all have the same weights and tasks."""
    torch.manual_seed(0)
    return VARIANTS[name](make(tasks, steps))


def all_variants(make: Callable[[int, int], Problem], tasks: int, steps: int) -> dict[str, Run]:
    """Return all variants by name, ready to run."""
    return {name: variant(name, make, tasks, steps) for name in VARIANTS}


def flops(tasks: int, steps: int) -> int:
    """Return the FLOP of (b) in a plain loop: its convolutions and matrix products."""
    run = variant("higher", omniglot, tasks, steps)
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def cells(difference: float, times: Times) -> list[str]:
    """Return the difference, our time and the others' as ratios to it."""
    ratios = [f"{times[name] / times['meta_lib']:.1f} ×" for name in ("higher", "torchopt")]
    return [f"{difference:.0e}", f"{1e3 * times['meta_lib']:.1f} ms", *ratios]


def main() -> None:
    """Print both tables."""
    asked = arguments(__doc__)
    columns = ["tasks", "steps", "relative difference", "meta_lib", "higher", "torchopt"]

    print("(a) sinusoids\n")
    head(*columns)
    for steps in (1, 5):
        of = sinusoids, 25, steps
        row(*of[1:], *cells(*compare(partial(all_variants, *of), asked.seconds)))

    print("\n(b) the Omniglot network\n")
    head(*columns, "share of the matmul rate", "peak memory, MiB: meta_lib", "higher", "torchopt")
    factors = torch.rand(2, MATMUL, MATMUL, device=device()).unbind()
    for tasks, steps in ((8, 1), (8, 5), (32, 1), (32, 5)):
        of = omniglot, tasks, steps
        difference, times = compare(
            partial(all_variants, *of), asked.seconds, matmul=lambda: torch.matmul(*factors)
        )
        matmuls = times["meta_lib"] / times["matmul"]
        share = flops(tasks, steps) / (matmuls * 2 * MATMUL**3)
        peaks = [peak_memory(asked.threads, variant, name, *of) for name in VARIANTS]
        row(*of[1:], *cells(difference, times), f"{share:.0%}", *map(round, peaks))


if __name__ == "__main__":
    main()
