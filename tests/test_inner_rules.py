"""Inner rules: against torch's own optimizers, against higher, and through a stack."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from meta_lib import inner_rules, maml
from meta_lib.inner_rules import Adam, Descent, LearnedRule, Momentum
from meta_lib.lstm_optimizer import LSTMOptimizer, unroll
from meta_lib.networks import expand, flatten, loss_of, mlp, parameters_of
from meta_lib.tasks.episodes import unstack
from meta_lib.tasks.sinusoids import sample_points, sample_waves

RULES = {
    "descent": (Descent(0.1), lambda weights: torch.optim.SGD(weights, lr=0.1)),
    "momentum": (Momentum(0.1, mu=0.7), lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.7)),
    "momentum, as it is": (Momentum(0.1), lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9)),
    "Adam": (Adam(0.02), lambda weights: torch.optim.Adam(weights, lr=0.02)),
    "Adam, otherwise": (
        Adam(0.02, betas=(0.8, 0.9), epsilon=1e-4),
        lambda weights: torch.optim.Adam(weights, lr=0.02, betas=(0.8, 0.9), eps=1e-4),
    ),
}


def constants(slopes):
    """Take slopes as constants: what first order means."""
    return [slope.detach() for slope in slopes]


@pytest.fixture
def problem(generator):
    network = mlp(1, 5, 4, 1, activation=nn.Tanh)
    tasks = sample_points(sample_waves(3, generator), 5, 6, generator)
    return network, loss_of(network, F.mse_loss), parameters_of(network), tasks


@pytest.mark.parametrize(("rule", "torchs"), RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("steps", [1, 4])
def test_a_rule_moves_as_torchs_own_optimizer_does(rule, torchs, steps, problem):
    network, loss, phi, tasks = problem
    stack = maml.adapt(loss, expand(phi, 3), tasks.support_x, tasks.support_y, rule, steps)
    for number, task in enumerate(unstack(tasks)):
        theirs = copy.deepcopy(network)
        optimizer = torchs(theirs.parameters())
        for _ in range(steps):
            optimizer.zero_grad()
            F.mse_loss(theirs(task.support_x), task.support_y).backward()
            optimizer.step()
        alone = maml.adapt(loss, phi, task.support_x, task.support_y, rule, steps)
        for name, weight in theirs.named_parameters():
            torch.testing.assert_close(alone[name], weight.detach())
            torch.testing.assert_close(stack[name][number], weight.detach())


# higher adds ε where torch once did, before the bias is corrected: as good as none is the same.
AS_IN_HIGHER = {name: RULES[name] for name in ("descent", "momentum")} | {
    "Adam": (
        Adam(0.02, betas=(0.8, 0.9), epsilon=1e-25),
        lambda weights: torch.optim.Adam(weights, lr=0.02, betas=(0.8, 0.9), eps=1e-25),
    )
}


@pytest.mark.parametrize(("rule", "torchs"), AS_IN_HIGHER.values(), ids=AS_IN_HIGHER.keys())
@pytest.mark.parametrize("first_order", [False, True])
def test_the_meta_gradient_through_a_rule_is_that_of_higher(rule, torchs, first_order, problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import higher

    network, loss, phi, tasks = problem
    objective = maml.first_order_loss if first_order else maml.meta_loss
    ours, _ = maml.meta_gradient(loss, phi, tasks, rule, 3, objective)
    total = [torch.zeros_like(weight) for weight in network.parameters()]
    for task in unstack(tasks):
        with higher.innerloop_ctx(
            network, torchs(network.parameters()), copy_initial_weights=False,
        ) as (copied, inner):  # fmt: skip
            for _ in range(3):
                value = F.mse_loss(copied(task.support_x), task.support_y)
                inner.step(value, grad_callback=constants if first_order else None)
            value = F.mse_loss(copied(task.query_x), task.query_y) / 3
            for sum_, slope in zip(
                total, torch.autograd.grad(value, list(network.parameters())), strict=True
            ):
                sum_ += slope
    theirs = flatten(dict(zip(phi, total, strict=True)))
    assert (flatten(ours) - theirs).norm() < 1e-8 * theirs.norm()


def test_a_slope_that_was_always_0_spoils_nothing_in_adam(generator):
    network = mlp(1, 8, 1)  # of ReLUs, some are dead
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    tasks = sample_points(sample_waves(3, generator), 5, 6, generator)
    phi["0.bias"][:4] = -100.0
    gradient, _ = maml.meta_gradient(loss, phi, tasks, Adam(0.02), 3)
    assert flatten(gradient).isfinite().all()


def test_a_learned_rule_moves_as_it_does_by_itself(problem):
    _, loss, phi, tasks = problem
    optimizer = LSTMOptimizer(hidden=4)
    task = unstack(tasks)[0]
    theta = maml.adapt(loss, phi, task.support_x, task.support_y, LearnedRule(optimizer), 3)
    name = "2.weight"

    def alone(flat):
        # The other weights stand still, as they do for a rule that knows nothing of them.
        at = before | {name: flat.view_as(phi[name])}
        return loss(at, task.support_x, task.support_y)[None]

    before, state = phi, None
    for step in range(3):
        moments = unroll(optimizer, alone, before[name].reshape(1, -1), 1, state)
        state = moments[-1].state
        whole = maml.adapt(
            loss, phi, task.support_x, task.support_y, LearnedRule(optimizer), step + 1
        )
        torch.testing.assert_close(moments[-1].theta.view_as(phi[name]), whole[name])
        before = {n: weight.detach() for n, weight in whole.items()}
    torch.testing.assert_close(before, {n: weight.detach() for n, weight in theta.items()})


def test_maml_learns_a_learned_rule_too_and_leaves_a_frozen_one(problem):
    network, loss, phi, tasks = problem
    optimizer = LSTMOptimizer(hidden=4)
    before = parameters_of(optimizer)
    moved, _ = maml.train(
        network, loss, lambda: tasks, 2, LearnedRule(optimizer), steps=2, chunk=2
    )
    assert all((moved[name] != phi[name]).any() for name in phi)
    assert all((w != before[n]).any() for n, w in optimizer.named_parameters())
    before = parameters_of(optimizer)
    optimizer.requires_grad_(False)
    assert inner_rules.learned_in(LearnedRule(optimizer)) == {}
    maml.train(network, loss, lambda: tasks, 2, LearnedRule(optimizer), steps=2)
    assert all(torch.equal(w, before[n]) for n, w in optimizer.named_parameters())


@pytest.mark.parametrize("rule", [Momentum, Adam])
def test_rates_by_name_serve_every_rule(rule, problem):
    network, loss, phi, tasks = problem
    rates = {"4.weight": 0.1, "4.bias": torch.full((1,), 0.1, requires_grad=True)}
    start = expand(phi, 3)
    theta = maml.adapt(loss, start, tasks.support_x, tasks.support_y, rule(rates), 3)
    assert [n for n in phi if not torch.equal(theta[n], start[n])] == ["4.weight", "4.bias"]
    maml.train(network, loss, lambda: tasks, 2, rule(rates), steps=2)
    assert rates["4.bias"].item() != 0.1, "learned, as in Meta-SGD"


def test_a_rule_of_ones_own_is_a_function(problem):
    """Steps that halve: the state counts them."""
    _, loss, phi, tasks = problem

    def halving(theta, slopes, state):
        rate = 0.1 if state is None else state / 2
        return theta | {name: theta[name] - rate * slopes[name] for name in slopes}, rate

    task = unstack(tasks)[0]
    expected = phi
    for rate in (0.1, 0.05, 0.025):
        expected = maml.adapt(loss, expected, task.support_x, task.support_y, rate)
    found = maml.adapt(loss, phi, task.support_x, task.support_y, halving, 3)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rule", [Descent, Momentum, Adam])
def test_a_rules_rate_is_checked(rule, problem):
    _, loss, phi, tasks = problem
    task = unstack(tasks)[0]
    for alpha, words in ((0.0, "alpha must be a finite"), ({"u": 0.1}, "but named 'u'")):
        with pytest.raises(ValueError, match=words):
            maml.adapt(loss, phi, task.support_x, task.support_y, rule(alpha))
