"""The learned optimizers against worked numbers, closed forms and torch's own LSTM."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from meta_lib import lstm_optimizer as learned
from meta_lib.machinery.runs import Run, read_model
from meta_lib.networks import flat_loss, flatten, loss_of, mlp, parameters_of, unflatten
from meta_lib.tasks.draws import normal
from meta_lib.tasks.episodes import Episode, unstack
from meta_lib.tasks.quadratics import sample_quadratics
from meta_lib.tasks.sinusoids import sample_points, sample_waves


def test_preprocessing_gives_size_and_sign():
    values = torch.tensor([1.0, -(math.e**2), 1e-3, 0.0, -2 * math.e**-11, math.e**-10])
    expected = [
        [0.0, 1.0],
        [0.2, -1.0],
        [math.log(1e-3) / 10, 1.0],
        [-1.0, 0.0],
        [-1.0, -2 / math.e],
        [-1.0, 1.0],
    ]
    for got, want in zip(learned.preprocess(values).tolist(), expected, strict=True):
        assert got == pytest.approx(want)


def test_preprocessing_has_finite_gradients_at_zero():
    values = torch.zeros(3, requires_grad=True)
    learned.preprocess(values).sum().backward()
    assert torch.isfinite(values.grad).all()


def test_lstm_optimizer_is_two_lstm_layers_for_each_coordinate(generator):
    optimizer = learned.LSTMOptimizer(hidden=6, scale=0.3)
    gradients = normal(7, 2, 3, generator=generator)  # steps, tasks, coordinates
    theta, state = torch.zeros(2, 3), optimizer.initial_state(torch.zeros(2, 3))
    for gradient in gradients:
        theta, state = optimizer(theta, gradient, torch.zeros(2), state)

    reference = nn.LSTM(2, 6, num_layers=2)
    for number, layer in enumerate((optimizer.layer_1, optimizer.layer_2)):
        for name, weight in layer.named_parameters():
            getattr(reference, f"{name}_l{number}").data.copy_(weight)
    hidden, _ = reference(learned.preprocess(gradients).reshape(7, 6, 2))
    updates = 0.3 * optimizer.output(hidden).reshape(7, 2, 3)
    torch.testing.assert_close(theta, updates.sum(dim=0))


def test_coordinates_do_not_see_one_another(generator):
    optimizer = learned.LSTMOptimizer(hidden=5)
    gradient, order = normal(1, 8, generator=generator), torch.randperm(8, generator=generator)
    start = torch.zeros(1, 8)
    straight, _ = optimizer(start, gradient, torch.zeros(1), optimizer.initial_state(start))
    shuffled, _ = optimizer(
        start, gradient[:, order], torch.zeros(1), optimizer.initial_state(start)
    )
    torch.testing.assert_close(straight[:, order], shuffled)


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
    moments = learned.unroll(optimizer, tasks, optimizer.start(3), 20)
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
        seen = torch.cat([learned.preprocess(gradient[0, k]), learned.preprocess(losses[0])])
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


class Descent(nn.Module):
    """Gradient descent with a learned rate: the smallest optimizer there is."""

    def __init__(self, rate):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate))

    def initial_state(self, theta):
        return (theta.new_zeros(()),)

    def forward(self, theta, gradient, losses, state):
        return theta - self.rate * gradient, (state[0] + 1,)


def parabola(theta):
    return (1.5 * theta.square()).sum(dim=1)  # gradient 3 θ


def test_unrolling_walks_down_the_parabola():
    moments = learned.unroll(Descent(0.1), parabola, torch.tensor([[2.0]]), 3)
    assert [m.theta.item() for m in moments] == pytest.approx([2, 1.4, 0.98, 0.686])
    assert [m.losses.item() for m in moments] == pytest.approx(
        [1.5 * t**2 for t in (2, 1.4, 0.98, 0.686)]
    )
    assert [m.state[0].item() for m in moments] == [0, 1, 2, 3]


def test_second_derivatives_of_the_loss_are_dropped():
    rate = 0.1
    optimizer = Descent(rate)
    last = learned.unroll(optimizer, parabola, torch.tensor([[2.0]]), 2)[-1]
    last.losses.sum().backward()
    theta_1 = 2 * (1 - 3 * rate)
    theta_2 = theta_1 * (1 - 3 * rate)
    # With g₀ and g₁ constant, dθ₂/dα = -(g₀ + g₁); the full derivative would be -6 θ₀ (1 - 3α).
    assert optimizer.rate.grad.item() == pytest.approx(3 * theta_2 * -(3 * 2 + 3 * theta_1))


def test_training_cuts_the_gradient_and_goes_on():
    optimizer = Descent(0.1)
    segments = learned._segments(optimizer, lambda: (parabola, torch.tensor([[2.0]])), 4, 2)
    first, second, new_task = next(segments), next(segments), next(segments)
    path = [2 * 0.7**k for k in range(5)]
    losses = [1.5 * theta**2 for theta in path]
    assert first.item() == pytest.approx((losses[1] + losses[2]) / 2)
    assert second.item() == pytest.approx((losses[3] + losses[4]) / 2)
    assert new_task.item() == pytest.approx(first.item()), "a new task must start after the horizon"
    # Cut: the second segment knows θ₂ as a number, so only g₂ and g₃ count.
    g2, g3 = 3 * path[2], 3 * path[3]
    (slope,) = torch.autograd.grad(second, optimizer.rate)
    expected = (3 * path[3] * -g2 + 3 * path[4] * -(g2 + g3)) / 2
    assert slope.item() == pytest.approx(expected)


class Slowing(Descent):
    """Gradient descent whose t-th step is 1/t of the first: it has to remember t."""

    def forward(self, theta, gradient, losses, state):
        step = state[0] + 1
        return theta - self.rate / step * gradient, (step,)


def test_training_carries_the_optimizers_state_over_the_cut():
    segments = learned._segments(
        Slowing(0.1), lambda: (parabola, torch.tensor([[2.0]])), horizon=4, truncation=2
    )
    path = [2.0]
    for step in range(1, 5):
        path.append(path[-1] * (1 - 0.3 / step))
    losses = [1.5 * theta**2 for theta in path]
    assert next(segments).item() == pytest.approx((losses[1] + losses[2]) / 2)
    assert next(segments).item() == pytest.approx((losses[3] + losses[4]) / 2)


def test_training_takes_decaying_adam_steps_on_the_segments(generator, tmp_path):
    optimizer = learned.LSTMOptimizer(hidden=3)
    by_hand = copy.deepcopy(optimizer)
    tasks, start = sample_quadratics(2, 3, generator), normal(2, 3, generator=generator)
    losses = learned.train(
        optimizer, lambda: (tasks, start), 3, horizon=4, truncation=2, beta=0.1,
        run=Run(tmp_path, {}),
    )  # fmt: skip
    adam = torch.optim.Adam(by_hand.parameters())
    segments = learned._segments(by_hand, lambda: (tasks, start), 4, 2)
    for done, expected in enumerate(losses):
        adam.param_groups[0]["lr"] = 0.1 * (1 - done / 3)
        adam.zero_grad()
        value = next(segments)
        assert value.item() == pytest.approx(expected)
        value.backward()
        adam.step()
    for ours, theirs in zip(optimizer.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert read_model(tmp_path).config["block"] == 2, "a checkpoint may fall inside a task"


def test_a_loss_that_leaves_the_numbers_is_the_lstm_optimizers():
    def loss(theta):
        return theta.sum(dim=1) * math.inf

    with pytest.raises(FloatingPointError, match="^LSTM optimizer: the loss became"):
        learned.train(learned.LSTMOptimizer(hidden=2), lambda: (loss, torch.ones(1, 1)), 1)


def test_training_has_the_lengths_and_the_rate_that_it_says():
    tasks, steps = [], []

    def loss(theta):
        steps.append(theta)
        return parabola(theta)

    def sample():
        tasks.append(loss)
        return loss, torch.tensor([[2.0]])

    optimizer = learned.LSTMOptimizer(hidden=2)
    before = optimizer.output.bias.item()
    learned.train(optimizer, sample, 1)
    # Adam's first step is as long as its rate.
    assert abs(optimizer.output.bias.item() - before) == pytest.approx(1e-3, rel=1e-3)
    assert len(steps) == 20 + 1
    tasks.clear()
    learned.train(optimizer, sample, 6)
    assert len(tasks) == 2, "five times 20 steps make 100"


def test_the_optimizer_is_as_small_as_it_says():
    optimizer = learned.LSTMOptimizer()
    assert optimizer.layer_1.hidden_size == optimizer.layer_2.hidden_size == 20
    assert optimizer.scale == 0.1


def test_both_are_made_on_the_device_that_was_asked_for(monkeypatch):
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    for optimizer in (learned.LSTMOptimizer(), learned.GatedOptimizer(torch.zeros(2))):
        assert all(weight.is_meta for weight in optimizer.parameters())


def test_a_trained_optimizer_beats_an_untrained_one_on_new_tasks(generator):
    def sample():
        return sample_quadratics(16, 3, generator), normal(16, 3, generator=generator)

    tasks, start = sample_quadratics(50, 3, generator), normal(50, 3, generator=generator)
    optimizer = learned.LSTMOptimizer(hidden=8)
    before = learned.unroll(optimizer, tasks, start, 20)[-1].losses.mean()
    losses = learned.train(optimizer, sample, 120, horizon=20, truncation=10, beta=1e-2)
    after = learned.unroll(optimizer, tasks, start, 20)[-1].losses.mean()
    assert len(losses) == 120 and after < 0.3 * before


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

    learned.train_gated(optimizer, loss, like, sample, 80, steps=3, beta=2e-2)
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
        moments = learned.unroll(
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
    losses = learned.train_gated(
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
    learned.train_gated(optimizer, loss, like, lambda: steep, 2, steps=2)
    learned.train_gated(twin, loss, like, lambda: steep, 2, steps=2, beta=1e-3, clip=0.25)
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
        learned.train_gated(
            optimizer, loss_of(network, F.mse_loss), like, lambda: tasks, 1, steps=2
        )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: learned.preprocess(torch.ones(2), p=0), ValueError, "p must be a finite number"),
        (lambda: learned.LSTMOptimizer(hidden=0), ValueError, "hidden must be at least 1"),
        (lambda: learned.LSTMOptimizer(scale=-1.0), ValueError, "scale must be a finite number"),
        (
            lambda: learned.GatedOptimizer(torch.zeros(2, 2)),
            ValueError,
            r"initialisation must have shape \(coordinates,\), but had \(2, 2\)",
        ),
        (
            lambda: learned.unroll(Descent(0.1), parabola, torch.zeros(3), 1),
            ValueError,
            r"theta must have shape \(tasks, coordinates\), but had \(3,\)",
        ),
        (
            lambda: learned.unroll(Descent(0.1), parabola, torch.zeros(1, 1), 0),
            ValueError,
            "steps must be at least 1, but was 0",
        ),
        (
            lambda: learned.train(Descent(0.1), None, 1, horizon=100, truncation=30),
            ValueError,
            "truncation must divide horizon, 100, but was 30",
        ),
        (
            lambda: learned.train(Descent(0.1), None, 1, truncation=0),
            ValueError,
            "^truncation must be at least 1, but was 0",
        ),
        (
            lambda: learned.train(Descent(0.1), None, 1, horizon=0, truncation=20),
            ValueError,
            "^horizon must be at least 20, but was 0",
        ),
    ],
)
def test_nonsense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
