"""One meta-training step of the LSTM optimizer: all quadratics at once, and one by one.

20 steps on quadratics in 10 dimensions, then back through all of them. The plain loop has the same
optimizer and does the same for one task after the other.
"""

from functools import partial

import torch
from timing import Run, arguments, compare, head, row
from torch import Generator, Tensor

from meta_lib.lstm_optimizer import LSTMOptimizer, unroll
from meta_lib.tasks.draws import normal
from meta_lib.tasks.quadratics import sample_quadratics

STEPS, SIZE = 20, 10


def variants(tasks: int) -> dict[str, Run]:
    """Return both variants, with the same weights and tasks."""
    torch.manual_seed(0)
    generator = Generator().manual_seed(0)
    optimizer = LSTMOptimizer()
    quadratics = sample_quadratics(tasks, SIZE, generator)
    start = normal(tasks, SIZE, generator=generator)

    def at_once() -> list[Tensor]:
        optimizer.zero_grad()
        moments = unroll(optimizer, quadratics, start, STEPS)
        torch.stack([moment.losses for moment in moments[1:]]).mean().backward()
        return [weight.grad for weight in optimizer.parameters()]

    def one_by_one() -> list[Tensor]:
        optimizer.zero_grad()
        for W, y, theta in zip(*quadratics, start, strict=True):
            theta, state = theta.clone().requires_grad_(), optimizer.initial_state(theta)
            loss, total = (W @ theta - y).square().sum(), 0
            for _ in range(STEPS):
                (gradient,) = torch.autograd.grad(loss, theta, retain_graph=True)
                theta, state = optimizer(theta, gradient, loss, state)
                loss = (W @ theta - y).square().sum()
                total = total + loss / (STEPS * tasks)
            total.backward()
        return [weight.grad for weight in optimizer.parameters()]

    return {"meta_lib": at_once, "plain loop": one_by_one}


def main() -> None:
    """Print the table."""
    asked = arguments(__doc__)
    head("tasks", "relative difference", "meta_lib", "plain loop")
    for tasks in (16, 128):
        difference, times = compare(partial(variants, tasks), asked.seconds)
        ours, loop = times.values()
        row(tasks, f"{difference:.0e}", f"{1e3 * ours:.1f} ms", f"{loop / ours:.1f} ×")


if __name__ == "__main__":
    main()
