"""MAML against closed forms, finite differences, a second implementation and another library."""

import json
import warnings
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, vmap

from meta_lib import maml
from meta_lib.inner_rules import Momentum, Stepwise, learned_in
from meta_lib.machinery.runs import Run, read_model
from meta_lib.networks import (
    by_cosine,
    conv_network,
    expand,
    flatten,
    forward,
    forward_one_by_one,
    loss_of,
    mlp,
    parameters_of,
    unflatten,
)
from meta_lib.tasks.episodes import Episode, sample_episode, sample_episodes, unstack
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.sinusoids import sample_points, sample_waves

ORDERS = {False: maml.meta_loss, True: maml.first_order_loss}


def parabola(theta, x, y):
    """L(θ) = ½ a (θ - c)², with the curvature a given as x and the lowest point c as y."""
    return (0.5 * x * (theta["t"] - y).square()).sum()


def weighted(step_weights):
    return partial(maml.multi_step_loss, step_weights=step_weights)


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
    gradient, value = maml.meta_gradient(
        vmap(parabola), phi_of(phi), tasks, alpha, steps, ORDERS[first_order]
    )
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
    ours, _ = maml.meta_gradient(loss, phi, tasks, 0.4, steps, ORDERS[first_order])
    theirs = plain_meta_gradient(network, phi, tasks, 0.4, steps, first_order)
    difference = (flatten(ours) - flatten(theirs)).norm() / flatten(theirs).norm()
    assert difference < 1e-10


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("chunk", [1, 2, 8])
def test_chunks_change_nothing(chunk, threads, generator):
    network = conv_network(3, filters=4, blocks=2)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    tasks = sample_episodes(glyphs(6, 8, size=12), 5, 3, 2, 4, generator)
    whole, value = maml.meta_gradient(loss, phi, tasks, 0.4, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        parts, same_value = maml.meta_gradient(loss, phi, tasks, 0.4, 2, chunk=chunk)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(flatten(parts), flatten(whole), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(same_value, value, rtol=1e-12, atol=0)


def test_chunks_serve_a_training_and_its_learned_rates(generator):
    network = mlp(1, 8, 1)
    loss = loss_of(network, F.mse_loss)
    tasks = sample_points(sample_waves(5, generator), 4, 4, generator)
    ends = []
    for chunk in (None, 2):
        rates = maml.learned_rates(parameters_of(network), 0.02)
        phi, losses = maml.train(network, loss, lambda: tasks, 3, rates, chunk=chunk)
        ends.append((flatten(phi), flatten(rates).detach(), torch.tensor(losses)))
    for whole, parts in zip(*ends, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("chunk", "error"), [(0, ValueError), (2.0, TypeError)])
def test_an_impossible_chunk_is_refused(chunk, error, generator):
    network = mlp(1, 8, 1)
    tasks = sample_points(sample_waves(5, generator), 4, 4, generator)
    with pytest.raises(error, match="chunk"):
        maml.meta_gradient(
            loss_of(network, F.mse_loss), parameters_of(network), tasks, 0.1, chunk=chunk
        )


def gradient_of_higher(network, tasks, alpha, steps, first_order):
    """MAML a third time, by the library higher (Grefenstette et al. 2019)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import higher

    descent = torch.optim.SGD(network.parameters(), lr=alpha)
    total = [torch.zeros_like(weight) for weight in network.parameters()]
    for support_x, support_y, query_x, query_y in zip(*tasks, strict=True):
        with higher.innerloop_ctx(
            network, descent, copy_initial_weights=False, track_higher_grads=not first_order
        ) as (copy, inner):
            for _ in range(steps):
                inner.step(F.cross_entropy(copy(support_x), support_y))
            value = F.cross_entropy(copy(query_x), query_y)
            at = list(copy.parameters() if first_order else network.parameters())
            for sum_, slope in zip(total, torch.autograd.grad(value, at), strict=True):
                sum_ += slope / len(tasks.support_x)
    return total


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_convolutional_network_agrees_with_higher(steps, first_order, generator):
    network = conv_network(5, filters=8)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    tasks = sample_episodes(glyphs(8, 8, size=28), 3, 5, 1, 3, generator)
    ours, _ = maml.meta_gradient(loss, phi, tasks, 0.4, steps, ORDERS[first_order])
    theirs = gradient_of_higher(network, tasks, 0.4, steps, first_order)
    theirs = flatten(dict(zip(phi, theirs, strict=True)))
    assert (flatten(ours) - theirs).norm() < 1e-8 * theirs.norm()


def test_every_network_can_be_stacked(generator):
    class Doubled(torch.nn.Module):
        """A network that is no nn.Sequential."""

        def __init__(self):
            super().__init__()
            self.inside = mlp(1, 5, 1)

        def forward(self, x):
            return 2 * self.inside(x)

    network = Doubled()
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    tasks = sample_points(sample_waves(3, generator), 4, 4, generator)
    ours, _ = maml.meta_gradient(loss, phi, tasks, 0.1, 2)

    inside = network.inside
    inner_phi = {name.removeprefix("inside."): weight for name, weight in phi.items()}
    known, _ = maml.meta_gradient(
        lambda theta, x, y: (2 * forward(inside, theta, x) - y).square().mean(dim=(1, 2)),
        inner_phi, tasks, 0.1, 2,
    )  # fmt: skip
    torch.testing.assert_close(flatten(ours), flatten(known))


def test_anil_adapts_the_head_alone(generator):
    network = conv_network(3, filters=4, blocks=2)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    tasks = sample_episodes(glyphs(6, 8, size=12), 2, 3, 2, 4, generator)
    rates = maml.head_rates(phi, 0.4, head="8")
    head = list(phi)[-2:]
    assert rates == dict.fromkeys(head, 0.4)

    theta = maml.adapt(loss, phi, tasks.support_x[0], tasks.support_y[0], rates, 3)
    for name in phi:
        assert torch.equal(theta[name], phi[name]) == (name not in head)

    # By hand: the features of the body, then gradient descent on a linear layer alone.
    free = {name: weight.clone().requires_grad_() for name, weight in phi.items()}
    total = 0.0
    for support_x, support_y, query_x, query_y in zip(*tasks, strict=True):
        body = {name: weight for name, weight in free.items() if name not in head}
        seen, asked = (functional_call(network[:-1], body, (x,)) for x in (support_x, query_x))
        W, b = (free[name] for name in head)
        for _ in range(3):
            value = F.cross_entropy(seen @ W.mT + b, support_y)
            dW, db = torch.autograd.grad(value, (W, b), create_graph=True)
            W, b = W - 0.4 * dW, b - 0.4 * db
        total = total + F.cross_entropy(asked @ W.mT + b, query_y) / 2
    expected = torch.autograd.grad(total, list(free.values()))
    ours, value = maml.meta_gradient(loss, phi, tasks, rates, 3)
    torch.testing.assert_close(list(ours.values()), list(expected))
    assert value.item() == pytest.approx(total.item())


def test_the_multi_step_loss_is_the_weighted_sum_along_the_way():
    alpha, phi, weights = 0.1, 0.7, [0.2, 0.3, 0.5]
    tasks = parabolas([3.0], [-1.0], [0.5], [1.5])
    expected, value = 0.0, 0.0
    for step, weight in enumerate(weights, start=1):
        shrink = (1 - alpha * 3) ** step
        theta = -1 + shrink * (phi + 1)
        value += weight * 0.25 * (theta - 1.5) ** 2
        expected += weight * 0.5 * shrink * (theta - 1.5)
    gradient, got = maml.meta_gradient(
        vmap(parabola), phi_of(phi), tasks, alpha, 3, weighted(weights)
    )
    assert got.item() == pytest.approx(value, rel=1e-12)
    assert gradient["t"].item() == pytest.approx(expected, rel=1e-12)


def test_weight_on_the_last_step_alone_is_maml(generator):
    network = mlp(1, 5, 1)
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    tasks = sample_points(sample_waves(3, generator), 4, 4, generator)
    plain = maml.meta_loss(loss, phi, tasks, 0.1, 3)
    assert torch.equal(plain, weighted([0, 0, 1])(loss, phi, tasks, 0.1, 3))
    even = maml.multi_step_loss(loss, phi, tasks, 0.1, 4)
    assert even.item() == pytest.approx(weighted([0.25] * 4)(loss, phi, tasks, 0.1, 4).item())


def test_learned_rates_have_the_gradient_of_the_closed_form():
    phi = phi_of(0.7)
    rates = maml.learned_rates(phi, 0.1)
    tasks = parabolas([3.0, 1.0], [-1.0, 2.0], [0.5, 2.0], [1.5, -0.5])
    maml.meta_loss(vmap(parabola), phi, tasks, rates).backward()
    expected = 0.0
    for a_s, c_s, a_q, c_q in zip([3.0, 1.0], [-1.0, 2.0], [0.5, 2.0], [1.5, -0.5], strict=True):
        theta = 0.7 - 0.1 * a_s * (0.7 - c_s)
        expected += a_q * (theta - c_q) * -a_s * (0.7 - c_s) / 2
    assert rates["t"].grad.item() == pytest.approx(expected)


def test_rates_may_differ_from_step_to_step():
    phi, x, y = phi_of(0.7), torch.tensor(3.0), torch.tensor(-1.0)
    theta = maml.adapt(parabola, phi, x[None], y[None], Stepwise([0.1, {"t": 0.2}]), 3)
    expected = 0.7
    for alpha in (0.1, 0.2, 0.2):  # the last serves all steps after it
        expected -= alpha * 3 * (expected + 1)
    assert theta["t"].item() == pytest.approx(expected)


def test_by_cosine_the_first_step_from_zeros_makes_the_classifier_by_mean_cosines(generator):
    ways, shots, alpha = 3, 2, 0.4
    network = by_cosine(mlp(4, 6, ways, activation=torch.nn.Tanh))
    with torch.no_grad():
        for weight in network[-1].parameters():
            weight.zero_()
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    support = torch.randn(ways * shots, 4, generator=generator)
    query = torch.randn(5, 4, generator=generator)
    labels = torch.arange(ways).repeat_interleave(shots)
    rates = maml.head_rates(phi, alpha, "3")
    logits = forward(network, maml.adapt(loss, phi, support, labels, rates), query)
    bodies = network[:2](support), network[:2](query)
    h, q = (rows / rows.norm(dim=1, keepdim=True) for rows in bodies)
    cosines = (q @ h.T).view(5, ways, shots).mean(dim=2)
    # Adding the same to all classes changes no probability.
    expected = alpha * 6 / ways * (cosines - cosines.mean(dim=1, keepdim=True))
    torch.testing.assert_close(logits - logits.mean(dim=1, keepdim=True), expected)


@pytest.mark.parametrize("layers", [[], [torch.nn.Linear(2, 2), torch.nn.ReLU()]])
def test_by_cosine_refuses_a_network_that_does_not_end_with_a_linear_layer(layers):
    with pytest.raises(TypeError, match="network must end with a linear layer, but ends with"):
        by_cosine(torch.nn.Sequential(*layers))


def test_layer_rates_begin_where_they_are_told():
    phi = parameters_of(mlp(1, 3, 1))
    (rates,) = maml.layer_rates(phi, dict(zip(phi, [0.03, 0.03, 0.3, 0.3], strict=True)), 1).alphas
    assert [round(rate.item(), 6) for rate in rates.values()] == [0.03, 0.03, 0.3, 0.3]
    (rates,) = maml.layer_rates(phi, 0.3, 1).alphas
    assert {round(rate.item(), 6) for rate in rates.values()} == {0.3}


def test_layer_rates_have_the_gradient_of_finite_differences(generator):
    network = mlp(1, 3, 1, activation=torch.nn.Tanh)
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    tasks = sample_points(sample_waves(3, generator), 4, 4, generator)
    rates = maml.layer_rates(phi, 0.1, 2)
    names = [f"alpha.{step}.{name}" for step in (0, 1) for name in phi]
    assert list(learned_in(rates)) == names
    maml.meta_loss(loss, phi, tasks, rates, 2).backward()
    for step in (0, 1):
        for name in phi:
            ends = []
            for move in (1e-5, -1e-5):
                moved = maml.layer_rates(phi, 0.1, 2).alphas
                with torch.no_grad():
                    moved[step][name] += move
                rule = Stepwise(moved)
                ends.append(maml.meta_loss(loss, phi, tasks, rule, 2).item())
            slope = (ends[0] - ends[1]) / 2e-5
            assert rates.alphas[step][name].grad.item() == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_meta_sgd_learns_a_rate_for_each_weight(generator):
    network = mlp(1, 10, 1)
    loss = loss_of(network, F.mse_loss)
    rates = maml.learned_rates(parameters_of(network), 0.01)

    def sample():
        return sample_points(sample_waves(10, generator), 10, 10, generator)

    maml.train(network, loss, sample, 20, alpha=rates, beta=1e-3)
    moved = flatten(rates).detach()
    assert (moved != 0.01).all() and moved.std() > 1e-3


@pytest.mark.parametrize("steps", [1, 4])
def test_the_reptile_gradient_points_to_the_adapted_weights(steps, generator):
    network = mlp(1, 5, 1)
    loss, alpha = loss_of(network, F.mse_loss), 0.05
    phi = {name: weight.requires_grad_() for name, weight in parameters_of(network).items()}
    tasks = sample_points(sample_waves(3, generator), 4, 6, generator)
    maml.reptile_loss(loss, phi, tasks, alpha, steps).backward()
    ends = []
    for support_x, support_y, query_x, query_y in zip(*tasks, strict=True):
        x, y = torch.cat([support_x, query_x]), torch.cat([support_y, query_y])
        ends.append(flatten(maml.adapt(loss, parameters_of(network), x, y, alpha, steps)))
    expected = (flatten(phi) - torch.stack(ends).mean(dim=0)) / alpha
    torch.testing.assert_close(flatten({name: w.grad for name, w in phi.items()}), expected)


def test_reptile_takes_one_rate_for_all_weights(generator):
    network = mlp(1, 5, 1)
    tasks = sample_points(sample_waves(3, generator), 4, 6, generator)
    phi, loss = parameters_of(network), loss_of(network, F.mse_loss)
    for alpha in (maml.head_rates(phi, 0.05, "2"), Momentum(0.05)):
        with pytest.raises(TypeError, match="alpha must be one number for Reptile"):
            maml.train(network, loss, lambda: tasks, 1, alpha, objective=maml.reptile_loss)


def test_plain_weights_are_adapted_without_a_graph(generator):
    network = mlp(1, 5, 1)
    tasks = sample_points(sample_waves(3, generator), 4, 4, generator)
    loss, phi = loss_of(network, F.mse_loss), expand(parameters_of(network), 3)
    with torch.no_grad():
        theta = maml.adapt(loss, phi, tasks.support_x, tasks.support_y, 0.1, 2)
    assert not any(weight.requires_grad for weight in theta.values())
    free = {name: weight.clone().requires_grad_() for name, weight in phi.items()}
    again = maml.adapt(loss, free, tasks.support_x, tasks.support_y, 0.1, 2)
    torch.testing.assert_close(flatten(theta), flatten(again).detach())


def test_a_stack_is_classified_as_its_tasks_are(generator):
    network = conv_network(3, filters=4, blocks=2)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    episodes = sample_episodes(glyphs(6, 8, size=12), 4, 3, 2, 4, generator)
    alone = [maml.classify(network, loss, phi, one, 0.4, 2) for one in unstack(episodes)]
    assert torch.equal(maml.classify(network, loss, phi, episodes, 0.4, 2), torch.stack(alone))


def test_a_loss_that_is_not_finite_is_traced_to_its_task():
    wild = parabolas([1.0, 1e200], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0])
    where = maml.diagnose(vmap(parabola), phi_of(0.7), wild, 1.0, 3)
    assert where == (
        "In task 2 of 2 the support loss is inf after 1 of 3 inner steps, with alpha = 1.0."
    )


def test_first_order_differs_from_second_order(generator):
    network = mlp(1, 8, 1)
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    tasks = sample_points(sample_waves(4, generator), 5, 5, generator)
    second, _ = maml.meta_gradient(loss, phi, tasks, 0.1)
    first, _ = maml.meta_gradient(loss, phi, tasks, 0.1, objective=maml.first_order_loss)
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


@pytest.mark.parametrize(
    "variation",
    [
        {},
        {"objective": maml.first_order_loss},
        {"objective": partial(maml.multi_step_loss, step_weights=[0.3, 0.7])},
        {"objective": maml.reptile_loss},
        {"alpha": "head"},
        {"alpha": "learned"},
        {"alpha": "layers"},
    ],
    ids=["MAML", "first order", "multi-step", "Reptile", "ANIL", "Meta-SGD", "MAML++"],
)
def test_training_takes_adams_steps_on_the_meta_loss(variation, generator):
    network = mlp(1, 4, 1, activation=torch.nn.Tanh)
    loss, by_hand = loss_of(network, F.mse_loss), parameters_of(network)
    batches = [sample_points(sample_waves(3, generator), 4, 4, generator) for _ in range(3)]
    kinds = {
        "head": partial(maml.head_rates, head="2"),
        "learned": maml.learned_rates,
        "layers": partial(maml.layer_rates, steps=2),
    }
    rates = kinds.get(variation.get("alpha"))
    alphas = [rates(by_hand, 0.1) if rates else 0.1 for _ in range(2)]
    objective = variation.get("objective", maml.meta_loss)

    waiting = iter(batches)
    phi, losses = maml.train(
        network, loss, lambda: next(waiting), 3, alphas[0], 0.01, 2, objective
    )

    by_hand = {name: weight.requires_grad_() for name, weight in by_hand.items()}
    learned = [*learned_in(alphas[1]).values()]
    assert bool(learned) == (variation.get("alpha") in ("learned", "layers"))
    adam = torch.optim.Adam([*by_hand.values(), *learned], lr=0.01)
    for batch, expected in zip(batches, losses, strict=True):
        adam.zero_grad()
        value = objective(loss, by_hand, batch, alphas[1], 2)
        assert value.item() == pytest.approx(expected)
        value.backward()
        adam.step()
    torch.testing.assert_close(flatten(phi), flatten(by_hand).detach())
    if learned:
        torch.testing.assert_close(learned_in(alphas[0]), learned_in(alphas[1]))


def test_one_step_with_second_derivatives_is_the_default(generator):
    network = conv_network(3, filters=2, blocks=1)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    tasks = sample_episodes(glyphs(4, 8, size=12), 2, 3, 2, 2, generator)
    one, gradient = unstack(tasks)[0], maml.meta_gradient(loss, phi, tasks, 0.4)[0]
    second_order = maml.meta_gradient(loss, phi, tasks, 0.4, 1, maml.meta_loss)[0]
    assert torch.equal(flatten(gradient), flatten(second_order))
    theta, _ = maml.inner_step(loss, phi, one.support_x, one.support_y, 0.4)
    trained, losses = maml.train(network, loss, lambda: tasks, 1, 0.4)
    assert losses[0] == pytest.approx(maml.meta_loss(loss, phi, tasks, 0.4, 1).item())
    # Adam's first step is as long as its rate.
    longest = (flatten(trained) - flatten(phi)).abs().max()
    assert longest.item() == pytest.approx(1e-3, rel=1e-3)
    adapted = maml.adapt(loss, phi, one.support_x, one.support_y, 0.4)
    assert torch.equal(flatten(adapted), flatten(theta))
    calls = []
    maml.classify(network, lambda *given: calls.append(1) or loss(*given), phi, one, 0.4)
    assert len(calls) == 1


@pytest.mark.parametrize("order", [{}, {"first_order": False}, {"first_order": True}], ids=str)
def test_what_adapt_keeps_for_later_derivatives(order):
    phi = {"t": torch.tensor(0.7, requires_grad=True)}
    task = parabola, phi, torch.tensor([3.0]), torch.tensor([-1.0]), 0.1
    kept = 1 if order.get("first_order") else 1 - 0.1 * 3
    (slope,) = torch.autograd.grad(maml.inner_step(*task, **order)[0]["t"], phi["t"])
    assert slope.item() == pytest.approx(kept)
    (slope,) = torch.autograd.grad(maml.adapt(*task, steps=2, **order)["t"], phi["t"])
    assert slope.item() == pytest.approx(kept**2)
    objective = ORDERS[order.get("first_order", False)]
    value = objective(vmap(parabola), phi, parabolas([3.0], [-1.0], [1.0], [0.0]), 0.1)
    theta = 0.7 - 0.1 * 3 * (0.7 + 1)
    (slope,) = torch.autograd.grad(value, phi["t"])
    assert slope.item() == pytest.approx(kept * theta)


def test_the_head_is_the_layer_that_is_named():
    phi = {"head.0.weight": 0, "head.0.bias": 1, "body.0.weight": 2, "headless.bias": 3}
    assert maml.head_rates(phi, 0.1, "head") == {"head.0.weight": 0.1, "head.0.bias": 0.1}
    assert maml.head_rates(phi, 0.1, "body.0") == {"body.0.weight": 0.1}
    for head in ("tail", "", "head.0.bias"):
        with pytest.raises(ValueError, match=f"head must name one of .*but was '{head}'"):
            maml.head_rates(phi, 0.1, head)
    with pytest.raises(ValueError, match="head must name one of"):
        maml.head_rates({"0.weight": 0}, 0.1, "0")


def test_the_diagnosis_speaks_of_many_rates_and_of_none_lost():
    tame = parabolas([1.0], [0.0], [1.0], [0.0])
    where = maml.diagnose(vmap(parabola), phi_of(0.7), tame, {"t": 0.1}, 2)
    assert where == (
        "All support losses are finite over 2 inner steps, with alpha = a rule or rates by name."
    )


def test_a_run_is_labelled_and_kept(tmp_path, generator):
    network = mlp(1, 3, 1)
    loss = loss_of(network, F.mse_loss)
    rates = maml.learned_rates(parameters_of(network), 0.01)
    run = Run(tmp_path, {}, generators={"tasks": generator})

    def sample():
        return sample_points(sample_waves(2, generator), 4, 4, generator)

    phi, _ = maml.train(network, loss, sample, 2, alpha=rates, run=run)
    kept = read_model(tmp_path).tensors
    assert list(kept) == [*phi, *(f"alpha.{name}" for name in phi)]
    assert all(torch.equal(kept[name], phi[name]) for name in phi)
    wild = parabolas([1e200], [0.0], [1.0], [0.0])
    broken = torch.nn.Module()
    broken.t = torch.nn.Parameter(torch.tensor(0.7))
    with pytest.raises(FloatingPointError, match="MAML: the loss .*In task 1 of 1 the support"):
        maml.train(broken, vmap(parabola), lambda: wild, 1, alpha=1.0, steps=3)


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


def test_one_by_one_no_query_knows_of_another(generator):
    network = conv_network(3, filters=4, blocks=2)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    episode = sample_episode(glyphs(5, 8, size=12), 3, 2, 4, generator)
    theta = maml.adapt(loss, phi, episode.support_x, episode.support_y, 0.4, 2)
    outputs = forward_one_by_one(network, theta, episode.support_x, episode.query_x)
    for query, output in zip(episode.query_x, outputs, strict=True):
        batch = torch.cat([episode.support_x, query[None]])
        torch.testing.assert_close(output, functional_call(network, theta, (batch,))[-1])
    answers = maml.classify(network, loss, phi, episode, 0.4, 2, one_by_one=True)
    assert torch.equal(answers, outputs.argmax(dim=1))
    one = episode._replace(query_x=episode.query_x[:1], query_y=episode.query_y[:1])
    assert maml.classify(network, loss, phi, one, 0.4, 2, one_by_one=True) == answers[0]


@pytest.mark.parametrize(
    ("alpha", "steps", "error", "message"),
    [
        (0.0, 1, ValueError, "alpha must be a finite number larger than 0, but was 0.0"),
        (-0.1, 1, ValueError, "alpha must be a finite number larger than 0, but was -0.1"),
        (float("nan"), 1, ValueError, "alpha must be a finite number"),
        ("0.1", 1, TypeError, "alpha must be a number, but was '0.1'"),
        (0.1, -1, ValueError, "steps must be at least 0, but was -1"),
        (0.1, 1.0, TypeError, "steps must be a whole number, but was 1.0"),
        ({"t": 0.0}, 1, ValueError, r"alpha\['t'\] must be a finite number larger than 0"),
        ({"u": 0.1}, 1, ValueError, "alpha must name weights among t, but named 'u'"),
        (Stepwise([0.1, 0.0]), 2, ValueError, "alpha must be a finite .* 0, but was 0.0"),
        (Stepwise([]), 1, ValueError, "^alpha must give a rate to at least one weight, but was"),
        ({}, 0, ValueError, "^alpha must give a rate to at least one weight, but was empty$"),
        ({}, 1, ValueError, "^alpha must give a rate to at least one weight, but was empty$"),
    ],
)
def test_nonsense_is_refused(alpha, steps, error, message):
    with pytest.raises(error, match=message):
        maml.adapt(parabola, phi_of(0.7), torch.ones(1), torch.ones(1), alpha, steps)


def test_a_rate_for_a_stranger_is_refused_with_the_names_that_there_are():
    phi = parameters_of(mlp(1, 1))
    with pytest.raises(ValueError, match="among 0.weight, 0.bias, but named 'head'"):
        maml.adapt(parabola, phi, torch.ones(1), torch.ones(1), {"head": 0.1})


def test_targets_must_match_inputs():
    with pytest.raises(ValueError, match=r"support_y must have shape \(3, …\), but had \(2,\)"):
        maml.adapt(parabola, phi_of(0.7), torch.ones(3), torch.ones(2), 0.1)


def test_beta_must_be_positive():
    with pytest.raises(ValueError, match="beta must be a finite number larger than 0, but was 0"):
        maml.meta_update(phi_of(0.7), phi_of(0.7), 0)


def test_a_loss_that_mixes_the_tasks_is_refused():
    tasks = parabolas([1.0, 3.0], [2.0, -1.0], [2.0, 0.5], [1.5, -0.5])
    with pytest.raises(ValueError, match=r"^the loss of a stack must have shape \(2,\), one"):
        maml.meta_loss(lambda theta, x, y: (theta["t"] * x.mT * y).sum(), phi_of(0.7), tasks, 0.1)


def test_step_weights_must_be_as_many_as_steps():
    tasks = parabolas([1.0], [2.0], [2.0], [1.5])
    with pytest.raises(ValueError, match="step_weights must hold 3 numbers, but held 2"):
        weighted([0.5, 0.5])(vmap(parabola), phi_of(0.7), tasks, 0.1, 3)


@pytest.mark.parametrize(
    ("decay", "rates"), [(False, [0.01] * 4), (True, [0.01, 0.0075, 0.005, 0.0025])]
)
def test_the_meta_rate_falls_to_nothing_with_decay_alone(decay, rates, tmp_path, generator):
    network = mlp(1, 5, 1)
    tasks = sample_points(sample_waves(4, generator), 5, 5, generator)
    loss, run = loss_of(network, F.mse_loss), Run(tmp_path, {})
    maml.train(network, loss, lambda: tasks, 4, 0.01, beta=0.01, decay=decay, run=run)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["beta"] for line in log] == pytest.approx(rates)
