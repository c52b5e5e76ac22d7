"""What the learners share: networks, the training loop, estimates, the device."""

import copy
import functools
import math
import re
import threading

import pytest
import torch
from scipy import stats
from torch import nn

from meta_lib import all_pairs, confidence, networks, prototypes, siamese
from meta_lib.evaluation import (
    Estimate,
    accuracies,
    accuracy,
    choose,
    estimate,
    over_trainings,
    share,
    verdict,
)
from meta_lib.machinery.device import device
from meta_lib.machinery.modes import evaluating
from meta_lib.rivals import pretrained
from meta_lib.tasks.episodes import Episode, stack
from meta_lib.training import fit, minimise


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


def test_frozen_parameters_stay_and_unused_ones_do_not_matter():
    used, unused, frozen = (torch.ones(2, requires_grad=which != 2) for which in range(3))
    named = [("used", used), ("unused", unused), ("frozen", frozen)]
    minimise(named, lambda: (used * frozen).sum(), 3, 0.1, clip=1.0)
    assert used.tolist() == pytest.approx([0.7, 0.7])
    assert unused.tolist() == frozen.tolist() == [1, 1]


@pytest.mark.parametrize("reached", [False, True])
def test_a_loss_that_reaches_no_parameter_is_refused(reached):
    elsewhere = torch.ones(2, requires_grad=reached)
    weights = [("w", torch.ones(2, requires_grad=True)), ("frozen", torch.ones(2))]
    with pytest.raises(ValueError, match="no gradient reaches any of w, frozen. Are all of them"):
        minimise(weights, elsewhere.sum, 3, 0.1)


def test_a_tensor_under_two_names_is_moved_once(tmp_path):
    ours, theirs = (torch.ones(2, requires_grad=True) for _ in range(2))
    minimise([("a", ours), ("b", ours)], lambda: ours.square().sum(), 3, 0.1, clip=0.1)
    minimise([("a", theirs)], lambda: theirs.square().sum(), 3, 0.1, clip=0.1)
    assert torch.equal(ours, theirs)
    encoder, decoder = nn.Linear(3, 3), nn.Linear(3, 3)
    decoder.weight = encoder.weight
    network = nn.Sequential(encoder, decoder)
    by_hand, x = copy.deepcopy(network), torch.rand(4, 3)
    minimise(network.named_parameters(), lambda: network(x).square().sum(), 3, 0.1)
    adam = torch.optim.Adam(by_hand.parameters(), lr=0.1)
    for _ in range(3):
        adam.zero_grad()
        by_hand(x).square().sum().backward()
        adam.step()
    for one, other in zip(network.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert network[1].weight is network[0].weight


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.complex128])
def test_weights_of_any_kind_are_trained_as_adam_trains_them(dtype):
    ours = torch.arange(1, 4).to(dtype).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    minimise([("w", ours)], lambda: ours.abs().square().sum(), 5, 0.1, clip=4.0)
    adam = torch.optim.Adam([theirs], lr=0.1)
    for _ in range(5):
        adam.zero_grad()
        theirs.abs().square().sum().backward()
        nn.utils.clip_grad_norm_([theirs], 4.0)
        adam.step()
    assert torch.equal(ours, theirs) and not torch.equal(ours, torch.arange(1, 4).to(dtype))


def test_weights_that_cannot_be_trained_are_refused():
    half = torch.ones(2, dtype=torch.float16)
    weight = torch.ones((), requires_grad=True)
    minimise([("w", weight), ("frozen half", half)], weight.square, 1, 0.1)
    with pytest.raises(TypeError, match="or bfloat16, but 'half' is of torch.float16, in which"):
        minimise([("w", weight), ("half", half.requires_grad_())], weight.square, 1, 0.1)
    lazy = nn.LazyLinear(2)
    with pytest.raises(ValueError, match="'weight' is of a lazy module that has seen no input"):
        minimise(lazy.named_parameters(), weight.square, 1, 0.1)
    with pytest.raises(ValueError, match="parameters must hold at least one tensor, but there was"):
        minimise(nn.ReLU().named_parameters(), weight.square, 1, 0.1)


@pytest.mark.parametrize(
    ("loss", "was"),
    [
        (lambda w: w, r"torch.float64 of shape \(2,\)"),
        (lambda w: w.sum() * 1j, r"torch.complex128 of shape \(\)"),
        (lambda w: 3.0, "3.0"),
    ],
)
def test_a_loss_that_is_not_one_number_is_refused(loss, was):
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=f"loss must return one real number, but returned {was}."):
        minimise([("w", weight)], lambda: loss(weight), 1, 0.1)


def modes(network):
    return [module.training for module in network.modules()]


def mixed():
    """A network that is random and moves its statistics in training, partly in evaluation mode."""
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.Dropout(),
        nn.Sequential(nn.Flatten(), nn.Dropout(), nn.LazyLinear(4)),
    )
    network(torch.rand(2, 1, 6, 6))
    network[3].eval()
    return network


def test_evaluating_leaves_each_module_as_it_was():
    network, other = mixed(), nn.Dropout()
    before = modes(network)
    assert True in before and False in before
    with evaluating(network, other, functools.partial(network), len):
        assert not any(modes(network)) and not other.training
        with evaluating(network):
            pass
        assert not any(modes(network)), "the inner one has ended the outer one"
    assert modes(network) == before and other.training
    with pytest.raises(ZeroDivisionError), evaluating(network):
        1 / 0  # noqa: B018
    assert modes(network) == before


def test_evaluating_passes_over_a_train_of_the_modules_own():
    class Merging(nn.Dropout):
        def train(self, mode=True):
            raise AssertionError("this may change weights")

    network = Merging()
    with evaluating(network):
        assert not network.training
    assert network.training


def test_threads_that_evaluate_end_where_the_first_began():
    network = mixed()
    before, inside, out = modes(network), threading.Event(), threading.Event()

    def other():
        with evaluating(network[3]), evaluating(network):
            inside.set()
            out.wait(20)
            found.append(modes(network))

    found = []
    thread = threading.Thread(target=other)
    with evaluating(network):
        thread.start()
        assert inside.wait(20), "one thread waits for the other"
    assert not any(modes(network)), "the first to leave has taken the mode from the other"
    out.set()
    thread.join()
    assert not any(found[0]) and modes(network) == before


def task(generator):
    x = torch.rand(2, 6, 1, 6, 6, generator=generator)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    return Episode(x[0], labels, x[1], labels)


ANSWERS = {
    "siamese": siamese.classify,
    "prototypes": prototypes.classify,
    "copies": lambda network, e: all_pairs.embed_copies(network, e.query_x, 2),
    "distances": lambda network, e: confidence.class_distances(network, *e[:3]),
    "leave one out": lambda network, e: confidence.leave_one_out(network, *e[:2]),
}
LOSSES = {
    "pairs": lambda network, e: siamese.pair_loss(
        network, siamese.Pairs(e.support_x, e.query_x, e.query_y > 0)
    ),
    "episodes": prototypes.episode_loss,
    "all pairs": lambda network, e: all_pairs.train(network, lambda: stack([e]), 1),
    "pretrained": lambda network, e: pretrained.train(
        network, {"a": e.support_x, "b": e.query_x}, 1, torch.Generator()
    ),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_answers_are_those_of_evaluation_and_leave_the_network_as_it_was(answer, generator):
    network, episode = mixed(), task(generator)
    before, state = modes(network), copy.deepcopy(network.state_dict())
    expected = answer(copy.deepcopy(network).eval(), episode)
    assert torch.equal(answer(network, episode), expected)
    assert modes(network) == before
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), f"{name} was moved"
    with pytest.raises(RuntimeError):
        colour = torch.ones(6, 3, 6, 6)
        answer(network, episode._replace(support_x=colour, query_x=colour))
    assert modes(network) == before, "after an error"
    function = answer(network.eval().forward, episode)
    assert torch.equal(function, expected), "a function in the place of a network"


class Shaped(nn.Module):
    """A network whose output is no feature vector."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.weight = shape, nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.shape(self.weight * x)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (lambda x: (x.flatten(1), x), TypeError, "network must return a tensor.*returned tuple"),
        (lambda x: x, ValueError, r"network must return \([0-9]+, features\), one vector for each"),
        (lambda x: x.mean(), ValueError, r"but returned \(\). Flatten or average"),
        (lambda x: x.flatten(), ValueError, r"but returned \([0-9]+,\)"),
        (lambda x: x.flatten(1)[:-1], ValueError, r"but returned \([0-9]+, 36\)"),
        (lambda x: x.flatten(1).long(), TypeError, "floating numbers, but returned .* torch.int64"),
        (lambda x: x.flatten(1) + 0j, TypeError, "but returned numbers of torch.complex128"),
    ],
)
@pytest.mark.parametrize("use", (ANSWERS | LOSSES).values(), ids=ANSWERS | LOSSES)
def test_what_is_no_feature_vector_is_refused(use, shape, error, message, generator):
    with pytest.raises(error, match=message):
        use(Shaped(shape), task(generator))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("use", ANSWERS.values(), ids=ANSWERS)
def test_features_of_16_bits_are_compared_in_32(use, dtype, generator):
    episode = task(generator)

    def rounded(x):
        return x.flatten(1).to(dtype)

    found = use(rounded, episode)
    assert torch.equal(found, use(lambda x: rounded(x).float(), episode))


def test_fit_trains_in_training_mode_and_ends_in_evaluation():
    network, seen = mixed(), []

    def loss():
        seen.append(modes(network))
        return network(torch.rand(3, 1, 6, 6)).square().mean()

    network[0].weight.requires_grad_(False)
    kept = network[0].weight.clone()
    fit(network, loss, 2, 0.1, "fit")
    assert all(map(all, seen)) and not any(modes(network))
    assert torch.equal(network[0].weight, kept) and not network[0].weight.requires_grad


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_training_that_ends_early_leaves_the_modes_as_they_were(error):
    network = mixed()
    before = modes(network)

    def loss():
        raise error

    with pytest.raises(error):
        fit(network, loss, 2, 0.1, "fit")
    assert modes(network) == before
    with pytest.raises(ValueError, match="iterations must be at least 1"):
        fit(network, loss, 0, 0.1, "fit")
    assert modes(network) == before


def test_pre_training_asks_for_the_features_without_a_trace(generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4)).float()
    image_set = {name: torch.rand(3, 1, 6, 6, generator=generator).float() for name in "abc"}
    pretrained.train(network, image_set, 1, generator, batch=4)
    assert network[2].num_batches_tracked == 1, "one image more than the batch was seen"


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


@pytest.mark.parametrize(("count", "trials"), [(4, 200), (0, 7), (7, 7), (1, 1)])
def test_a_share_of_few_trials_has_the_interval_of_clopper_and_pearson(count, trials):
    ends = stats.binomtest(count, trials).proportion_ci(0.95, "exact")
    assert share(count, trials) == pytest.approx((ends.low, ends.high))


def test_a_share_asks_for_no_more_than_all():
    with pytest.raises(ValueError, match="trials less count must be at least 0, but was -1"):
        share(8, 7)


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


def test_the_best_setting_is_chosen_inside_its_grid():
    assert choose({0.1: 3.0, 0.2: 1.0, 0.4: float("nan")}) == 0.2
    pairs = {(0.1, 1): 9.0, (0.2, 1): 2.0, (0.2, 3): 1.0, (0.2, 9): 0.95, (0.4, 1): 5.0}
    assert choose(pairs, slack=0.1) == (0.2, 3)
    for at_the_edge in ({0.1: 1.0, 0.2: 2.0, 0.4: 3.0}, pairs):  # by its rate; by its steps
        with pytest.raises(ValueError, match="lies at the edge of the grid"):
            choose(at_the_edge)


def test_a_verdict_asks_for_five_trainings():
    with pytest.raises(ValueError, match="number of trainings must be at least 5, but was 4"):
        verdict("it helps", [1, 2, 3, 2])
