"""What the learners share: networks, the training loop, estimates, the device."""

import math
import re

import pytest
import torch
from scipy import stats

from meta_lib import networks
from meta_lib.evaluation import (
    Estimate,
    accuracies,
    accuracy,
    estimate,
    over_trainings,
    verdict,
)
from meta_lib.machinery.device import device
from meta_lib.tasks.episodes import Episode
from meta_lib.training import minimise


def test_the_sinusoid_network_is_that_of_the_paper():
    network = networks.mlp(1, 40, 40, 1)
    assert sum(weight.numel() for weight in network.parameters()) == 1761
    assert network(torch.zeros(7, 1)).shape == (7, 1)
    assert isinstance(network[-1], torch.nn.Linear), "the last layer must be linear"


def test_the_omniglot_network_is_that_of_the_paper():
    network = networks.conv_network(5)
    convolutions = [m for m in network if isinstance(m, torch.nn.Conv2d)]
    assert [c.in_channels for c in convolutions] == [1, 64, 64, 64]
    x = torch.rand(2, 1, 28, 28)
    sizes = []
    for layer in network:
        x = layer(x)
        if isinstance(layer, torch.nn.Conv2d):
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [(64, 14, 14), (64, 7, 7), (64, 4, 4), (64, 2, 2)]
    assert x.shape == (2, 5)


def test_batch_norm_agrees_with_torch():
    ours, theirs = networks.BatchNorm(3), torch.nn.BatchNorm2d(3)
    for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        weight.data.normal_()
        other.data.copy_(weight.flatten())
    x = (5 + 2 * torch.randn(4, 3, 6, 6)).requires_grad_()
    torch.testing.assert_close(ours(x), theirs(x))

    def slopes(layer):
        (first,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return first, second

    for our_slope, their_slope in zip(slopes(ours), slopes(theirs), strict=True):
        torch.testing.assert_close(our_slope, their_slope)


def test_weights_survive_flattening():
    network = networks.mlp(2, 3, 1)
    theta = networks.parameters_of(network)
    vector = networks.flatten(theta)
    back = networks.unflatten(vector, theta)
    assert list(back) == list(theta)
    assert all(torch.equal(back[name], theta[name]) for name in theta)
    x, y = torch.rand(4, 2), torch.rand(4, 1)
    loss = networks.loss_of(network, torch.nn.functional.mse_loss)
    expected = (network(x) - y).square().mean()
    assert loss(theta, x, y).item() == pytest.approx(expected.item())
    assert networks.flat_loss(loss, theta)(vector, x, y).item() == pytest.approx(expected.item())
    with pytest.raises(ValueError, match=r"vector must have shape \(…, 13\), but had \(12,\)"):
        networks.unflatten(vector[1:], theta)


def test_a_copy_of_the_weights_is_a_copy():
    network = networks.mlp(1, 2, 1)
    theta = networks.parameters_of(network)
    before = {name: weight.clone() for name, weight in theta.items()}
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    assert all(torch.equal(theta[name], before[name]) for name in theta)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: networks.mlp(3), "the number of sizes must be at least 2, but was 1"),
        (lambda: networks.mlp(3, 0), "sizes must be at least 1, but was 0"),
        (lambda: networks.conv_network(0), "outputs must be at least 1, but was 0"),
        (lambda: networks.conv_network(5, filters=0), "filters must be at least 1, but was 0"),
    ],
)
def test_impossible_networks_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_training_loop_is_adam():
    ours, theirs = torch.tensor([3.0, -2.0]), torch.tensor([3.0, -2.0])
    ours.requires_grad_()
    theirs.requires_grad_()
    losses = minimise([("w", ours)], lambda: ours.square().sum(), 30, 0.1)
    adam = torch.optim.Adam([theirs], lr=0.1)
    for number in range(30):
        adam.zero_grad()
        loss = theirs.square().sum()
        assert losses[number] == pytest.approx(loss.item())
        loss.backward()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_decay_ends_in_small_steps():
    weight = torch.tensor([0.0], requires_grad=True)
    path = []

    def slope():
        path.append(weight.item())
        return weight.sum()

    minimise([("w", weight)], slope, 10, 0.1, decay=True)
    path.append(weight.item())
    steps = [a - b for a, b in zip(path[:-1], path[1:], strict=True)]
    assert steps == pytest.approx([0.1 * (1 - k / 10) for k in range(10)], rel=1e-6)


def test_clipping_bounds_the_gradient():
    # Adam hides the size of a first gradient; the second shows whether that one was cut.
    def run(clip):
        weight = torch.tensor([0.0], requires_grad=True)
        slopes = iter([1000.0, 1.0])
        minimise([("w", weight)], lambda: next(slopes) * weight.sum(), 2, 0.1, clip=clip)
        return weight.item()

    assert run(1.0) == pytest.approx(-0.2)
    assert run(None) != pytest.approx(-0.2, abs=0.01)


def test_a_loss_that_is_not_finite_stops_the_training():
    weight = torch.tensor([1.0], requires_grad=True)
    values = iter([1.0, math.inf])
    with pytest.raises(FloatingPointError, match="iteration 2 of 5, with beta = 0.1"):
        minimise([("w", weight)], lambda: next(values) * weight.sum(), 5, 0.1)
    assert weight.item() == pytest.approx(0.9), "the weights must be those before the bad step"


def test_a_loss_that_is_not_finite_is_noticed_even_if_its_gradient_is():
    weight = torch.tensor([1.0], requires_grad=True)
    with pytest.raises(FloatingPointError, match="the loss became inf and the gradient's norm 1.0"):
        minimise([("w", weight)], lambda: weight.sum() + math.inf, 5, 0.1)


def test_a_gradient_that_is_not_finite_stops_the_training():
    weight = torch.tensor([1.0], requires_grad=True)
    factors = iter([1.0, 0.0])

    def loss():
        # A root has a value at 0, but no slope.
        return weight.sum() + (next(factors) * weight).sqrt().sum()

    with pytest.raises(FloatingPointError) as caught:
        minimise([("w", weight)], loss, 5, 0.1, decay=True, diagnose=lambda: "In task 3.")
    assert re.fullmatch(
        "training: the loss became 0.9[0-9]* and the gradient's norm (inf|nan) in iteration 2 of "
        "5, with beta = 0.08[0-9]*. In task 3. Try a smaller learning rate.",
        str(caught.value),
    )
    assert weight.item() == pytest.approx(0.9), "the weights must be those before the bad step"


def test_the_diagnosis_is_asked_for_only_when_something_is_wrong():
    weight = torch.tensor([1.0], requires_grad=True)
    minimise([("w", weight)], weight.sum, 3, 0.1, diagnose=lambda: 1 / 0)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (
            lambda n: n.parameters(),
            TypeError,
            r"network.named_parameters\(\) gives them, but held P",
        ),
        (lambda n: n.state_dict(), TypeError, "must be pairs of a name and a tensor.*but held str"),
        (
            lambda n: [("w", n.bias), ("w", n.weight)],
            ValueError,
            "different names, but two are 'w'",
        ),
    ],
)
def test_parameters_have_names(parameters, error, message):
    with pytest.raises(error, match=message):
        minimise(parameters(torch.nn.Linear(1, 1)), lambda: 1 / 0, 1, 0.1)


@pytest.mark.parametrize(
    ("iterations", "beta", "message"),
    [(0, 0.1, "iterations must be at least 1"), (5, 0.0, "beta must be a finite number larger")],
)
def test_impossible_trainings_are_refused(iterations, beta, message):
    with pytest.raises(ValueError, match=message):
        minimise([("w", torch.zeros(1, requires_grad=True))], lambda: 1 / 0, iterations, beta)


def test_an_interval_covers_the_mean_as_often_as_it_says():
    draws = torch.rand(2000, 50, generator=torch.Generator().manual_seed(0))
    covered = sum(abs(e.mean - 0.5) <= e.interval for e in map(estimate, draws)) / 2000
    assert covered == pytest.approx(0.95, abs=0.02)
    values = [1.0, 2.0, 4.0, 5.0]
    assert estimate(values).mean == 3.0
    assert estimate(values).interval == pytest.approx(1.96 * stats.sem(values))


def test_an_estimate_reads_well():
    assert str(Estimate(0.123456, 0.01)) == "0.123 ± 0.010"
    assert Estimate(0.9731, 0.0044).percent() == "97.3 ± 0.4 %"
    with pytest.raises(ValueError, match="values must hold at least 2 numbers, but held 1"):
        estimate([1.0])


def test_accuracy_is_the_share_of_right_labels():
    assert accuracy(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 0, 0])) == 0.5
    with pytest.raises(ValueError, match=r"shape of labels, \(3,\), but had \(3, 1\)"):
        accuracy(torch.zeros(3, 1), torch.zeros(3))
    episode = Episode(None, None, None, torch.tensor([0, 1]))
    assert accuracies(lambda e: torch.tensor([0, 0]), [episode, episode]) == [0.5, 0.5]


def test_the_device_can_be_named(monkeypatch):
    monkeypatch.setenv("META_LIB_DEVICE", "cpu")
    assert device() == torch.device("cpu")
    monkeypatch.setenv("META_LIB_DEVICE", "toaster")
    with pytest.raises(ValueError, match="META_LIB_DEVICE is 'toaster'.*Allowed: cpu, cuda"):
        device()


def test_the_device_is_chosen_in_order(monkeypatch):
    monkeypatch.delenv("META_LIB_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device().type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device().type == "cpu", "MPS has no float64"
    torch.set_default_dtype(torch.float32)
    assert device().type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device().type == "cpu"


def test_the_interval_over_a_few_trainings_is_students():
    values = [0.91, 0.94, 0.9, 0.97, 0.93]
    mean, interval = over_trainings(values)
    low, high = stats.t.interval(0.95, 4, stats.tmean(values), stats.sem(values))
    assert (mean - interval, mean + interval) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([1, 2, 3, 2, 2], "Held over 5 trainings: it helps, by 2.00 ± 0.88 points"),
        ([-1, 2, 3, 2, 2], "NOT HELD over 5 trainings: it helps, by 1.6 ± 1.9 points"),
        ([-30, -20, -30, -40, -30, -30], "NOT HELD over 6 trainings: it helps, by -30.0 ± 6.6"),
    ],
)
def test_a_verdict_is_held_where_its_interval_lies_above_zero(gains, said):
    assert verdict("it helps", gains, "points").startswith(said)


def test_a_verdict_asks_for_five_trainings():
    with pytest.raises(ValueError, match="number of trainings must be at least 5, but was 4"):
        verdict("it helps", [1, 2, 3, 2])
