"""MAML: a learned initialisation.

The inner loop adapts φ to a task by a few gradient steps on its support set; the outer loop moves
φ so that the adapted parameters θ' do well on the task's query set. Explained in part 3, "MAML",
and derived in part 4, "MAML's meta-update". Finn, Abbeel & Levine (2017),
https://arxiv.org/abs/1703.03400.

φ and θ are dictionaries of a network's weights, and a loss is a function of weights, inputs and
targets (`networks.loss_of`). All functions take one task or a stack of tasks. In a stack each
tensor, weights included, has one more dimension in front, and the loss is one number a task. No
task's weights enter another task's loss, so the gradient of the losses' sum holds every task's own
gradient: all tasks take their inner step at once.

The relatives of MAML are arguments. First-order MAML: `first_order`. ANIL (Raghu et al. 2020,
https://arxiv.org/abs/1909.09157) and Meta-SGD (Li et al. 2017, https://arxiv.org/abs/1707.09835):
`alpha`, by `head_rates` and `learned_rates`. The rates and the multi-step loss of MAML++ (Antoniou,
Edwards & Storkey 2019, https://arxiv.org/abs/1810.09502): `alpha`, by `layer_rates`, and
`step_weights`. Reptile (Nichol, Achiam & Schulman 2018, https://arxiv.org/abs/1803.02999) has a
meta-loss of its own, `reptile_loss`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from meta_lib import checks
from meta_lib.chunks import mean_in_chunks
from meta_lib.networks import (
    Loss,
    Parameters,
    expand,
    forward,
    forward_one_by_one,
    parameters_of,
)
from meta_lib.runs import Run
from meta_lib.tasks.episodes import Episode
from meta_lib.training import first_lost, minimise

Alpha = float | dict[str, float | Tensor]
"""The inner rate: one number for all weights, or a rate for each weight by name, a number or a
tensor of the weight's shape. A weight without a rate is not adapted."""

Alphas = Alpha | list[Alpha]
"""The inner rates: the same in all steps, or one `Alpha` for each step, of which the last serves
all steps after it too."""


def inner_step(
    loss: Loss, theta: Parameters, x: Tensor, y: Tensor, alpha: Alpha, first_order: bool = False
) -> Parameters:
    """Return θ' = θ - α ∇L(θ), one gradient step on (x, y).

    If θ requires a gradient, θ' can be differentiated with respect to it. With `first_order` the
    slope ∇L counts as a constant then, which drops the second derivatives.
    """
    rates = alpha if isinstance(alpha, dict) else dict.fromkeys(theta, alpha)
    differentiable = any(weight.requires_grad for weight in theta.values())
    with torch.enable_grad():
        at = theta if differentiable else {n: w.detach().requires_grad_() for n, w in theta.items()}
        slopes = torch.autograd.grad(
            loss(at, x, y).sum(),
            [at[name] for name in rates],
            create_graph=differentiable and not first_order,
        )
    moved = {
        name: theta[name] - rate * slope
        for (name, rate), slope in zip(rates.items(), slopes, strict=True)
    }
    return theta | moved


def adapt(
    loss: Loss,
    phi: Parameters,
    support_x: Tensor,
    support_y: Tensor,
    alpha: Alphas,
    steps: int = 1,
    first_order: bool = False,
) -> Parameters:
    """Return θ': φ after `steps` inner steps on the support set of one task.

    For a stack of tasks give each its own φ (`networks.expand`).

    Raises TypeError or ValueError unless each rate in `alpha` is positive and belongs to a weight,
    `steps` is a whole number of at least 0, and there are as many targets as inputs.
    """
    _check(phi, support_x, support_y, alpha, steps)
    theta = phi
    for rates in each_step(alpha, steps):
        theta = inner_step(loss, theta, support_x, support_y, rates, first_order)
    return theta


def meta_loss(
    loss: Loss,
    phi: Parameters,
    episodes: Episode,
    alpha: Alphas,
    steps: int = 1,
    first_order: bool = False,
    step_weights: Sequence[float] | None = None,
) -> Tensor:
    """Return (1/B) Σᵢ Lᵢ(θᵢ'): the query loss after adaptation, averaged over B tasks.

    The episodes are stacked: each tensor has a first dimension of size B. The formula of part 4
    has the sum; with the mean, β does not depend on the number of tasks. With `step_weights`, one
    number for each inner step, it is the sum of the query losses after every step, so weighted.

    Raises as `adapt` does, and ValueError if the loss is not one number for each task, or if there
    are not as many step weights as steps.
    """
    tasks = len(episodes.support_x)
    _check(phi, episodes.support_x, episodes.support_y, alpha, steps)
    if step_weights is not None and len(step_weights) != steps:
        raise ValueError(f"step_weights must hold {steps} numbers, but held {len(step_weights)}")

    def query_loss(theta: Parameters) -> Tensor:
        losses = loss(theta, episodes.query_x, episodes.query_y)
        expected = f"({tasks},), one number for each task"
        checks.shape("the loss of a stack", losses, expected, losses.shape == (tasks,))
        return losses.mean()

    theta, along = expand(phi, tasks), []
    for rates in each_step(alpha, steps):
        theta = inner_step(loss, theta, episodes.support_x, episodes.support_y, rates, first_order)
        along.append(theta)
    if step_weights is None:
        return query_loss(theta)
    return sum(weight * query_loss(at) for weight, at in zip(step_weights, along, strict=True))


def meta_gradient(
    loss: Loss,
    phi: Parameters,
    episodes: Episode,
    alpha: Alphas,
    steps: int = 1,
    first_order: bool = False,
    step_weights: Sequence[float] | None = None,
    chunk: int | None = None,
) -> tuple[Parameters, Tensor]:
    """Return ∇φ of the meta-loss, by name, and the meta-loss.

    With `chunk` so many tasks are taken at a time (`chunks`): with a convolutional network this is
    faster on the CPU, and needs less memory. Raises as `meta_loss` and `chunks` do.
    """
    phi = {name: weight.detach().requires_grad_() for name, weight in phi.items()}

    def mean(tasks: Episode) -> Tensor:
        return meta_loss(loss, phi, tasks, alpha, steps, first_order, step_weights)

    weights = list(phi.values())
    value = mean_in_chunks(mean, episodes, chunk, weights)
    slopes = torch.autograd.grad(value, weights)
    return dict(zip(phi, slopes, strict=True)), value.detach()


def meta_update(phi: Parameters, gradient: Parameters, beta: float) -> Parameters:
    """Return φ' = φ - β · gradient, the outer step as the formula has it.

    Raises TypeError or ValueError unless `beta` is positive.
    """
    checks.positive("beta", beta)
    return {name: weight - beta * gradient[name] for name, weight in phi.items()}


def head_rates(phi: Parameters, alpha: float) -> dict[str, float | Tensor]:
    """Return ANIL's inner rates: `alpha` for the last layer's weights, none for the body's."""
    head, _, _ = list(phi)[-1].rpartition(".")
    return {name: alpha for name in phi if name.rpartition(".")[0] == head}


def learned_rates(phi: Parameters, alpha: float) -> dict[str, Tensor]:
    """Return Meta-SGD's inner rates: one for each single weight, which `train` learns in place."""
    return {name: torch.full_like(w, alpha).requires_grad_() for name, w in phi.items()}


def layer_rates(
    phi: Parameters, alpha: float, steps: int, body: float | None = None
) -> list[Alpha]:
    """Return MAML++'s inner rates: in each step one for each tensor of weights, to be learned.

    Antoniou, Edwards & Storkey (2019), https://arxiv.org/abs/1810.09502. Few numbers, so that they
    are soon learned: a layer that is to stay gets a rate near 0, a head a large one. All begin with
    `alpha`, or all but the last layer's with `body`, where that is given.
    """
    head = head_rates(phi, alpha)
    start = {n: alpha if body is None or n in head else body for n in phi}
    return [
        {n: w.new_tensor(start[n]).requires_grad_() for n, w in phi.items()} for _ in range(steps)
    ]


def each_step(alpha: Alphas, steps: int) -> list[Alpha]:
    """Return the inner rates of each of `steps` steps."""
    if isinstance(alpha, list):
        return [alpha[min(step, len(alpha) - 1)] for step in range(steps)]
    return [alpha] * steps


def learned(alpha: Alphas) -> dict[str, Tensor]:
    """Return the rates that are learned, by the names that they have in a checkpoint."""
    by_step = {f"{step}.": rates for step, rates in enumerate(alpha)} if (
        isinstance(alpha, list)) else {"": alpha}  # fmt: skip
    return {
        f"alpha.{step}{name}": rate
        for step, rates in by_step.items()
        if isinstance(rates, dict)
        for name, rate in rates.items()
        if isinstance(rate, Tensor) and rate.requires_grad
    }


def reptile_loss(
    loss: Loss, phi: Parameters, episodes: Episode, alpha: Alpha, steps: int
) -> Tensor:
    """Return ½ ‖φ - θᵢ'‖² / α, averaged over B tasks, with θᵢ' as constants.

    Its gradient is Reptile's, (φ - mean of θᵢ') / α: step towards where the tasks' own training
    leads. Reptile knows no query set: θᵢ' is trained on all that the episode holds.

    Raises TypeError unless `alpha` is one number for all weights; else as `adapt` does.
    """
    if isinstance(alpha, dict | list):
        raise TypeError("alpha must be one number for Reptile, but was a rate for each weight")
    x = torch.cat([episodes.support_x, episodes.query_x], dim=1)
    y = torch.cat([episodes.support_y, episodes.query_y], dim=1)
    _check(phi, x, y, alpha, steps)
    start = expand({name: weight.detach() for name, weight in phi.items()}, len(x))
    theta = adapt(loss, start, x, y, alpha, steps)
    ways = (phi[name] - theta[name] for name in phi)
    return sum(way.square().sum() for way in ways) / (2 * alpha * len(x))


def train(
    network: nn.Module,
    loss: Loss,
    sample: Callable[[], Episode],
    iterations: int,
    alpha: Alphas,
    beta: float = 1e-3,
    steps: int = 1,
    first_order: bool = False,
    step_weights: Sequence[float] | None = None,
    reptile: bool = False,
    chunk: int | None = None,
    decay: bool = False,
    run: Run | None = None,
) -> tuple[Parameters, list[float]]:
    """Meta-train, from the network's own weights, on a fresh batch of tasks in each iteration.

    Returns φ and the meta-losses. The outer steps are Adam's, as in the paper's code; the
    network itself stays as it was. Rates in `alpha` that require a gradient are learned too, in
    place (Meta-SGD, MAML++). With `reptile` the meta-loss is `reptile_loss`. `chunk` is as in
    `meta_gradient`, and `decay` as in `training.minimise`. `run` says where checkpoints and the log
    go (`runs`).

    Raises as `meta_loss` and `training.minimise` do. When a loss is not finite the error says in
    which task and after how many inner steps.
    """
    phi = {name: weight.requires_grad_() for name, weight in parameters_of(network).items()}
    weights = phi | learned(alpha)
    episodes: Episode

    def mean(tasks: Episode) -> Tensor:
        if reptile:
            return reptile_loss(loss, phi, tasks, alpha, steps)
        return meta_loss(loss, phi, tasks, alpha, steps, first_order, step_weights)

    def batch_loss() -> Tensor:
        nonlocal episodes
        episodes = sample()
        return mean_in_chunks(mean, episodes, chunk, list(weights.values()))

    losses = minimise(
        weights.items(),
        batch_loss,
        iterations,
        beta,
        decay=decay,
        label="MAML",
        run=run,
        diagnose=lambda: diagnose(loss, phi, episodes, alpha, steps),
    )
    return {name: weight.detach() for name, weight in phi.items()}, losses


def classify(
    network: nn.Module,
    loss: Loss,
    phi: Parameters,
    episode: Episode,
    alpha: Alphas,
    steps: int = 1,
    one_by_one: bool = False,
) -> Tensor:
    """Adapt φ to an episode's support set and return the labels of its queries, (queries,).

    A stack of episodes gives (tasks, queries). With `one_by_one`, for one episode, no query knows
    of another (`networks.forward_one_by_one`). Raises as `adapt` does.
    """
    if episode.support_y.ndim == 2:
        phi = expand(phi, len(episode.support_y))
    theta = adapt(loss, phi, episode.support_x, episode.support_y, alpha, steps)
    with torch.no_grad():
        if one_by_one:
            outputs = forward_one_by_one(network, theta, episode.support_x, episode.query_x)
        else:
            outputs = forward(network, theta, episode.query_x)
    return outputs.argmax(dim=-1)


def diagnose(loss: Loss, phi: Parameters, episodes: Episode, alpha: Alphas, steps: int) -> str:
    """Return where adaptation first leaves the finite numbers: task, inner step and α."""
    theta = expand({name: weight.detach() for name, weight in phi.items()}, len(episodes.support_x))
    losses = []
    with torch.no_grad():
        for rates in each_step(alpha, steps + 1):
            losses.append(loss(theta, episodes.support_x, episodes.support_y))
            theta = inner_step(loss, theta, episodes.support_x, episodes.support_y, rates)
    shown = alpha if isinstance(alpha, float) else "one rate for each weight"
    return f"{first_lost(torch.stack(losses))}, with alpha = {shown}."


def _check(phi: Parameters, x: Tensor, y: Tensor, alpha: Alphas, steps: int) -> None:
    checks.whole_number("steps", steps, at_least=0)
    if alpha == []:
        raise ValueError("alpha must give a rate to at least one weight, but was empty")
    for rates in each_step(alpha, max(steps, 1)):
        _check_rates(phi, rates)
    checks.shape("support_y", y, f"({len(x)}, …)", y.shape[:1] == x.shape[:1])


def _check_rates(phi: Parameters, alpha: Alpha) -> None:
    if alpha == {}:
        raise ValueError("alpha must give a rate to at least one weight, but was empty")
    for name, rate in (alpha if isinstance(alpha, dict) else {"": alpha}).items():
        if name and name not in phi:
            raise ValueError(f"alpha must name weights among {', '.join(phi)}, but named {name!r}")
        if not isinstance(rate, Tensor):
            checks.positive(f"alpha[{name!r}]" if name else "alpha", rate)
