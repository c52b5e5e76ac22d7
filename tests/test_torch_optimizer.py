"""A learned rule in the place of torch's optimizers: any parameters, and torch's own habits."""

import copy
import io
import pickle
from functools import partial
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import lr_scheduler

from meta_lib.gated_optimizer import GatedOptimizer
from meta_lib.lstm_optimizer import LSTMOptimizer, unroll
from meta_lib.networks import (
    flat_loss,
    flatten,
    loss_of,
    mlp,
    parameters_of,
    pooled_network,
    unflatten,
)
from meta_lib.rivals.baselines import descend
from meta_lib.tasks.draws import normal
from meta_lib.tasks.quadratics import sample_quadratics
from meta_lib.torch_optimizer import Learned


def gated_rule(hidden=3):
    return GatedOptimizer(torch.zeros(1), hidden)


RULES = {"LSTM": partial(LSTMOptimizer, hidden=5), "gated": gated_rule}
both = pytest.mark.parametrize("make", RULES.values(), ids=RULES)


class Plain:
    """A rule that is no module: momentum, with its count of steps, in a state of several kinds."""

    class State(NamedTuple):
        steps: int
        parts: dict

    def initial_state(self, theta):
        return self.State(0, {"velocity": torch.zeros_like(theta)})

    def __call__(self, theta, gradient, losses, state):
        velocity = 0.9 * state.parts["velocity"] - 0.1 * gradient
        return theta + velocity, self.State(state.steps + 1, {"velocity": velocity})


def steps(optimizer, network, x, count):
    """Take some steps towards small outputs, with a closure, and return all weights."""

    def closure():
        optimizer.zero_grad()
        loss = network(x).square().mean()
        loss.backward()
        return loss

    for _ in range(count):
        optimizer.step(closure)
    return [weight.detach().clone() for weight in network.parameters()]


def same(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_learned_rule_descends_as_it_unrolls(generator):
    tasks, start = sample_quadratics(3, 4, generator), normal(3, 4, generator=generator)
    rules = [LSTMOptimizer(hidden=5), GatedOptimizer(torch.zeros(4), hidden=3)]
    for rule in rules:
        losses = descend(partial(Learned, rule=rule), tasks, start, 6)
        moments = unroll(rule, tasks, start, 6)
        torch.testing.assert_close(losses, torch.stack([m.losses for m in moments]).detach())


@both
def test_a_learned_rule_trains_any_module(make, generator):
    network = mlp(2, 3, 1, activation=nn.Tanh)
    x, y = normal(20, 2, generator=generator), normal(20, 1, generator=generator)
    start, rule = parameters_of(network), make()
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
    assert all(weight.grad is None and weight.requires_grad for weight in rule.parameters())


@both
@pytest.mark.parametrize("layout", ["channels last", "transposed", "strided", "scalar", "empty"])
def test_memory_layout_does_not_matter(make, layout, generator):
    values = {
        "channels last": normal(4, 3, 2, 2, generator=generator),
        "transposed": normal(4, 3, generator=generator),
        "strided": normal(4, 6, generator=generator)[:, ::2],
        "scalar": normal(generator=generator),
        "empty": torch.zeros(0, 3),
    }[layout]
    laid = {
        "channels last": lambda v: v.to(memory_format=torch.channels_last),
        "transposed": lambda v: v.T.contiguous().T,
    }.get(layout, lambda v: v)(values)
    usual = nn.Parameter(values.clone(memory_format=torch.contiguous_format))
    other = nn.Parameter(laid)
    address, strides, rule = other.data_ptr(), other.stride(), make()
    start = usual.detach().clone()
    slopes = [normal(*values.shape, generator=generator) for _ in range(3)]
    for parameter in (usual, other):
        optimizer = Learned([parameter], rule)
        for slope in slopes:
            parameter.grad = slope.clone()
            optimizer.step(lambda: torch.tensor(0.3))
    assert torch.equal(usual, other)
    assert (other.data_ptr(), other.stride()) == (address, strides)
    assert start.numel() == 0 or not torch.equal(usual, start)


def test_the_network_of_the_library_for_embeddings_can_be_trained(generator):
    network, images = pooled_network(2), normal(3, 1, 32, 32, generator=generator)
    before = parameters_of(network)
    steps(Learned(network.parameters(), LSTMOptimizer(hidden=2)), network, images, 1)
    assert all(not torch.equal(w, before[n]) for n, w in network.named_parameters())


@both
def test_a_deep_copy_goes_on_by_itself_as_the_original_would(make, generator):
    network, x = mlp(2, 3, 1), normal(9, 2, generator=generator)
    optimizer = Learned(network.parameters(), make(), lr=0.5)
    steps(optimizer, network, x, 2)
    twin, twin_optimizer = copy.deepcopy((network, optimizer))
    lone = copy.deepcopy(optimizer)
    untouched = steps(twin_optimizer, twin, x, 0)
    original = steps(optimizer, network, x, 2)
    assert same(steps(twin_optimizer, twin, x, 0), untouched)
    assert same(steps(twin_optimizer, twin, x, 2), original)
    assert twin_optimizer.rule is not optimizer.rule
    with torch.no_grad():
        for weight in twin_optimizer.rule.parameters():
            weight.zero_()
    assert any(weight.any() for weight in optimizer.rule.parameters())
    assert lone.param_groups[0]["params"][0] is not optimizer.param_groups[0]["params"][0]


@pytest.mark.parametrize("make", [*RULES.values(), Plain], ids=[*RULES, "plain"])
def test_pickle_takes_the_rule_and_its_states_with_it(make, generator):
    network, x = mlp(2, 3, 1), normal(9, 2, generator=generator)
    optimizer = Learned(network.parameters(), make(), lr=0.5)
    steps(optimizer, network, x, 2)
    twin, twin_optimizer = pickle.loads(pickle.dumps((network, optimizer)))
    assert same(steps(twin_optimizer, twin, x, 3), steps(optimizer, network, x, 3))


Plain.State.__qualname__ = "Plain.State"


@pytest.mark.parametrize("own", [torch.float64, torch.float32])
@pytest.mark.parametrize("weights", [torch.float64, torch.float32, torch.bfloat16])
@both
def test_a_training_goes_on_from_its_state_dict_to_the_same_bits(make, own, weights, generator):
    network, x = mlp(2, 3, 1).to(weights), normal(9, 2, generator=generator).to(weights)
    optimizer = Learned(network.parameters(), make().to(own), lr=0.5)
    steps(optimizer, network, x, 2)
    twin, saved = copy.deepcopy(network), io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    other = make().to(own)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    before = copy.deepcopy(other.state_dict())
    again = Learned(twin.parameters(), other)
    again.load_state_dict(torch.load(saved))
    assert again.param_groups[0]["lr"] == 0.5
    assert same(steps(again, twin, x, 3), steps(optimizer, network, x, 3))
    assert same(other.state_dict().values(), before.values()), "the rule handed in was changed"


def test_a_rule_that_is_no_module_is_given_again_and_keeps_its_state(generator):
    network, x = mlp(2, 3, 1), normal(9, 2, generator=generator)
    optimizer = Learned(network.parameters(), Plain())
    steps(optimizer, network, x, 2)
    twin = copy.deepcopy(network)
    again = Learned(twin.parameters(), Plain())
    again.load_state_dict(optimizer.state_dict())
    assert same(steps(again, twin, x, 3), steps(optimizer, network, x, 3))
    assert again.state[next(twin.parameters())]["rule"].steps == 5


def test_a_loaded_state_does_not_share_its_memory():
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    optimizer = Learned([parameter], Plain())
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    optimizer.state[parameter]["rule"].parts["velocity"].zero_()
    assert saved["state"][0]["rule"].parts["velocity"].all()


@pytest.mark.parametrize(
    ("rule", "saved"),
    [
        (LSTMOptimizer, lambda p: torch.optim.Adam([p])),
        (Plain, lambda p: torch.optim.Adam([p])),
        (Plain, lambda p: Learned([p], LSTMOptimizer())),
        (LSTMOptimizer, lambda p: Learned([p], Plain())),
    ],
)
def test_the_state_of_another_kind_of_optimizer_is_refused(rule, saved):
    parameter = nn.Parameter(torch.ones(2))
    optimizer = Learned([parameter], rule())
    with pytest.raises(ValueError, match="^state_dict must come from a Learned .* but held"):
        optimizer.load_state_dict(saved(parameter).state_dict())


def test_a_state_that_does_not_fit_changes_nothing():
    parameter = nn.Parameter(torch.ones(2))
    optimizer = Learned([parameter], LSTMOptimizer(hidden=2))
    before = copy.deepcopy(optimizer.rule.state_dict())
    for wrong in (
        Learned([parameter], LSTMOptimizer(hidden=3)),
        Learned([parameter, nn.Parameter(torch.ones(1))], LSTMOptimizer(hidden=2)),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            optimizer.load_state_dict(wrong.state_dict())
        assert same(optimizer.rule.state_dict().values(), before.values())


@both
@pytest.mark.parametrize("own", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("weights", [torch.float64, torch.float32, torch.bfloat16])
def test_a_rule_of_any_precision_trains_weights_of_any(make, own, weights, generator):
    start, slopes = normal(4, generator=generator), normal(3, 4, generator=generator)
    found = []
    torch.manual_seed(0)
    rule = make()
    for of_rule, of_weights in ((torch.float64, torch.float64), (own, weights)):
        parameter = nn.Parameter(start.to(of_weights, copy=True))
        optimizer = Learned([parameter], copy.deepcopy(rule).to(of_rule))
        for slope in slopes:
            parameter.grad = slope.to(of_weights)
            optimizer.step(lambda: torch.tensor(0.3))
        assert parameter.dtype == of_weights
        assert all(part.dtype == of_rule for part in optimizer.state[parameter]["rule"])
        found.append(parameter.detach().double())
    coarsest = max(torch.finfo(dtype).eps for dtype in (own, weights))
    assert (found[1] - found[0]).abs().max() <= 20 * coarsest


def test_lr_is_a_factor_on_the_step(generator):
    start, slope = normal(5, generator=generator), normal(5, generator=generator)
    rule, moved = LSTMOptimizer(hidden=3), {}
    for lr in (1.0, 0.25, 2.0):
        parameter = nn.Parameter(start.clone())
        parameter.grad = slope
        Learned([parameter], rule, lr).step()
        moved[lr] = parameter.detach() - start
    direct, _ = rule(start[None], slope[None], None, rule.initial_state(start[None]))
    torch.testing.assert_close(moved[1.0], (direct[0] - start).detach(), rtol=0, atol=1e-15)
    torch.testing.assert_close(moved[0.25], 0.25 * moved[1.0])
    torch.testing.assert_close(moved[2.0], 2 * moved[1.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.StepLR(o, 1, gamma=0.5),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 4),
        lambda o: lr_scheduler.LinearLR(o),
        lambda o: lr_scheduler.LambdaLR(o, lambda step: step / 4),
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=4, cycle_momentum=False),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    ],
)
def test_torchs_schedulers_set_the_factor(make):
    parameter = nn.Parameter(torch.ones(2))
    optimizer = Learned([parameter], Plain())
    scheduler, rates = make(optimizer), []
    at, velocity = 1.0, 0.0
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        parameter.grad = torch.ones(2)
        optimizer.step()
        velocity = 0.9 * velocity - 0.1
        at += rates[-1] * velocity
        assert parameter.tolist() == pytest.approx([at, at])
        scheduler.step(*([1.0] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []))
    assert len(set(rates)) > 1


def test_groups_have_their_own_lr_and_may_come_later():
    first, second, third = (nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = Learned([{"params": [first]}, {"params": [second], "lr": 0.5}], Plain(), lr=2.0)
    for each in (first, second):
        each.grad = torch.ones(2)
    optimizer.step()
    optimizer.add_param_group({"params": [third], "lr": 0.1})
    third.grad, first.grad = torch.ones(2), None
    optimizer.step()
    assert first.tolist() == pytest.approx(2 * [1 - 2 * 0.1])
    assert second.tolist() == pytest.approx(2 * [1 - 0.5 * 0.1 - 0.5 * 0.19])
    assert third.tolist() == pytest.approx(2 * [1 - 0.1 * 0.1])


@both
def test_a_complex_parameter_is_two_coordinates(make, generator):
    start, rule = normal(3, 2, generator=generator), make()
    pair, whole = nn.Parameter(start.clone()), nn.Parameter(torch.view_as_complex(start.clone()))
    target = normal(3, 2, generator=generator)

    def of_pair():
        return (pair - target).square().sum()

    def of_whole():
        return (whole - torch.view_as_complex(target)).abs().square().sum()

    for parameter, loss in ((pair, of_pair), (whole, of_whole)):
        optimizer = Learned([parameter], rule)

        def closure(optimizer=optimizer, loss=loss):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        for _ in range(3):
            optimizer.step(closure)
    torch.testing.assert_close(torch.view_as_real(whole.detach()), pair.detach())
    whole.grad = whole.detach().conj()  # as torch may leave it: a view that is read backwards
    Learned([whole], rule).step(lambda: torch.tensor(1.0))


def test_a_rule_that_looks_at_the_loss_needs_a_closure_that_returns_it():
    weight = torch.ones(3, requires_grad=True)
    weight.sum().backward()
    for closure in (None, lambda: None):
        optimizer = Learned([weight], gated_rule())
        with pytest.raises(ValueError, match="^losses must be .* GatedOptimizer, but were None$"):
            optimizer.step(closure)
        assert weight.tolist() == [1, 1, 1]
        assert Learned([weight.detach().requires_grad_()], LSTMOptimizer(2)).step(closure) is None


def test_a_closure_has_gradients_and_its_loss_is_returned():
    weight = torch.ones(3, requires_grad=True)

    def closure():
        assert torch.is_grad_enabled()
        loss = weight.sum()
        loss.backward()
        return loss

    assert Learned([weight], gated_rule()).step(closure).item() == 3
    assert not weight.detach().eq(1).any()


def test_each_task_of_a_stack_has_its_loss_and_its_own_parameters(generator):
    slope, losses = normal(2, 2, 3, generator=generator), torch.tensor([0.2, 5.0])
    stack, rule = nn.Parameter(normal(2, 2, 3, generator=generator)), gated_rule()
    nn.init.normal_(rule.input_gate.weight, generator=generator)
    alone = [nn.Parameter(task.detach().clone()) for task in stack]
    stack.grad = slope
    Learned([stack], rule).step(lambda: losses)
    for task, parameter in enumerate(alone):
        parameter.grad = slope[task]
        Learned([parameter], rule).step(lambda task=task: losses[task])
        torch.testing.assert_close(stack[task], parameter)
    assert not torch.allclose(rule.input_gate.weight, torch.zeros(()))


def test_a_rule_may_keep_what_it_was_given():
    class Remembering(Plain):
        def initial_state(self, theta):
            return []

        def __call__(self, theta, gradient, losses, state):
            return theta - gradient, [*state, (theta, gradient)]

    parameter = nn.Parameter(torch.ones(1))
    optimizer = Learned([parameter], Remembering())
    parameter.grad = torch.ones(1)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    kept = [(theta.item(), slope.item()) for theta, slope in optimizer.state[parameter]["rule"]]
    assert kept == [(1, 1), (0, 0)]


@both
def test_no_graph_grows_from_step_to_step(make, generator):
    network, x = mlp(2, 3, 1), normal(9, 2, generator=generator)
    optimizer = Learned(network.parameters(), make())
    steps(optimizer, network, x, 2)
    for parameter in network.parameters():
        assert parameter.is_leaf and parameter.requires_grad
        assert not any(part.requires_grad for part in optimizer.state[parameter]["rule"])


@both
def test_all_happens_where_the_parameters_are(make, monkeypatch):
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    network = pooled_network(2)
    optimizer = Learned(network.parameters(), make())
    steps(optimizer, network, torch.zeros(3, 1, 32, 32, device="meta"), 2)
    optimizer.load_state_dict(optimizer.state_dict())
    for parameter in network.parameters():
        assert all(part.is_meta for part in (parameter, *optimizer.state[parameter]["rule"]))


def moved_by(gradient=None, losses=None, lr=1.0, shape=(3, 2)):
    """Let a rule take a step on two parameters, of which the second does not fit."""
    good, bad = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(shape))
    good.grad, bad.grad = torch.ones(3), torch.ones(shape) if gradient is None else gradient
    try:
        Learned([good, bad], LSTMOptimizer(hidden=2), lr).step(lambda: losses)
    finally:
        assert good.tolist() == [1, 1, 1], "one parameter was moved and the other refused"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: moved_by(torch.ones(3, 2).to_sparse()),
            ValueError,
            r"^gradients must be dense .* shape \(3, 2\) was sparse",
        ),
        (
            lambda: moved_by(losses=torch.ones(3, 1)),
            ValueError,
            r"^the loss of closure must have shape \(\) or \(tasks,\), but had \(3, 1\)$",
        ),
        (
            lambda: moved_by(losses=torch.ones(3), shape=(2, 3)),
            ValueError,
            r"^parameters must have shape \(3, …\) with 3 losses, but had \(2, 3\)$",
        ),
        (lambda: moved_by(lr=0.0), ValueError, "^lr must be a finite number larger than 0"),
        (lambda: moved_by(lr="fast"), TypeError, "^lr must be a number"),
        (
            lambda: Learned([{"params": [nn.Parameter(torch.ones(1))], "lr": -1.0}], Plain()),
            ValueError,
            "^lr must be a finite number larger than 0, but was -1.0",
        ),
    ],
)
def test_nonsense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
