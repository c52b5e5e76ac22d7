"""MAML against closed forms, finite differences and a second implementation."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from meta_lib import maml
from meta_lib.networks import conv_network, flatten, loss_of, mlp, parameters_of, unflatten
from meta_lib.tasks.episodes import Episode, sample_episodes
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.sinusoids import sample_points, sample_waves


def parabola(theta, x, y):
    """L(θ) = ½ a (θ - c)², with the curvature a given as x and the lowest point c as y."""
    return (0.5 * x * (theta["t"] - y).square()).sum()


def parabolas(a_support, c_support, a_query, c_query):
    tensors = (torch.tensor(values)[:, None] for values in (a_support, c_support, a_query, c_query))
    return Episode(*tensors)


def phi_of(value):
    return {"t": torch.tensor(value)}


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_adaptation_on_a_parabola_is_the_closed_form(steps):
    theta = maml.adapt(
        parabola, phi_of(0.7), torch.tensor(3.0)[None], torch.tensor(-1.0)[None], 0.1, steps
    )
    assert theta["t"].item() == pytest.approx(-1 + (1 - 0.1 * 3) ** steps * (0.7 + 1))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_meta_gradient_on_parabolas_is_the_closed_form(steps, first_order):
    alpha, phi = 0.1, 0.7
    a_support, c_support, a_query, c_query = [1.0, 3.0], [2.0, -1.0], [2.0, 0.5], [1.5, -0.5]
    tasks = parabolas(a_support, c_support, a_query, c_query)
    expected, losses = 0.0, 0.0
    for a_s, c_s, a_q, c_q in zip(a_support, c_support, a_query, c_query, strict=True):
        shrink = (1 - alpha * a_s) ** steps
        theta = c_s + shrink * (phi - c_s)
        expected += (1 if first_order else shrink) * a_q * (theta - c_q) / 2
        losses += 0.5 * a_q * (theta - c_q) ** 2 / 2
    gradient, value = maml.meta_gradient(parabola, phi_of(phi), tasks, alpha, steps, first_order)
    assert gradient["t"].item() == pytest.approx(expected, rel=1e-12)
    assert value.item() == pytest.approx(losses, rel=1e-12)


def test_meta_update_is_the_formula():
    phi = maml.meta_update({"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([3.0, -1.0])}, 0.5)
    assert phi["a"].tolist() == [-0.5, 2.5]


@pytest.mark.parametrize("steps", [1, 5])
def test_meta_gradient_agrees_with_finite_differences(steps, generator):
    network = mlp(1, 6, 1, activation=torch.nn.Tanh)
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    tasks = sample_points(sample_waves(3, generator), 5, 4, generator)
    gradient, _ = maml.meta_gradient(loss, phi, tasks, 0.02, steps)

    centre, h = flatten(phi), 1e-6
    numeric = torch.zeros_like(centre)
    for i in range(len(centre)):
        ends = []
        for sign in (1, -1):
            moved = centre.clone()
            moved[i] += sign * h
            ends.append(maml.meta_loss(loss, unflatten(moved, phi), tasks, 0.02, steps))
        numeric[i] = (ends[0] - ends[1]) / (2 * h)
    torch.testing.assert_close(flatten(gradient), numeric, rtol=1e-6, atol=1e-8)


def plain_meta_gradient(network, phi, tasks, alpha, steps, first_order):
    """MAML once more, with autograd and a loop over the tasks instead of torch.func."""
    phi = {name: weight.clone().requires_grad_() for name, weight in phi.items()}
    total = 0.0
    for support_x, support_y, query_x, query_y in zip(*tasks, strict=True):
        theta = phi
        for _ in range(steps):
            loss = F.cross_entropy(functional_call(network, theta, (support_x,)), support_y)
            slopes = torch.autograd.grad(loss, list(theta.values()), create_graph=not first_order)
            theta = {
                name: weight - alpha * slope
                for (name, weight), slope in zip(theta.items(), slopes, strict=True)
            }
        total = total + F.cross_entropy(functional_call(network, theta, (query_x,)), query_y)
    slopes = torch.autograd.grad(total / len(tasks.support_x), list(phi.values()))
    return dict(zip(phi, slopes, strict=True))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_convolutional_network_agrees_with_a_second_implementation(steps, first_order, generator):
    network = conv_network(3, filters=4, blocks=2)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    tasks = sample_episodes(glyphs(6, 8, size=12), 3, 3, 2, 4, generator)
    ours, _ = maml.meta_gradient(loss, phi, tasks, 0.4, steps, first_order)
    theirs = plain_meta_gradient(network, phi, tasks, 0.4, steps, first_order)
    difference = (flatten(ours) - flatten(theirs)).norm() / flatten(theirs).norm()
    assert difference < 1e-10


def test_first_order_differs_from_second_order(generator):
    network = mlp(1, 8, 1)
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    tasks = sample_points(sample_waves(4, generator), 5, 5, generator)
    second, _ = maml.meta_gradient(loss, phi, tasks, 0.1)
    first, _ = maml.meta_gradient(loss, phi, tasks, 0.1, first_order=True)
    assert (flatten(second) - flatten(first)).norm() > 1e-3 * flatten(second).norm()


def test_training_makes_new_waves_easier_to_fit(generator):
    network = mlp(1, 20, 20, 1)
    loss, before = loss_of(network, F.mse_loss), parameters_of(network)
    held_out = sample_points(sample_waves(200, generator), 10, 10, generator)

    def sample():
        return sample_points(sample_waves(20, generator), 10, 10, generator)

    phi, losses = maml.train(network, loss, sample, 150, alpha=0.02, beta=5e-3)
    assert len(losses) == 150
    untrained = maml.meta_loss(loss, before, held_out, 0.02)
    assert maml.meta_loss(loss, phi, held_out, 0.02) < 0.7 * untrained
    for name, weight in network.named_parameters():
        assert torch.equal(weight, before[name]), "the network itself was changed"
    assert not any(weight.requires_grad for weight in phi.values())


def test_classification_uses_the_adapted_weights(generator):
    network = conv_network(3, filters=8, blocks=2)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    episode = Episode(
        *(t[0] for t in sample_episodes(glyphs(9, 8, size=12), 1, 3, 5, 3, generator))
    )
    own_support = episode._replace(query_x=episode.support_x, query_y=episode.support_y)
    predicted = maml.classify(network, loss, phi, own_support, alpha=0.4, steps=30)
    assert (predicted == episode.support_y).all(), "30 steps did not fit 15 images"
    theta = maml.adapt(loss, phi, episode.support_x, episode.support_y, 0.4, 2)
    expected = functional_call(network, theta, (episode.query_x,)).argmax(dim=1)
    assert torch.equal(maml.classify(network, loss, phi, episode, 0.4, 2), expected)


@pytest.mark.parametrize(
    ("alpha", "steps", "error", "message"),
    [
        (0.0, 1, ValueError, "alpha must be a finite number larger than 0, but was 0.0"),
        (-0.1, 1, ValueError, "alpha must be a finite number larger than 0, but was -0.1"),
        (float("nan"), 1, ValueError, "alpha must be a finite number"),
        ("0.1", 1, TypeError, "alpha must be a number, but was '0.1'"),
        (0.1, -1, ValueError, "steps must be at least 0, but was -1"),
        (0.1, 1.0, TypeError, "steps must be a whole number, but was 1.0"),
    ],
)
def test_nonsense_is_refused(alpha, steps, error, message):
    with pytest.raises(error, match=message):
        maml.adapt(parabola, phi_of(0.7), torch.ones(1), torch.ones(1), alpha, steps)


def test_targets_must_match_inputs():
    with pytest.raises(ValueError, match=r"support_y must have shape \(3, …\), but had \(2,\)"):
        maml.adapt(parabola, phi_of(0.7), torch.ones(3), torch.ones(2), 0.1)


def test_beta_must_be_positive():
    with pytest.raises(ValueError, match="beta must be a finite number larger than 0, but was 0"):
        maml.meta_update(phi_of(0.7), phi_of(0.7), 0)
