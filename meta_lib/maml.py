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

The relatives of MAML differ in one of two things. What the outer loop minimises is a function with
the arguments of `meta_loss`: `first_order_loss`; `multi_step_loss`, of MAML++ (Antoniou, Edwards &
Storkey 2019, https://arxiv.org/abs/1810.09502); `reptile_loss` (Nichol, Achiam & Schulman 2018,
https://arxiv.org/abs/1803.02999). How the inner loop moves is `alpha`, a rate, or rates by name:
`head_rates` for ANIL (Raghu et al. 2020, https://arxiv.org/abs/1909.09157), `learned_rates` for
Meta-SGD (Li et al. 2017, https://arxiv.org/abs/1707.09835), `layer_rates` for MAML++'s own; or any
rule of `inner_rules`.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from meta_lib.inner_rules import (
    InnerRule,
    Rates,
    Slopes,
    State,
    Stepwise,
    check_rates,
    learned_in,
    rates_of,
    rule_of,
)
from meta_lib.machinery import checks
from meta_lib.machinery.calls import answering
from meta_lib.machinery.chunks import mean_in_chunks
from meta_lib.machinery.runs import Run
from meta_lib.networks import (
    Loss,
    Parameters,
    expand,
    forward,
    forward_one_by_one,
    parameters_of,
)
from meta_lib.tasks.episodes import Episode
from meta_lib.training import first_lost, minimise

Alpha = Rates | InnerRule
"""The inner rate α, one number or a rate for each weight by name; or an inner rule with its own."""

MetaLoss = Callable[[Loss, Parameters, Episode, Alpha, int], Tensor]
"""What the outer loop minimises: from a loss, φ, a stack of episodes, `alpha` and the number of
inner steps to one number."""


def inner_step(
    loss: Loss,
    theta: Parameters,
    x: Tensor,
    y: Tensor,
    alpha: Alpha,
    state: State = None,
    first_order: bool = False,
) -> tuple[Parameters, State]:
    """Return θ' = θ - α ∇L(θ), one step on (x, y), and the state of the inner rule.

    If a weight of θ requires a gradient, θ' can be differentiated with respect to it, and weights
    that do not are frozen. With `first_order` the slope ∇L counts as a constant, which drops the
    second derivatives. A weight that L does not depend on has slope 0.

    Raises ValueError if L depends on none of the weights.
    """
    free = {name: weight for name, weight in theta.items() if weight.requires_grad}
    differentiable = torch.is_grad_enabled() and bool(free or learned_in(alpha))
    with torch.enable_grad():
        at = theta | (free or {n: w.detach().requires_grad_() for n, w in theta.items()})
        adapted = [name for name in rates_of(alpha) or theta if at[name].requires_grad]
        losses = loss(at, x, y)
        if not losses.requires_grad:
            raise ValueError("loss must depend on a weight that is not frozen, but does not")
        if not adapted:
            raise ValueError("alpha must give a rate to a weight that is not frozen, but does not")
        gradient = torch.autograd.grad(
            losses.sum(),
            [at[name] for name in adapted],
            create_graph=differentiable and not first_order,
            materialize_grads=True,
        )
    slopes = Slopes(zip(adapted, gradient, strict=True))
    slopes.losses = losses
    return rule_of(alpha)(at if differentiable else theta, slopes, state)


def adapt(
    loss: Loss,
    phi: Parameters,
    support_x: Tensor,
    support_y: Tensor,
    alpha: Alpha,
    steps: int = 1,
    first_order: bool = False,
) -> Parameters:
    """Return θ': φ after `steps` inner steps on the support set of one task.

    For a stack of tasks give each its own φ (`networks.expand`).

    Raises TypeError or ValueError unless each rate in `alpha` is positive and belongs to a weight,
    `steps` is a whole number of at least 0, and there are as many targets as inputs.
    """
    _check(phi, support_x, support_y, alpha, steps)
    theta, state = phi, None
    for _ in range(steps):
        theta, state = inner_step(loss, theta, support_x, support_y, alpha, state, first_order)
    return theta


def meta_loss(
    loss: Loss, phi: Parameters, episodes: Episode, alpha: Alpha, steps: int = 1
) -> Tensor:
    """Return (1/B) Σᵢ Lᵢ(θᵢ'): the query loss after adaptation, averaged over B tasks.

    The episodes are stacked: each tensor has a first dimension of size B. The formula of part 4
    has the sum; with the mean, β does not depend on the number of tasks.

    Raises as `adapt` does, and ValueError if the loss is not one number for each task.
    """
    start = expand(phi, len(episodes.support_x))
    theta = adapt(loss, start, episodes.support_x, episodes.support_y, alpha, steps)
    return query_loss(loss, theta, episodes)


def first_order_loss(
    loss: Loss, phi: Parameters, episodes: Episode, alpha: Alpha, steps: int = 1
) -> Tensor:
    """Return `meta_loss`, whose gradient here lacks the second derivatives: first-order MAML."""
    start = expand(phi, len(episodes.support_x))
    theta = adapt(loss, start, episodes.support_x, episodes.support_y, alpha, steps, True)
    return query_loss(loss, theta, episodes)


def multi_step_loss(
    loss: Loss,
    phi: Parameters,
    episodes: Episode,
    alpha: Alpha,
    steps: int = 1,
    step_weights: Sequence[float] | None = None,
) -> Tensor:
    """Return Σₖ wₖ (1/B) Σᵢ Lᵢ(θᵢ⁽ᵏ⁾): the query losses after every inner step, weighted.

    `step_weights` holds w₁ to w_K, one for each of the K steps; left out, each is 1/K.

    Raises as `meta_loss` does, and ValueError for another number of weights, or without a step.
    """
    checks.whole_number("steps", steps)
    weights = [1 / steps] * steps if step_weights is None else step_weights
    if len(weights) != steps:
        raise ValueError(f"step_weights must hold {steps} numbers, but held {len(weights)}")
    support = episodes.support_x, episodes.support_y
    _check(phi, *support, alpha, steps)
    theta, state, losses = expand(phi, len(episodes.support_x)), None, []
    for weight in weights:
        theta, state = inner_step(loss, theta, *support, alpha, state)
        losses.append(weight * query_loss(loss, theta, episodes))
    return sum(losses)


def reptile_loss(
    loss: Loss, phi: Parameters, episodes: Episode, alpha: Alpha, steps: int = 1
) -> Tensor:
    """Return ½ ‖φ - θᵢ'‖² / α, averaged over B tasks, with θᵢ' as constants.

    Its gradient is Reptile's, (φ - mean of θᵢ') / α: step towards where the tasks' own training
    leads. Reptile knows no query set: θᵢ' is trained on all that the episode holds.

    Raises TypeError unless `alpha` is one number for all weights; else as `adapt` does.
    """
    if not isinstance(alpha, float | int):
        raise TypeError("alpha must be one number for Reptile, but was a rule or rates by name")
    x = torch.cat([episodes.support_x, episodes.query_x], dim=1)
    y = torch.cat([episodes.support_y, episodes.query_y], dim=1)
    start = expand({name: weight.detach() for name, weight in phi.items()}, len(x))
    theta = adapt(loss, start, x, y, alpha, steps)
    ways = (phi[name] - theta[name] for name in phi)
    return sum(way.square().sum() for way in ways) / (2 * alpha * len(x))


def query_loss(loss: Loss, theta: Parameters, episodes: Episode) -> Tensor:
    """Return (1/B) Σᵢ Lᵢ(θᵢ) on the query sets, with weights θᵢ of each task.

    Raises ValueError if the loss is not one number for each task.
    """
    tasks, losses = len(episodes.query_x), loss(theta, episodes.query_x, episodes.query_y)
    expected = f"({tasks},), one number for each task"
    checks.shape("the loss of a stack", losses, expected, losses.shape == (tasks,))
    return losses.mean()


def meta_gradient(
    loss: Loss,
    phi: Parameters,
    episodes: Episode,
    alpha: Alpha,
    steps: int = 1,
    objective: MetaLoss = meta_loss,
    chunk: int | None = None,
) -> tuple[Parameters, Tensor]:
    """Return ∇φ of the meta-loss, by name, and the meta-loss.

    `objective` is `meta_loss` or a relative's. With `chunk` so many tasks are taken at a time
    (`chunks`): with a convolutional network this is faster on the CPU, and needs less memory.
    Raises as the objective and `chunks` do.
    """
    phi = {name: weight.detach().requires_grad_() for name, weight in phi.items()}
    weights = list(phi.values())
    with torch.enable_grad():
        value = mean_in_chunks(
            lambda tasks: objective(loss, phi, tasks, alpha, steps), episodes, chunk, weights
        )
        slopes = torch.autograd.grad(value, weights, materialize_grads=True)
    return dict(zip(phi, slopes, strict=True)), value.detach()


def meta_update(phi: Parameters, gradient: Parameters, beta: float) -> Parameters:
    """Return φ' = φ - β · gradient, the outer step as the formula has it.

    Raises TypeError or ValueError unless `beta` is positive.
    """
    checks.positive("beta", beta)
    return {name: weight - beta * gradient[name] for name, weight in phi.items()}


def head_rates(phi: Parameters, alpha: float, head: str) -> dict[str, float | Tensor]:
    """Return ANIL's inner rates: `alpha` for the weights of the layer `head`, none for the body's.

    `head` is the layer's name in the network: its weights are called "head.weight" and the like.

    Raises ValueError if φ has no weights of that name, or no others.
    """
    of_head = [name for name in phi if name.startswith(f"{head}.")]
    if not 0 < len(of_head) < len(phi):
        raise ValueError(
            f"head must name one of the layers that hold {', '.join(phi)}, but was {head!r}"
        )
    return dict.fromkeys(of_head, alpha)


def learned_rates(phi: Parameters, alpha: float) -> dict[str, float | Tensor]:
    """Return Meta-SGD's inner rates: one for each single weight, which `train` learns in place."""
    return {name: torch.full_like(w, alpha).requires_grad_() for name, w in phi.items()}


def layer_rates(phi: Parameters, alpha: Rates, steps: int) -> Stepwise:
    """Return MAML++'s inner rates, which `train` learns: in each step one for each weight tensor.

    Antoniou, Edwards & Storkey (2019), https://arxiv.org/abs/1810.09502. Few numbers, so that they
    are soon learned: a layer that is to stay gets a rate near 0, a head a large one. `alpha` is
    where they begin, one number or a number for each weight by name.
    """
    start = alpha if isinstance(alpha, Mapping) else dict.fromkeys(phi, alpha)
    return Stepwise(
        [
            {name: w.new_tensor(start[name]).requires_grad_() for name, w in phi.items()}
            for _ in range(steps)
        ]
    )


def train(
    network: nn.Module,
    loss: Loss,
    sample: Callable[[], Episode],
    iterations: int,
    alpha: Alpha,
    beta: float = 1e-3,
    steps: int = 1,
    objective: MetaLoss = meta_loss,
    chunk: int | None = None,
    decay: bool = False,
    run: Run | None = None,
) -> tuple[Parameters, list[float]]:
    """Meta-train, from the network's own weights, on a fresh batch of tasks in each iteration.

    Returns φ and the meta-losses. The outer steps are Adam's, as in the paper's code. The network
    itself stays as it was, and so do weights that do not require a gradient: they are not in φ.
    Rates in `alpha` that require a gradient are learned too, in place (Meta-SGD), and so are the
    weights of a learned rule. `objective` and `chunk` are as in `meta_gradient`, `decay` as in
    `training.minimise`. `run` says where checkpoints and the log go (`runs`).

    Raises as the objective and `training.minimise` do. When a loss is not finite the error says in
    which task and after how many inner steps.
    """
    phi = {name: weight.requires_grad_() for name, weight in parameters_of(network).items()}
    weights = phi | learned_in(alpha)
    episodes: Episode

    def batch_loss() -> Tensor:
        nonlocal episodes
        episodes = sample()
        return mean_in_chunks(
            lambda tasks: objective(loss, phi, tasks, alpha, steps),
            episodes,
            chunk,
            list(weights.values()),
        )

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


@torch.no_grad()
def classify(
    network: nn.Module,
    loss: Loss,
    phi: Parameters,
    episode: Episode,
    alpha: Alpha,
    steps: int = 1,
    one_by_one: bool = False,
) -> Tensor:
    """Adapt φ to an episode's support set and return the labels of its queries, (queries,).

    A stack of episodes gives (tasks, queries). With `one_by_one`, for one episode, no query knows
    of another (`networks.forward_one_by_one`). Dropout and the like rest meanwhile, and batch
    normalisation goes by the images at hand, as in training, unless the network is in evaluation
    mode (`calls.answering`). Raises as `adapt` does.
    """
    if episode.support_y.ndim == 2:
        phi = expand(phi, len(episode.support_y))
    with answering():
        theta = adapt(loss, phi, episode.support_x, episode.support_y, alpha, steps)
        if one_by_one:
            outputs = forward_one_by_one(network, theta, episode.support_x, episode.query_x)
        else:
            outputs = forward(network, theta, episode.query_x)
    return outputs.argmax(dim=-1)


def diagnose(loss: Loss, phi: Parameters, episodes: Episode, alpha: Alpha, steps: int) -> str:
    """Return where adaptation first leaves the finite numbers: task, inner step and α."""
    theta = expand({name: weight.detach() for name, weight in phi.items()}, len(episodes.support_x))
    losses, state = [], None
    with torch.no_grad():
        for _ in range(steps + 1):
            losses.append(loss(theta, episodes.support_x, episodes.support_y))
            theta, state = inner_step(
                loss, theta, episodes.support_x, episodes.support_y, alpha, state
            )
    shown = alpha if isinstance(alpha, float | int) else "a rule or rates by name"
    return f"{first_lost(torch.stack(losses))}, with alpha = {shown}."


def _check(phi: Parameters, x: Tensor, y: Tensor, alpha: Alpha, steps: int) -> None:
    check_rates(phi, alpha)
    checks.whole_number("steps", steps, at_least=0)
    checks.shape("support_y", y, f"({len(x)}, …)", y.shape[:1] == x.shape[:1])
