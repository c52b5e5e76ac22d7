"""The LSTM optimizer against worked numbers, closed forms and torch's own LSTM."""

import copy
import math

import pytest
import torch
from torch import nn

from meta_lib import lstm_optimizer as learned
from meta_lib.gated_optimizer import GatedOptimizer
from meta_lib.machinery.runs import Run, read_model
from meta_lib.tasks.draws import normal
from meta_lib.tasks.quadratics import sample_quadratics


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


def test_side_by_side_each_does_what_it_would_alone(generator):
    torch.manual_seed(0)
    rules = [learned.LSTMOptimizer(hidden=5) for _ in range(3)]
    together = learned.SideBySide(rules)
    tasks, start = sample_quadratics(6, 4, generator), normal(6, 4, generator=generator)
    moments = learned.unroll(together, tasks, start, 3)
    for number, (rule, single) in enumerate(zip(rules, together.apart(), strict=True)):
        own = slice(2 * number, 2 * number + 2)
        problems = type(tasks)(tasks.W[own], tasks.y[own])
        for each in (rule, single):
            alone = learned.unroll(each, problems, start[own], 3)[-1]
            torch.testing.assert_close(moments[-1].theta[own], alone.theta)
    # The meta-gradient of one has nothing of another's.
    moments[-1].losses[2:4].sum().backward()
    slopes = together.layer_2_weight_hh.grad
    assert slopes[1].any() and not slopes[0].any() and not slopes[2].any()


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


def test_it_is_made_on_the_device_that_was_asked_for(monkeypatch):
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    assert all(weight.is_meta for weight in learned.LSTMOptimizer().parameters())


def test_a_trained_optimizer_beats_an_untrained_one_on_new_tasks(generator):
    def sample():
        return sample_quadratics(16, 3, generator), normal(16, 3, generator=generator)

    tasks, start = sample_quadratics(50, 3, generator), normal(50, 3, generator=generator)
    optimizer = learned.LSTMOptimizer(hidden=8)
    before = learned.unroll(optimizer, tasks, start, 20)[-1].losses.mean()
    losses = learned.train(optimizer, sample, 120, horizon=20, truncation=10, beta=1e-2)
    after = learned.unroll(optimizer, tasks, start, 20)[-1].losses.mean()
    assert len(losses) == 120 and after < 0.3 * before


RULES = {
    "LSTM": lambda: learned.LSTMOptimizer(hidden=3),
    "gated": lambda: GatedOptimizer(torch.linspace(-1, 1, 4), hidden=3),
}
both = pytest.mark.parametrize("make", RULES.values(), ids=RULES)


@both
@pytest.mark.parametrize("untracked", [torch.no_grad, torch.inference_mode])
def test_where_nothing_is_learned_the_moments_are_the_same_and_keep_no_graph(
    make, untracked, generator
):
    rule, tasks = make(), sample_quadratics(3, 4, generator)
    start = normal(3, 4, generator=generator)
    tracked = learned.unroll(rule, tasks, start, 5)
    assert tracked[-1].losses.requires_grad
    with untracked():
        plain = learned.unroll(rule, tasks, start.clone(), 5)
    for ours, theirs in zip(plain, tracked, strict=True):
        assert torch.equal(ours.theta, theirs.theta) and torch.equal(ours.losses, theirs.losses)
        for part in (ours.theta, ours.losses, *ours.state):
            assert part.grad_fn is None and not part.requires_grad
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_a_start_that_is_learned_is_no_part_of_what_no_grad_returns():
    start = torch.ones(1, 2, requires_grad=True)
    with torch.no_grad():
        moments = learned.unroll(Descent(0.1), parabola, start, 1)
    assert not moments[1].theta.requires_grad and start.grad is None
    assert torch.equal(start, torch.ones(1, 2))


@both
def test_unrolling_leaves_the_rule_as_it_was(make, generator):
    rule = make().train()
    before = copy.deepcopy(rule.state_dict())
    with torch.no_grad():
        learned.unroll(rule, sample_quadratics(2, 4, generator), torch.zeros(2, 4), 3)
    learned.unroll(rule, sample_quadratics(2, 4, generator), torch.zeros(2, 4), 3)
    assert rule.training and all(weight.grad is None for weight in rule.parameters())
    for name, weight in rule.named_parameters():
        assert torch.equal(weight, before[name]) and weight.requires_grad


@both
def test_a_rule_and_what_it_optimises_may_differ_in_precision(make, generator):
    rule, tasks = make(), sample_quadratics(3, 4, generator)
    start = normal(3, 4, generator=generator)
    exact = learned.unroll(rule, tasks, start, 5)[-1].theta
    rounded = learned.unroll(copy.deepcopy(rule).float(), tasks, start, 5)[-1]
    assert rounded.theta.dtype == torch.float64
    assert all(part.dtype == torch.float32 for part in rounded.state)
    torch.testing.assert_close(rounded.theta, exact, rtol=1e-4, atol=1e-4)
    single = type(tasks)(*(part.float() for part in tasks))
    for own, tolerance in ((torch.float64, 1e-4), (torch.float32, 1e-4), (torch.float16, 5e-2)):
        last = learned.unroll(copy.deepcopy(rule).to(own), single, start.float(), 5)[-1]
        assert last.theta.dtype == torch.float32
        assert all(part.dtype == own for part in last.state)
        torch.testing.assert_close(last.theta.double(), exact, rtol=tolerance, atol=tolerance)


@both
@pytest.mark.parametrize("low", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_are_moved_by_a_rule_of_64(make, low, generator):
    rule, theta = make(), normal(2, 4, generator=generator).to(low)
    gradient, losses = normal(2, 4, generator=generator).to(low), torch.ones(2, dtype=low)
    state = rule.initial_state(theta)
    after, later = rule(theta, gradient, losses, state)
    assert after.dtype == low and all(part.dtype == torch.float64 for part in (*state, *later))
    wide, _ = rule(theta.double(), gradient.double(), losses.double(), state)
    torch.testing.assert_close(after.double(), wide, rtol=2e-2, atol=2e-2)


@both
def test_all_happens_where_theta_and_the_rule_are(make, generator):
    rule, tasks = make().to("meta"), sample_quadratics(2, 4, generator)
    tasks = type(tasks)(*(part.to("meta") for part in tasks))
    for number, moment in enumerate(learned.unroll(rule, tasks, tasks.y, 3)):
        assert all(part.is_meta for part in (moment.theta, moment.losses, *moment.state)), number
    moment.losses.mean().backward()
    assert all(w.grad.is_meta for n, w in rule.named_parameters() if n != "initialisation")


def test_frozen_weights_of_a_rule_stay_as_they_are(generator):
    rule = learned.LSTMOptimizer(hidden=3)
    rule.layer_1.requires_grad_(False)
    before = copy.deepcopy(rule.state_dict())
    tasks, start = sample_quadratics(2, 3, generator), normal(2, 3, generator=generator)
    learned.train(rule, lambda: (tasks, start), 2, horizon=4, truncation=2, beta=0.1)
    for name, weight in rule.named_parameters():
        assert torch.equal(weight, before[name]) == name.startswith("layer_1")


def test_a_rule_that_forgets_where_it_came_from_can_still_be_unrolled():
    class Detached(Descent):
        def forward(self, theta, gradient, losses, state):
            return (theta - 0.1 * gradient).detach(), state

    moments = learned.unroll(Detached(0.1), parabola, torch.tensor([[2.0]]), 3)
    assert moments[-1].theta.item() == pytest.approx(0.686)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: learned.preprocess(torch.ones(2), p=0), ValueError, "p must be a finite number"),
        (lambda: learned.LSTMOptimizer(hidden=0), ValueError, "hidden must be at least 1"),
        (lambda: learned.LSTMOptimizer(scale=-1.0), ValueError, "scale must be a finite number"),
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
            lambda: learned.unroll(Descent(0.1), torch.sum, torch.zeros(2, 1), 1),
            ValueError,
            r"loss\(theta\) must have shape \(2,\), but had \(\)",
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
