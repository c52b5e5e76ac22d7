"""The one training loop of the book: every learner is meta-trained by it.

Explained in part 1, "The limits of machine learning", section "A network and the loop that trains
it".
"""

import math
import os
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from tqdm.auto import tqdm

from meta_lib.machinery import checks, distributed, runs
from meta_lib.machinery.modes import modes_of, restore
from meta_lib.machinery.runs import Run


def minimise(
    parameters: Iterable[tuple[str, Tensor]],
    loss: Callable[[], Tensor],
    iterations: int,
    beta: float,
    clip: float | None = None,
    decay: bool = False,
    label: str = "training",
    run: Run | None = None,
    diagnose: Callable[[], str] | None = None,
    block: int = 1,
) -> list[float]:
    """Take `iterations` steps of Adam on `loss()` with learning rate β, and return the losses.

    `parameters` are pairs of a name and a tensor, as `network.named_parameters()` gives them; they
    change in place. One that is frozen, or that the loss does not use, stays as it is; one tensor
    under two names counts once. `loss` draws its own batch each time it is called. Gradients with a
    norm above `clip` are scaled down to it. With `decay` the learning rate falls evenly from β to
    0, which lets a short training settle. A progress bar shows `label` and the loss.

    With a `run`, its folder holds checkpoints and a log, and a training that was stopped goes on
    from there, to the same bits on the CPU (`runs`). Ctrl-C then writes a checkpoint first. Where
    `loss` carries something from call to call, `block` calls belong together: a checkpoint falls
    only between blocks.

    Under torchrun the gradients and the losses are the means over all processes (`distributed`).

    Raises TypeError or ValueError unless `iterations` and `block` are at least 1 and `beta` (and
    `clip`) positive; for a parameter in 16 bits that are too few for Adam, or one without a shape
    so far; for a loss that is not one number, or that reaches no parameter; as `runs.recording`
    does; and FloatingPointError as soon as a loss or a
    gradient is not finite: then the weights are those before that step, and the message ends with
    what `diagnose()` says about the last batch. Adam: Kingma & Ba (2015),
    https://arxiv.org/abs/1412.6980.
    """
    checks.whole_number("iterations", iterations)
    checks.positive("beta", beta)
    if clip is not None:
        checks.positive("clip", clip)
    checks.whole_number("block", block)
    weights = _by_name(parameters)
    optimizer = torch.optim.Adam(weights.values(), lr=beta)
    settings = dict(iterations=iterations, beta=beta, clip=clip, decay=decay, block=block)
    # tqdm itself reads TQDM_DISABLE only outside of notebooks.
    quiet = bool(os.environ.get("TQDM_DISABLE")) or not distributed.is_first()
    with (
        runs.recording(run, weights, optimizer, settings) as (losses, record),
        tqdm(
            range(len(losses), iterations), label, iterations, initial=len(losses), disable=quiet
        ) as progress,
    ):
        for done in progress:
            rate = beta * (1 - done / iterations) if decay else beta
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            value = _one_number(loss())
            if value.requires_grad:
                value.backward()
            value = value.detach()
            gradients = [weight.grad for weight in weights.values() if weight.grad is not None]
            if not gradients:
                raise ValueError(
                    f"{label}: the loss must depend on at least one of the parameters, but no "
                    f"gradient reaches any of {', '.join(weights)}. Are all of them frozen?"
                )
            distributed.average([value, *gradients])
            norm = torch.cat([gradient.reshape(-1) for gradient in gradients]).norm().item()
            losses.append(value.item())
            if not (math.isfinite(losses[-1]) and math.isfinite(norm)):
                raise FloatingPointError(
                    f"{label}: the loss became {losses[-1]} and the gradient's norm {norm} "
                    f"in iteration {done + 1} of {iterations}, with beta = {rate}. "
                    + (f"{diagnose()} " if diagnose else "")
                    + "Try a smaller learning rate."
                )
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(weights.values(), clip)
            optimizer.step()
            record(iteration=done + 1, loss=losses[-1], gradient_norm=norm, beta=rate)
            progress.set_postfix(loss=f"{losses[-1]:.3f}")
    return losses


def fit(
    network: nn.Module,
    loss: Callable[[], Tensor],
    iterations: int,
    beta: float,
    label: str,
    run: Run | None = None,
    beside: Iterable[tuple[str, Tensor]] = (),
) -> list[float]:
    """Train a network in place, with a rate that falls from β to 0, and return the losses.

    It is in training mode meanwhile, and in evaluation mode afterwards; or in the mode that it was
    in, if the training fails or is interrupted. The weights `beside` it are trained too. Raises as
    `minimise` does.
    """
    before = modes_of(network)
    weights = [*network.named_parameters(), *beside]
    network.train()
    try:
        losses = minimise(weights, loss, iterations, beta, decay=True, label=label, run=run)
    except BaseException:
        restore(before)
        raise
    network.eval()
    return losses


def first_lost(losses: Tensor) -> str:
    """Say in which task, and after how many steps, losses (steps + 1, tasks) leave the numbers."""
    steps, tasks = len(losses) - 1, losses.shape[1]
    lost = (~losses.isfinite()).nonzero().tolist()
    if not lost:
        return f"All support losses are finite over {steps} inner steps"
    step, task = lost[0]
    return (
        f"In task {task + 1} of {tasks} the support loss is {losses[step, task]:.3g} "
        f"after {step} of {steps} inner steps"
    )


def _by_name(parameters: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    names: set[str] = set()
    seen: set[int] = set()
    for pair in parameters:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(
                "parameters must be pairs of a name and a tensor, as network.named_parameters() "
                f"gives them, but held {type(pair).__name__}"
            )
        name, weight = pair
        if name in names:
            raise ValueError(f"parameters must have different names, but two are {name!r}")
        if is_lazy(weight):
            raise ValueError(
                f"parameters must have their shapes, but {name!r} is of a lazy module that has "
                "seen no input. Call the network once before."
            )
        if weight.requires_grad and weight.dtype == torch.float16:
            raise TypeError(
                f"parameters must be of 32 bits or more, or bfloat16, but {name!r} is of "
                "torch.float16, in which Adam's ε is 0. Train network.float()."
            )
        names.add(name)
        # One tensor under two names would be moved twice in each step.
        if id(weight) not in seen:
            seen.add(id(weight))
            weights[name] = weight
    if not weights:
        raise ValueError("parameters must hold at least one tensor, but there was none")
    return weights


def _one_number(loss: Tensor) -> Tensor:
    if not (isinstance(loss, Tensor) and loss.is_floating_point() and loss.numel() == 1):
        was = f"{loss.dtype} of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else loss
        raise ValueError(f"loss must return one real number, but returned {was}. Take the mean.")
    return loss
