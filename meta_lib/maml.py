"""MAML: a learned initialisation.

The inner loop adapts φ to a task by a few gradient steps on its support set; the outer loop moves
φ so that the adapted parameters θ' do well on the task's query set. Explained in part 3, "MAML",
and derived in part 4, "MAML's meta-update". Finn, Abbeel & Levine (2017),
https://arxiv.org/abs/1703.03400.

Everything works for any network: φ and θ are dictionaries of its weights, and a loss is a
function of weights, inputs and targets (`networks.loss_of`). Tasks of a stack of episodes run in
parallel, by torch.func.vmap.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap

from meta_lib import checks
from meta_lib.networks import Loss, Parameters, parameters_of
from meta_lib.runs import Run
from meta_lib.tasks.episodes import Episode
from meta_lib.training import minimise


def inner_step(
    loss: Loss, theta: Parameters, x: Tensor, y: Tensor, alpha: float, first_order: bool = False
) -> Parameters:
    """Return θ' = θ - α ∇L(θ), one gradient step on (x, y).

    With `first_order` the gradient counts as a constant when θ' is differentiated later, which
    drops the second derivatives from the meta-gradient.
    """
    gradient = grad(loss)(theta, x, y)
    if first_order:
        gradient = {name: g.detach() for name, g in gradient.items()}
    return {name: weight - alpha * gradient[name] for name, weight in theta.items()}


def adapt(
    loss: Loss,
    phi: Parameters,
    support_x: Tensor,
    support_y: Tensor,
    alpha: float,
    steps: int = 1,
    first_order: bool = False,
) -> Parameters:
    """Return θ': φ after `steps` inner steps on one task's support set.

    Raises TypeError or ValueError unless `alpha` is positive, `steps` a whole number of at
    least 0, and there are as many targets as inputs.
    """
    checks.positive("alpha", alpha)
    checks.whole_number("steps", steps, at_least=0)
    checks.shape(
        "support_y", support_y, f"({len(support_x)}, …)", support_y.shape[:1] == support_x.shape[:1]
    )
    theta = phi
    for _ in range(steps):
        theta = inner_step(loss, theta, support_x, support_y, alpha, first_order)
    return theta


def meta_loss(
    loss: Loss,
    phi: Parameters,
    episodes: Episode,
    alpha: float,
    steps: int = 1,
    first_order: bool = False,
) -> Tensor:
    """Return (1/N) Σᵢ Lᵢ(θᵢ'): the query loss after adaptation, averaged over N tasks.

    The episodes are stacked: each tensor has a first dimension of size N. The formula of part 4
    has the sum; with the mean, β does not depend on the number of tasks.
    """

    def after_adaptation(task: Episode) -> Tensor:
        theta = adapt(loss, phi, task.support_x, task.support_y, alpha, steps, first_order)
        return loss(theta, task.query_x, task.query_y)

    return vmap(after_adaptation)(episodes).mean()


def meta_gradient(
    loss: Loss,
    phi: Parameters,
    episodes: Episode,
    alpha: float,
    steps: int = 1,
    first_order: bool = False,
) -> tuple[Parameters, Tensor]:
    """Return ∇φ of the meta-loss, by name, and the meta-loss."""

    def of_phi(phi: Parameters) -> Tensor:
        return meta_loss(loss, phi, episodes, alpha, steps, first_order)

    return grad_and_value(of_phi)(phi)


def meta_update(phi: Parameters, gradient: Parameters, beta: float) -> Parameters:
    """Return φ' = φ - β · gradient, the outer step as the formula has it.

    Raises TypeError or ValueError unless `beta` is positive.
    """
    checks.positive("beta", beta)
    return {name: weight - beta * gradient[name] for name, weight in phi.items()}


def train(
    network: nn.Module,
    loss: Loss,
    sample: Callable[[], Episode],
    iterations: int,
    alpha: float,
    beta: float = 1e-3,
    steps: int = 1,
    first_order: bool = False,
    run: Run | None = None,
) -> tuple[Parameters, list[float]]:
    """Meta-train, from the network's own weights, on a fresh batch of tasks in each iteration.

    Returns φ and the meta-losses. The outer steps are Adam's, as in the paper's code; the
    network itself stays as it was. `run` says where checkpoints and the log go (`runs`).

    Raises as `adapt` and `training.minimise` do.
    """
    phi = {name: weight.requires_grad_() for name, weight in parameters_of(network).items()}

    def batch_loss() -> Tensor:
        return meta_loss(loss, phi, sample(), alpha, steps, first_order)

    losses = minimise(phi.items(), batch_loss, iterations, beta, label="MAML", run=run)
    return {name: weight.detach() for name, weight in phi.items()}, losses


def classify(
    network: nn.Module, loss: Loss, phi: Parameters, episode: Episode, alpha: float, steps: int = 1
) -> Tensor:
    """Adapt φ to one episode's support set and return the labels of its queries, (queries,)."""
    theta = adapt(loss, phi, episode.support_x, episode.support_y, alpha, steps)
    with torch.no_grad():
        return functional_call(network, theta, (episode.query_x,)).argmax(dim=1)
