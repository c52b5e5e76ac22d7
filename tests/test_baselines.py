"""The hand-made optimizers: torch's own, searched fairly."""

from functools import partial

import pytest
import torch

from meta_lib.rivals.baselines import BASELINES, RATES, conjugate_gradients, descend, tune
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


@pytest.mark.parametrize(("rates", "edge"), [([0.1, 0.2, 0.3], 0.3), ([0.7, 0.6, 0.5], 0.5)])
def test_a_best_rate_at_the_edge_is_refused(rates, edge):
    with pytest.raises(ValueError, match=f"the best setting, {edge}, lies at the edge"):
        tune(BASELINES["SGD"], parabola, torch.ones(1, 1), 1, rates)


def test_conjugate_gradients_solve_d_dimensions_in_d_steps(generator):
    torch.set_default_dtype(torch.float64)
    tasks, start = sample_quadratics(5, 4, generator), normal(5, 4, generator=generator)
    losses = conjugate_gradients(tasks, start, 6)
    assert losses.shape == (7, 5) and losses.isfinite().all()
    torch.testing.assert_close(losses[0], tasks(start))
    assert (conjugate_gradients(tasks, start, 400).isfinite()).all(), "what is solved stays solved"
    assert (losses.diff(dim=0) <= 0).all() and (losses[4] < 1e-9 * losses[0]).all()
    # The first step goes down the gradient, exactly as far as it pays.
    at = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(tasks(at).sum(), at)
    lengths = torch.linspace(0, 0.2, 20_001)[:, None]
    for task in range(5):
        line = start[task] - lengths * gradient[task]
        found = (line @ tasks.W[task].T - tasks.y[task]).square().sum(dim=1).min()
        assert losses[1, task].item() == pytest.approx(found.item(), rel=1e-4)


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
