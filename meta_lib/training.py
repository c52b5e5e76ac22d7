"""The one training loop of the book: every learner is meta-trained by it."""

import os
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from tqdm.auto import trange

from meta_lib import checks


def minimise(
    parameters: Iterable[Tensor],
    loss: Callable[[], Tensor],
    iterations: int,
    beta: float,
    clip: float | None = None,
    decay: bool = False,
    label: str = "training",
) -> list[float]:
    """Take `iterations` steps of Adam on `loss()` with learning rate β, and return the losses.

    `loss` draws its own batch each time it is called. The parameters change in place; gradients
    with a norm above `clip` are scaled down to it. With `decay` the learning rate falls evenly from
    β to 0, which lets a short training settle. A progress bar shows `label` and the loss.

    Raises TypeError or ValueError unless `iterations` is at least 1 and `beta` (and `clip`)
    positive, and FloatingPointError as soon as a loss is not finite; then the parameters are
    those before that step. Adam: Kingma & Ba (2015), https://arxiv.org/abs/1412.6980.
    """
    checks.whole_number("iterations", iterations)
    checks.positive("beta", beta)
    if clip is not None:
        checks.positive("clip", clip)
    parameters = list(parameters)
    optimizer = torch.optim.Adam(parameters, lr=beta)
    left = (lambda done: 1 - done / iterations) if decay else (lambda done: 1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, left)
    losses = []
    # tqdm itself reads TQDM_DISABLE only outside of notebooks.
    quiet = bool(os.environ.get("TQDM_DISABLE"))
    with trange(iterations, desc=label, disable=quiet) as progress:
        for iteration in progress:
            optimizer.zero_grad()
            value = loss()
            losses.append(value.item())
            if not torch.isfinite(value):
                raise FloatingPointError(
                    f"{label}: the loss became {losses[-1]} in iteration {iteration + 1} of "
                    f"{iterations}, with beta = {beta}. Try a smaller learning rate."
                )
            value.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            schedule.step()
            progress.set_postfix(loss=f"{losses[-1]:.3f}")
    return losses
