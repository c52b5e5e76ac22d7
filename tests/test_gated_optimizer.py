"""The gated optimizer against its formula, gradient descent and the updates one by one."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from meta_lib import gated_optimizer as learned
from meta_lib.lstm_optimizer import preprocess, unroll
from meta_lib.machinery.runs import Run, read_model
from meta_lib.networks import (
    conv_network,
    flat_loss,
    flatten,
    loss_of,
    mlp,
    parameters_of,
    unflatten,
)
from meta_lib.tasks.draws import normal
from meta_lib.tasks.episodes import Episode, unstack
from meta_lib.tasks.quadratics import sample_quadratics
from meta_lib.tasks.sinusoids import sample_points, sample_waves


def gated_with_fixed_gates(coordinates, rate):
    """A gated optimizer whose gates do not look at anything: f = 1 exactly and i = `rate`."""
    optimizer = learned.GatedOptimizer(torch.linspace(-1, 1, coordinates), hidden=3)
    for gate, bias in (
        (optimizer.input_gate, math.log(rate / (1 - rate))),
        (optimizer.forget_gate, 60.0),
    ):
        nn.init.zeros_(gate.weight)
        nn.init.constant_(gate.bias, bias)
    return optimizer


def test_with_its_gates_held_the_gated_optimizer_is_gradient_descent(generator):
    tasks = sample_quadratics(3, 4, generator)
    optimizer = gated_with_fixed_gates(4, 0.01)
    moments = unroll(optimizer, tasks, optimizer.start(3), 20)
    theta = torch.linspace(-1, 1, 4).expand(3, 4)
    for moment in moments:
        torch.testing.assert_close(moment.theta, theta, rtol=1e-12, atol=1e-12)
        gradient = 2 * torch.einsum(
            "tij,ti->tj", tasks.W, torch.einsum("tij,tj->ti", tasks.W, theta) - tasks.y
        )
        theta = theta - 0.01 * gradient


def test_gated_update_is_the_formula():
    update = learned.gated_update(
        torch.tensor(2.0), torch.tensor(3.0), torch.tensor(0.1), torch.tensor(0.9)
    )
    assert update.item() == pytest.approx(0.9 * 2 - 0.1 * 3)


def test_gates_see_features_parameter_and_their_own_last_value(generator):
    optimizer = learned.GatedOptimizer(torch.tensor([0.5, -1.0]), hidden=2)
    for gate in (optimizer.input_gate, optimizer.forget_gate):
        nn.init.normal_(gate.weight, generator=generator)
    theta, gradient, losses = optimizer.start(1), torch.tensor([[0.2, -3.0]]), torch.tensor([0.7])
    h, c = torch.zeros(2, 2), torch.zeros(2, 2)
    shut, open_ = torch.zeros(1, 2), torch.ones(1, 2)
    new, state = optimizer(theta, gradient, losses, (h, c, shut, open_))

    for k in range(2):
        seen = torch.cat([preprocess(gradient[0, k]), preprocess(losses[0])])
        h, _ = optimizer.features(seen[None], (torch.zeros(1, 2), torch.zeros(1, 2)))
        i, f = (
            torch.sigmoid(
                (gate.weight[0] * torch.cat([h[0], theta[0, k, None], torch.tensor([last])])).sum()
                + gate.bias[0]
            )
            for gate, last in ((optimizer.input_gate, 0.0), (optimizer.forget_gate, 1.0))
        )
        assert state[2][0, k].item() == pytest.approx(i.item())
        assert state[3][0, k].item() == pytest.approx(f.item())
        expected = f * theta[0, k] - i * gradient[0, k]
        assert new[0, k].item() == pytest.approx(expected.item())


def test_gates_start_as_slow_gradient_descent(generator):
    optimizer = learned.GatedOptimizer(torch.zeros(4), hidden=5)
    start = optimizer.start(2)
    _, state = optimizer(
        start, normal(2, 4, generator=generator), torch.ones(2), optimizer.initial_state(start)
    )
    assert 0.005 < state[2].min() and state[2].max() < 0.02
    assert 0.98 < state[3].min()


def test_gated_training_learns_initialisation_and_gates(generator):
    network = mlp(1, 10, 1, activation=nn.Tanh)
    loss, like = loss_of(network, F.mse_loss), parameters_of(network)
    held_out = sample_points(sample_waves(100, generator), 5, 10, generator)
    optimizer = learned.GatedOptimizer(flatten(like), hidden=4)

    def query_loss():
        theta = learned.adapt(optimizer, loss, like, held_out, 3)
        return vmap(flat_loss(loss, like))(theta, held_out.query_x, held_out.query_y).mean().item()

    before, start = query_loss(), optimizer.initialisation.detach().clone()
    gate = optimizer.input_gate.bias.detach().clone()

    def sample():
        return sample_points(sample_waves(10, generator), 5, 10, generator)

    learned.train(optimizer, loss, like, sample, 80, steps=3, beta=2e-2)
    assert query_loss() < 0.9 * before
    assert not torch.equal(optimizer.initialisation, start), "the initialisation was not learned"
    assert not torch.equal(optimizer.input_gate.bias, gate), "the gates were not learned"


def gated(generator):
    network = mlp(2, 8, 4, activation=nn.Tanh)
    loss, like = loss_of(network, F.cross_entropy), parameters_of(network)
    optimizer = learned.GatedOptimizer(4 * flatten(like), hidden=2)
    for gate in (optimizer.input_gate, optimizer.forget_gate):
        nn.init.normal_(gate.weight, std=0.1, generator=generator)
    labels = torch.arange(4).repeat(2)
    tasks = Episode(
        normal(3, 8, 2, generator=generator), labels.expand(3, 8),
        normal(3, 8, 2, generator=generator), labels.expand(3, 8),
    )  # fmt: skip
    return network, loss, like, optimizer, tasks


def test_gated_adaptation_and_its_answers_are_those_of_the_last_update(generator):
    network, loss, like, optimizer, tasks = gated(generator)
    theta, answers = learned.adapt(optimizer, loss, like, tasks, 4), []
    for number, task in enumerate(unstack(tasks)):
        one = flat_loss(loss, like)
        moments = unroll(
            optimizer,
            lambda theta, one=one, task=task: one(theta[0], task.support_x, task.support_y)[None],
            optimizer.start(1),
            4,
        )
        torch.testing.assert_close(theta[number], moments[-1].theta[0])
        weights = unflatten(moments[-1].theta[0].detach(), like)
        expected = functional_call(network, weights, (task.query_x,)).argmax(dim=1)
        assert torch.equal(learned.classify(optimizer, network, loss, task, 4), expected)
        answers.append(expected)
    assert torch.stack(answers).unique().numel() > 1, "a constant answer proves little"


def test_gated_training_takes_clipped_decaying_adam_steps(generator, tmp_path):
    network, loss, like, optimizer, tasks = gated(generator)
    by_hand = copy.deepcopy(optimizer)
    run = Run(tmp_path, {})
    losses = learned.train(
        optimizer, loss, like, lambda: tasks, 3, steps=2, beta=0.1, clip=0.01, run=run
    )
    adam = torch.optim.Adam(by_hand.parameters())
    for done, expected in enumerate(losses):
        adam.param_groups[0]["lr"] = 0.1 * (1 - done / 3)
        adam.zero_grad()
        theta = learned.adapt(by_hand, loss, like, tasks, 2)
        value = flat_loss(loss, like)(theta, tasks.query_x, tasks.query_y).mean()
        assert value.item() == pytest.approx(expected)
        value.backward()
        norm = nn.utils.clip_grad_norm_(by_hand.parameters(), 0.01)
        assert norm > 0.01, "nothing was clipped"
        adam.step()
    for ours, theirs in zip(optimizer.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert read_model(tmp_path).iteration == 3


def test_gated_training_has_the_rate_and_the_clip_that_it_says(generator):
    network, loss, like, optimizer, tasks = gated(generator)
    twin = copy.deepcopy(optimizer)
    # Steep tasks, whose gradients a clip of 0.25 cuts.
    steep = tasks._replace(query_x=50 * tasks.query_x)
    learned.train(optimizer, loss, like, lambda: steep, 2, steps=2)
    learned.train(twin, loss, like, lambda: steep, 2, steps=2, beta=1e-3, clip=0.25)
    for ours, theirs in zip(optimizer.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert (optimizer.initialisation - 4 * flatten(like)).abs().max() < 0.01


def test_the_gated_optimizer_begins_as_it_says():
    optimizer = learned.GatedOptimizer(torch.zeros(3))
    assert optimizer.features.hidden_size == 20
    assert optimizer.input_gate.bias.item() == -4.5 and optimizer.forget_gate.bias.item() == 4.5
    for gate in (optimizer.input_gate, optimizer.forget_gate):
        assert gate.weight.abs().max() <= 0.01 and gate.weight.min() < 0 < gate.weight.max()
    with pytest.raises(ValueError, match="hidden must be at least 1, but was 0"):
        learned.GatedOptimizer(torch.zeros(3), hidden=0)


def test_the_gates_remember(generator):
    optimizer = gated(generator)[3]
    start, gradient = torch.zeros(1, 60), torch.ones(1, 60)
    state = optimizer.initial_state(start)
    _, later = optimizer(start, gradient, torch.ones(1), state)
    _, forgetful = optimizer(start, gradient, torch.ones(1), (*state[:2], *later[2:]))
    _, remembering = optimizer(start, gradient, torch.ones(1), later)
    assert not torch.allclose(forgetful[0], remembering[0])


def test_gated_training_says_where_a_loss_is_not_finite(generator):
    network = mlp(1, 3, 1)
    like = parameters_of(network)
    optimizer = learned.GatedOptimizer(flatten(like), hidden=2)
    tasks = sample_points(sample_waves(3, generator), 4, 4, generator)
    tasks.support_y[1] = math.inf
    with pytest.raises(FloatingPointError, match="^gated optimizer: .* In task 2 of 3 the support"):
        learned.train(optimizer, loss_of(network, F.mse_loss), like, lambda: tasks, 1, steps=2)


def test_the_first_gates_are_those_of_a_step_that_changes_nothing(generator):
    theta = normal(2, 3, generator=generator)
    h, c, shut, open_ = learned.GatedOptimizer(torch.zeros(3), hidden=4).initial_state(theta)
    assert h.shape == c.shape == (6, 4) and not h.any() and not c.any()
    same = learned.gated_update(theta, torch.full((2, 3), 7.0), shut, open_)
    assert torch.equal(same, theta)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_answers_are_the_same_whether_gradients_are_on_or_off(mode, generator):
    network, loss, like, optimizer, tasks = gated(generator)
    task, expected = unstack(tasks)[0], learned.adapt(optimizer, loss, like, tasks, 3)
    optimizer.train()
    before = copy.deepcopy([network.state_dict(), optimizer.state_dict()])
    answers = learned.classify(optimizer, network, loss, task, 3)
    with mode():
        theta = learned.adapt(optimizer, loss, like, tasks, 3)
        inside = learned.classify(optimizer, network, loss, task, 3)
    assert torch.equal(theta, expected) and torch.equal(inside, answers)
    assert theta.requires_grad == (mode is torch.enable_grad)
    assert network.training and optimizer.training
    for module, state in zip((network, optimizer), before, strict=True):
        for name, weight in module.named_parameters():
            assert torch.equal(weight, state[name]) and weight.grad is None and weight.requires_grad


def test_an_episode_that_was_made_in_inference_mode_can_be_classified(generator):
    network, loss, _, optimizer, tasks = gated(generator)
    task = unstack(tasks)[0]
    with torch.inference_mode():
        made = Episode(*(part.clone() for part in task))
        answers = learned.classify(optimizer, network, loss, made, 3)
    assert torch.equal(answers, learned.classify(optimizer, network, loss, task, 3))
    assert torch.equal(answers, learned.classify(optimizer, network, loss, made, 3))


def test_a_foreign_network_answers_alike_each_time_and_stays_as_it_was(generator):
    network = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 4)
    )
    network[0].requires_grad_(False)
    loss, like, tasks = (
        loss_of(network, F.cross_entropy),
        parameters_of(network),
        gated(generator)[4],
    )
    assert set(like) == {"1.weight", "1.bias", "4.weight", "4.bias"}
    optimizer = learned.GatedOptimizer(flatten(like), hidden=2)
    before = copy.deepcopy(network.state_dict())
    first, again = (learned.classify(optimizer, network, loss, unstack(tasks)[0], 2) for _ in "12")
    assert torch.equal(first, again) and all(module.training for module in network.modules())
    for name, part in network.state_dict().items():
        assert torch.equal(part, before[name]), name


def test_a_rule_of_32_bits_adapts_a_network_of_64_and_the_other_way_round(generator):
    network, loss, like, optimizer, tasks = gated(generator)
    exact = learned.adapt(optimizer, loss, like, tasks, 3)
    half = copy.deepcopy(optimizer).float()
    theta = learned.adapt(half, loss, like, tasks, 3)
    assert theta.dtype == torch.float64
    torch.testing.assert_close(theta, exact, rtol=1e-4, atol=1e-4)
    theta.sum().backward()
    assert half.initialisation.grad.dtype == torch.float32
    single = Episode(*(part.float() if part.is_floating_point() else part for part in tasks))
    like = {name: weight.float() for name, weight in like.items()}
    theta = learned.adapt(optimizer, loss, like, single, 3)
    assert theta.dtype == torch.float32
    torch.testing.assert_close(theta.double(), exact, rtol=1e-4, atol=1e-4)
    task = unstack(single)[0]
    assert learned.classify(optimizer, network.float(), loss, task, 3).shape == (8,)


@pytest.mark.parametrize("frozen", ["initialisation", "features", "input_gate", "forget_gate"])
def test_training_leaves_a_frozen_part_alone(frozen, generator):
    _, loss, like, optimizer, tasks = gated(generator)
    optimizer.requires_grad_(True)
    (optimizer.get_parameter if frozen == "initialisation" else optimizer.get_submodule)(
        frozen
    ).requires_grad_(False)
    before = copy.deepcopy(optimizer.state_dict())
    learned.train(optimizer, loss, like, lambda: tasks, 2, steps=2, beta=0.1)
    for name, weight in optimizer.named_parameters():
        assert torch.equal(weight, before[name]) == name.startswith(frozen), name


def test_a_frozen_rule_still_adapts(generator):
    _, loss, like, optimizer, tasks = gated(generator)
    expected = learned.adapt(optimizer, loss, like, tasks, 3)
    optimizer.requires_grad_(False)
    assert torch.equal(learned.adapt(optimizer, loss, like, tasks, 3), expected)


def test_adaptation_happens_where_the_rule_and_the_tasks_are(monkeypatch, generator):
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    network = conv_network(2, filters=2, blocks=2)
    loss, like = loss_of(network, F.cross_entropy), parameters_of(network)
    optimizer = learned.GatedOptimizer(flatten(like), hidden=2)
    assert all(weight.is_meta for weight in optimizer.parameters())
    images, labels = normal(3, 4, 1, 8, 8, generator=generator), torch.zeros(3, 4).long().to("meta")
    tasks = Episode(images, labels, images, labels)
    theta = learned.adapt(optimizer, loss, like, tasks, 2)
    flat_loss(loss, like)(theta, tasks.query_x, tasks.query_y).mean().backward()
    assert all(weight.grad.is_meta for weight in optimizer.parameters())
    task = unstack(tasks)[0]
    assert learned.classify(optimizer, network, loss, task, 2).is_meta


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match=r"^initialisation must have shape \(coordinates,\), but"):
        learned.GatedOptimizer(torch.zeros(2, 2))
    rule, theta = learned.GatedOptimizer(torch.zeros(2), hidden=2), torch.zeros(1, 2)
    with pytest.raises(ValueError, match=r"^losses must be \(tasks,\) .*, but were None"):
        rule(theta, theta, None, rule.initial_state(theta))
