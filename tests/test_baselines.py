"""The hand-made optimizers: torch's own, searched fairly; and a learned one in their place."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from meta_lib.lstm_optimizer import GatedOptimizer, Learned, LSTMOptimizer, unroll
from meta_lib.networks import flat_loss, flatten, loss_of, mlp, parameters_of, unflatten
from meta_lib.rivals.baselines import BASELINES, RATES, descend, tune
from meta_lib.tasks.draws import normal
from meta_lib.tasks.quadratics import sample_quadratics


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_works_on_each_task_as_it_would_alone(name, generator):
    tasks, start = sample_quadratics(3, 4, generator), normal(3, 4, generator=generator)
    make = partial(BASELINES[name], lr=0.01)
    losses = descend(make, tasks, start, 5)
    assert losses.shape == (6, 3)
    for task in range(3):
        theta = start[task].clone().requires_grad_()
        optimizer = make([theta])
        for moment in losses[:, task]:
            value = (tasks.W[task] @ theta - tasks.y[task]).square().sum()
            assert value.item() == pytest.approx(moment.item())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()


def test_the_baselines_are_what_their_names_say(generator):
    given = [torch.zeros(1, requires_grad=True)]
    made = {name: make(given, lr=0.1) for name, make in BASELINES.items()}
    assert list(made) == ["SGD", "momentum", "NAG", "RMSprop", "Adam"]
    assert (made["SGD"].defaults["momentum"], made["SGD"].defaults["nesterov"]) == (0, False)
    assert made["momentum"].defaults["momentum"] == made["NAG"].defaults["momentum"] == 0.9
    assert made["NAG"].defaults["nesterov"] and not made["momentum"].defaults["nesterov"]
    assert type(made["RMSprop"]) is torch.optim.RMSprop and type(made["Adam"]) is torch.optim.Adam


def parabola(theta):
    return (theta**2).sum(dim=1)  # one step of gradient descent with rate ½ ends at 0


def test_the_start_stays_as_it_was():
    start = torch.ones(2, 3)
    descend(partial(BASELINES["SGD"], lr=0.1), parabola, start, 2)
    assert torch.equal(start, torch.ones(2, 3)) and not start.requires_grad


def test_tuning_finds_the_best_rate():
    start = torch.tensor([[1.0, -2.0]])
    assert tune(BASELINES["SGD"], parabola, start, 1, [0.1, 0.4, 0.5, 0.7]) == 0.5
    assert tune(BASELINES["SGD"], parabola, start, 3) == min(RATES, key=lambda a: abs(1 - 2 * a))


def test_of_equal_rates_the_first_is_taken():
    assert tune(BASELINES["SGD"], parabola, torch.ones(1, 1), 1, [0.75, 0.25]) == 0.75


def test_a_rate_that_overflows_counts_as_infinitely_bad():
    assert tune(BASELINES["SGD"], parabola, torch.ones(1, 1), 400, [10.0, 1e-6]) == 1e-6
    with pytest.raises(ValueError, match="finite loss after 400 steps, but none of 10, 20 has$"):
        tune(BASELINES["SGD"], parabola, torch.ones(1, 1), 400, [10.0, 20.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tune(BASELINES["SGD"], parabola, torch.ones(1, 1), 1, []), "^rates must .*empty$"),
        (lambda: descend(BASELINES["SGD"], parabola, torch.ones(1, 1), 0), "steps must be at leas"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_learned_rule_descends_as_it_unrolls(generator):
    tasks, start = sample_quadratics(3, 4, generator), normal(3, 4, generator=generator)
    rules = [LSTMOptimizer(hidden=5), GatedOptimizer(torch.zeros(4), hidden=3)]
    for rule in rules:
        losses = descend(partial(Learned, rule=rule), tasks, start, 6)
        moments = unroll(rule, tasks, start, 6)
        torch.testing.assert_close(losses, torch.stack([m.losses for m in moments]).detach())


@pytest.mark.parametrize("gated", [False, True])
def test_a_learned_rule_trains_any_module(gated, generator):
    network = mlp(2, 3, 1, activation=nn.Tanh)
    x, y = normal(20, 2, generator=generator), normal(20, 1, generator=generator)
    start = parameters_of(network)
    rule = GatedOptimizer(flatten(start), hidden=3) if gated else LSTMOptimizer(hidden=5)
    unused = nn.Parameter(torch.ones(2))
    optimizer = Learned([unused, *network.parameters()], rule)

    def closure():
        optimizer.zero_grad()
        value = F.mse_loss(network(x), y)
        value.backward()
        return value

    for _ in range(4):
        optimizer.step(closure)

    plain = mlp(2, 3, 1, activation=nn.Tanh)
    loss = flat_loss(loss_of(plain, F.mse_loss), start)
    moments = unroll(rule, lambda theta: loss(theta[0], x, y)[None], flatten(start)[None], 4)
    expected = unflatten(moments[-1].theta[0].detach(), start)
    for name, weight in expected.items():
        torch.testing.assert_close(network.get_parameter(name).detach(), weight)
    assert unused.tolist() == [1, 1], "a parameter without a gradient was changed"


def test_a_rule_that_looks_at_the_loss_needs_a_closure():
    weight = torch.ones(3, requires_grad=True)
    weight.sum().backward()
    with pytest.raises(ValueError, match="^closure must .* GatedOptimizer, but was None$"):
        Learned([weight], GatedOptimizer(torch.zeros(3))).step()
    Learned([weight], LSTMOptimizer(hidden=2)).step()
