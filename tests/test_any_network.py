"""Any network: a stack is its tasks one by one through the module itself, or it is refused.

Each entry of the zoo is a module as people bring them. The reference is the plainest there is: a
deep copy of the module for each task, the task's weights written into it, and called. Nothing here
may change the module, also when a call fails, and in no thread.
"""

import copy
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm

from meta_lib import maml
from meta_lib.machinery import stacks
from meta_lib.networks import expand, forward, loss_of, parameters_of
from meta_lib.tasks.draws import normal
from meta_lib.tasks.episodes import Episode

TASKS, N = 3, 4


class Given(nn.Module):
    """A module whose forward is a function of its parts."""

    def __init__(self, run, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


class Scaled(nn.Linear):
    """A linear layer that does something else."""

    def forward(self, x):
        return x + 2 * super().forward(x)


class Backwards(nn.Sequential):
    """A chain in the other order, with a way round it."""

    def forward(self, x):
        y = x
        for layer in reversed(self):
            y = layer(y)
        return x + y


class Positive(nn.Module):
    def forward(self, weight):
        return weight.exp()


def shared_activation():
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(3, 5), relu, nn.Linear(5, 4), relu, nn.Linear(4, 2))


def shared_layer():
    inner = nn.Linear(3, 3)
    return nn.Sequential(inner, nn.Tanh(), inner, nn.Tanh(), nn.Linear(3, 2))


def tied():
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))
    net[2].weight = nn.Parameter(torch.randn(3, 5))
    net.register_module("3", nn.Linear(3, 5))
    net[3].weight = net[0].weight
    return net


def autoencoder():
    return Given(
        lambda self, x: torch.tanh(self.encode(x)) @ self.encode.weight, encode=nn.Linear(3, 5)
    )


def parametrised():
    layer = nn.Linear(3, 2)
    parametrize.register_parametrization(layer, "weight", Positive())
    return nn.Sequential(layer)


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has a newer one, below
        return nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2))


def hooked():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net[0].register_forward_hook(lambda module, x, y: 3 * y)
    net[2].register_forward_pre_hook(lambda module, x: (x[0] - 1,))
    return net


def another_forward():
    net = nn.Sequential(nn.Linear(3, 2))
    net[0].forward = lambda x: F.linear(x, torch.ones(2, 3))
    net.append(nn.Linear(2, 2))
    return net


def pruned():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    prune.random_unstructured(net[0], "weight", amount=0.5)
    return net


def with_a_buffer():
    net = Given(lambda self, x: self.inner(x * self.scale), inner=nn.Linear(3, 2))
    net.register_buffer("scale", torch.tensor([1.0, -2.0, 0.5]))
    return net


def counting():
    def run(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        self.mean.lerp_(x.detach().mean(), 0.5)
        self.last = self.inner(x) + self.mean
        return self.last

    net = Given(run, inner=nn.Linear(3, 2))
    net.register_buffer("mean", torch.zeros(()))
    return net


def half_frozen():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    return net


def an_unused_layer():
    return Given(lambda self, x: self.used(x), unused=nn.Linear(7, 7), used=nn.Linear(3, 2))


def in_a_list():
    def run(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x)) + x
        return x

    return Given(run, layers=nn.ModuleList(nn.Linear(3, 3) for _ in range(2)))


def sometimes():
    """What the network does hangs on the data."""
    return Given(
        lambda self, x: self.one(x) if x.sum() > 0 else self.two(x),
        one=nn.Linear(3, 2),
        two=nn.Linear(3, 2),
    )


def kept_by_another_name():
    net = Given(lambda self, x: self.parts[1](torch.tanh(self.parts[0](x))), a=nn.Linear(3, 4))
    net.b = nn.Linear(4, 2)
    net.parts = [net.a, net.b]
    return net


def images(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(2))


ROWS, SEQUENCES, IMAGES = (3,), (5, 3), (2, 6, 6)
conv = partial(nn.Conv2d, 2, 4, 3)
ZOO = {
    "plain": (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), ROWS),
    "shared activation": (shared_activation, ROWS),
    "shared layer": (shared_layer, ROWS),
    "tied layers": (tied, ROWS),
    "tied encoder and decoder": (autoencoder, ROWS),
    "a Linear of one's own": (lambda: nn.Sequential(Scaled(3, 3), nn.ReLU()), ROWS),
    "a Sequential of one's own": (lambda: Backwards(nn.Linear(3, 3), nn.Tanh()), ROWS),
    "one in a Sequential": (lambda: nn.Sequential(Backwards(nn.Linear(3, 3), nn.Tanh())), ROWS),
    "residual": (lambda: Given(lambda s, x: x + s.f(x).tanh(), f=nn.Linear(3, 3)), ROWS),
    "ModuleList": (in_a_list, ROWS),
    "nested Sequential": (
        lambda: nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Linear(4, 2)),
        ROWS,
    ),
    "a single layer": (lambda: nn.Linear(3, 2), ROWS),
    "Linear on sequences": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), SEQUENCES),
    "Linear on sequences, no bias, as many steps as tasks": (
        lambda: nn.Sequential(nn.Linear(3, 2, bias=False)),
        (TASKS, 3),
    ),
    "LayerNorm": (lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.SiLU()), ROWS),
    "softmax over the batch": (lambda: nn.Sequential(nn.Linear(3, 2), nn.Softmax(dim=0)), ROWS),
    "GroupNorm": (lambda: images(conv(), nn.GroupNorm(2, 4), nn.ReLU()), IMAGES),
    "InstanceNorm": (lambda: images(conv(), nn.InstanceNorm2d(4, affine=True)), IMAGES),
    "InstanceNorm that counts": (
        lambda: images(conv(), nn.InstanceNorm2d(4, track_running_stats=True)),
        IMAGES,
    ),
    "BatchNorm": (lambda: images(conv(), nn.BatchNorm2d(4), nn.ReLU()), IMAGES),
    "BatchNorm without weights": (lambda: images(conv(), nn.BatchNorm2d(4, affine=False)), IMAGES),
    "BatchNorm of the batch": (
        lambda: images(conv(), nn.BatchNorm2d(4, track_running_stats=False)),
        IMAGES,
    ),
    "BatchNorm at rest": (lambda: images(conv(), nn.BatchNorm2d(4)).eval(), IMAGES),
    "BatchNorm1d": (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), ROWS),
    "dropout at rest": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2)).eval(), ROWS),
    "dropout": (lambda: nn.Sequential(nn.Linear(3, 9), nn.Dropout(0.5), nn.Linear(9, 2)), ROWS),
    "GRU": (
        lambda: Given(lambda s, x: s.rnn(x)[0][:, -1], rnn=nn.GRU(3, 4, batch_first=True)),
        SEQUENCES,
    ),
    "LSTM": (
        lambda: Given(
            lambda s, x: s.out(s.rnn(x)[1][0][-1]),
            rnn=nn.LSTM(3, 4, num_layers=2, batch_first=True),
            out=nn.Linear(4, 2),
        ),
        SEQUENCES,
    ),
    "attention": (
        lambda: Given(
            lambda s, x: s.look(x, x, x)[0].mean(dim=1),
            look=nn.MultiheadAttention(3, 1, batch_first=True),
        ),
        SEQUENCES,
    ),
    "transformer": (
        lambda: Given(
            lambda s, x: s.layer(x)[:, 0],
            layer=nn.TransformerEncoderLayer(3, 1, 8, dropout=0.0, batch_first=True),
        ),
        SEQUENCES,
    ),
    "transposed convolution": (lambda: images(nn.ConvTranspose2d(2, 3, 3)), IMAGES),
    "grouped convolution": (lambda: images(conv(groups=2)), IMAGES),
    "depthwise convolution": (lambda: images(nn.Conv2d(2, 2, 3, groups=2), nn.Tanh()), IMAGES),
    "dilated convolution": (lambda: images(conv(dilation=2), nn.ReLU()), IMAGES),
    "circular padding": (lambda: images(conv(padding=1, padding_mode="circular")), IMAGES),
    "Conv1d": (lambda: images(nn.Conv1d(5, 2, 2)), SEQUENCES),
    "pools": (lambda: images(conv(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)), IMAGES),
    "one place left": (
        lambda: images(nn.Conv2d(2, 4, 6, bias=False), nn.GroupNorm(1, 4), nn.ReLU()),
        IMAGES,
    ),
    "old weight_norm": (old_weight_norm, ROWS),
    "weight_norm": (lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2))), ROWS),
    "spectral_norm": (lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 2))), ROWS),
    "a parametrisation of one's own": (parametrised, ROWS),
    "hooks": (hooked, ROWS),
    "a forward of the instance": (another_forward, ROWS),
    "pruned": (pruned, ROWS),
    "a buffer": (with_a_buffer, ROWS),
    "counters": (counting, ROWS),
    "a frozen layer": (half_frozen, ROWS),
    "an unused layer": (an_unused_layer, ROWS),
    "as the data has it": (sometimes, ROWS),
    "parts kept by another name": (kept_by_another_name, ROWS),
    "inplace": (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(True), nn.Linear(4, 2)), ROWS),
    "Embedding": (
        lambda: Given(
            lambda s, x: s.out(s.words(x.detach().abs().long() % 6).mean(dim=1)),
            words=nn.Embedding(6, 4),
            out=nn.Linear(4, 2),
        ),
        ROWS,
    ),
}
RANDOM = {"dropout"}


@pytest.fixture(params=ZOO)
def entry(request):
    """Give a network of the zoo, its inputs' shape, and see afterwards that it is unharmed."""
    make, shape = ZOO[request.param]
    torch.manual_seed(0)
    network = make()
    if any(nn.parameter.is_lazy(weight) for weight in network.parameters()):
        mode = network.training
        network.eval()(torch.zeros(2, *shape))
        network.train(mode)
    before = picture(network)
    # torch's fused attention has no second derivative.
    with sdpa_kernel(SDPBackend.MATH) if request.param == "transformer" else nullcontext():
        yield request.param, network, shape
    assert_unharmed(network, before)


def picture(network):
    """Return all that a network is: its tensors, as objects and as bits, and its modes."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    bits = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    flags = {name: tensor.requires_grad for name, tensor in tensors.items()}
    modes = [module.training for module in network.modules()]
    attributes = [sorted(vars(module)) for module in network.modules()]
    return tensors, bits, flags, modes, attributes, list(network.state_dict())


def assert_unharmed(network, before):
    tensors, bits, flags, modes, attributes, names = picture(network)
    assert tensors.keys() == before[0].keys()
    for name, tensor in tensors.items():
        assert tensor is before[0][name], f"{name} is another object"
        assert torch.equal(bits[name], before[1][name]), f"{name} has changed"
        assert tensor.grad is None, f"{name} has a gradient"
    assert (flags, modes, attributes, names) == before[2:]
    copied(network)


def copied(network):
    """Return a deep copy, also of what keeps a weight that it computes (torch refuses that)."""
    cached = [v for m in network.modules() for v in vars(m).values() if isinstance(v, torch.Tensor)]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in cached})


def alone(network, theta, x):
    """Return what a copy of the network, with these weights written into it, makes of x."""
    own = copied(network)
    for name, weight in theta.items():
        # As a plain tensor, so that the result has a slope with respect to it; ties are kept.
        place = own.get_parameter(name)
        for module in own.modules():
            for key, parameter in list(module._parameters.items()):
                if parameter is place:
                    module._parameters[key] = weight
    return own(x)


def problem(network, shape, generator):
    """Return weights of three tasks, all different, and an episode for each."""
    theta = {
        name: weight + 0.1 * normal(*weight.shape, generator=generator)
        for name, weight in expand(parameters_of(network), TASKS).items()
    }
    x, query_x = (normal(TASKS, N, *shape, generator=generator) for _ in range(2))
    torch.manual_seed(1)
    like = forward(network, theta, x)
    y, query_y = (normal(*like.shape, generator=generator) for _ in range(2))
    return theta, Episode(x, y, query_x, query_y)


def test_a_stack_has_its_tasks_values(entry, generator):
    _, network, shape = entry
    theta, episodes = problem(network, shape, generator)
    torch.manual_seed(2)
    ours = forward(network, theta, episodes.support_x)
    torch.manual_seed(2)
    theirs = [
        alone(network, {name: weight[task] for name, weight in theta.items()}, x)
        for task, x in enumerate(episodes.support_x)
    ]
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-12, atol=1e-12)
    torch.manual_seed(2)
    ones = [
        forward(network, {name: weight[task] for name, weight in theta.items()}, x)
        for task, x in enumerate(episodes.support_x)
    ]
    torch.testing.assert_close(torch.stack(ones), torch.stack(theirs), rtol=1e-12, atol=1e-12)


def reference(network, phi, episodes, alpha, steps, first_order):
    """MAML task by task, through copies of the module itself."""
    phi = {name: weight.clone().requires_grad_() for name, weight in phi.items()}
    total = 0.0
    for support_x, support_y, query_x, query_y in zip(*episodes, strict=True):
        theta = phi
        for _ in range(steps):
            value = F.mse_loss(alone(network, theta, support_x), support_y)
            slopes = torch.autograd.grad(
                value,
                list(theta.values()),
                create_graph=not first_order,
                materialize_grads=True,
            )
            theta = {n: w - alpha * g for (n, w), g in zip(theta.items(), slopes, strict=True)}
        total = total + F.mse_loss(alone(network, theta, query_x), query_y) / TASKS
    slopes = torch.autograd.grad(total, list(phi.values()), materialize_grads=True)
    return dict(zip(phi, slopes, strict=True)), total.detach()


@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("steps", [1, 3])
def test_its_meta_gradient_is_that_of_its_tasks(entry, steps, first_order, generator):
    name, network, shape = entry
    if name in RANDOM:
        pytest.skip("each call draws anew: the value test compares it under one seed")
    phi = parameters_of(network)
    _, episodes = problem(network, shape, generator)
    expected, expected_value = reference(network, phi, episodes, 0.05, steps, first_order)
    objective = maml.first_order_loss if first_order else maml.meta_loss
    loss, before = loss_of(network, F.mse_loss), torch.get_num_threads()
    for chunk, threads in ((None, 1), (1, 1), (2, 2), (1, 3)):
        torch.set_num_threads(threads)
        try:
            found, value = maml.meta_gradient(
                loss, phi, episodes, 0.05, steps, objective, chunk=chunk
            )
        finally:
            torch.set_num_threads(before)
        torch.testing.assert_close(value, expected_value, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_four_threads_may_use_one_network(entry, generator):
    """Each gets what it would get alone, and so does whoever calls the module meanwhile."""
    name, network, shape = entry
    if name in RANDOM or list(network.buffers()):
        pytest.skip("called by itself, in training, it draws or counts")
    phi, loss = parameters_of(network), loss_of(network, F.mse_loss)
    _, episodes = problem(network, shape, generator)
    with torch.no_grad():
        itself = copied(network)(episodes.query_x[0])
    expected, _ = maml.meta_gradient(loss, phi, episodes, 0.05, 2)
    start = threading.Barrier(4, timeout=60)

    def learn(_):
        start.wait()
        return maml.meta_gradient(loss, phi, episodes, 0.05, 2, chunk=1)[0]

    def answer():
        start.wait()
        with torch.no_grad():
            return [network(episodes.query_x[0]) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        meanwhile, *learned = [pool.submit(answer), *(pool.submit(learn, i) for i in range(3))]
        for found in learned:
            torch.testing.assert_close(found.result(), expected, rtol=1e-9, atol=1e-11)
        for found in meanwhile.result():
            torch.testing.assert_close(found, itself, rtol=0, atol=0)


def test_training_and_answering_leave_the_network_alone(entry, generator):
    _, network, shape = entry
    loss = loss_of(network, lambda predicted, y: F.cross_entropy(predicted.flatten(1), y))
    _, episodes = problem(network, shape, generator)
    labels = torch.arange(N) % 2
    episodes = episodes._replace(
        support_y=labels.expand(TASKS, N), query_y=labels.expand(TASKS, N)
    )
    phi, losses = maml.train(network, loss, lambda: episodes, 2, alpha=0.01, chunk=1)
    assert phi.keys() == parameters_of(network).keys() and len(losses) == 2
    for episode in (episodes, Episode(*(part[0] for part in episodes))):
        answers = [maml.classify(network, loss, phi, episode, 0.01, 2) for _ in range(2)]
        assert torch.equal(*answers), "nothing is random where it answers"


class Broken(nn.Module):
    """Fails in the middle, after it has changed all that it can."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.calls_left = 1

    def forward(self, x):
        self.calls += 1
        self.eval()
        self.seen = x
        if not x.isfinite().all():
            raise ZeroDivisionError("in the middle")
        return self.inner(x)


@pytest.mark.parametrize("chunk", [None, 1])
def test_a_call_that_fails_leaves_the_network_alone(chunk, generator):
    network = Broken()
    before = picture(network)
    _, episodes = problem(network, ROWS, generator)
    episodes.query_x[1, 0] = torch.nan
    loss = loss_of(network, F.mse_loss)
    with pytest.raises(ZeroDivisionError, match="in the middle"):
        maml.meta_gradient(loss, parameters_of(network), episodes, 0.1, 2, chunk=chunk)
    assert_unharmed(network, before)


def test_frozen_weights_stay_as_they_are(generator):
    network = half_frozen()
    loss = loss_of(network, F.mse_loss)
    _, episodes = problem(network, ROWS, generator)
    frozen = [weight.clone() for weight in network[0].parameters()]
    phi, _ = maml.train(network, loss, lambda: episodes, 3, alpha=0.1)
    assert list(phi) == ["2.weight", "2.bias"]
    assert all(map(torch.equal, frozen, network[0].parameters()))


def test_of_weights_some_of_which_want_a_gradient_the_others_are_frozen(generator):
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    _, episodes = problem(network, ROWS, generator)
    for name in ("2.weight", "2.bias"):
        phi[name].requires_grad_()
    theta = maml.adapt(loss, phi, episodes.support_x[0], episodes.support_y[0], 0.1, 3)
    assert [name for name in phi if not torch.equal(theta[name], phi[name])] == [
        "2.weight",
        "2.bias",
    ]
    rates = {"0.weight": 0.1, "2.weight": torch.full((2, 4), 0.1, requires_grad=True)}
    value = maml.meta_loss(loss, phi, episodes, rates, 2)
    slopes = torch.autograd.grad(value, [phi["2.weight"], rates["2.weight"]])
    assert all(slope.abs().sum() > 0 for slope in slopes)


def test_numbers_and_learned_rates_may_stand_side_by_side(generator):
    """At φ without a gradient too, where the rates alone are learned."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    loss, phi = loss_of(network, F.mse_loss), parameters_of(network)
    _, episodes = problem(network, ROWS, generator)

    def value(rate):
        rates = {name: 0.1 for name in phi} | {"0.weight": rate}
        return maml.meta_loss(loss, phi, episodes, rates, 3)

    rate = torch.full((4, 3), 0.1, requires_grad=True)
    (slope,) = torch.autograd.grad(value(rate), rate)
    h = torch.zeros(4, 3)
    h[1, 2] = 1e-6
    numeric = (value(rate + h) - value(rate - h)) / 2e-6
    torch.testing.assert_close(slope[1, 2], numeric.detach(), rtol=1e-5, atol=1e-9)


def test_a_network_at_rest_answers_as_it_learns_not_as_it_rests(generator):
    """Batch normalisation goes by the images at hand, unless the user's own mode says otherwise."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    x, query_x = normal(2, 6, 3, generator=generator)
    episode = Episode(x, torch.arange(6) % 2, query_x, torch.arange(6) % 2)
    for train in (True, False):
        network.train(train)
        theta = maml.adapt(loss, phi, episode.support_x, episode.support_y, 0.1, 2)
        expected = alone(network, theta, episode.query_x).argmax(dim=1)
        assert torch.equal(maml.classify(network, loss, phi, episode, 0.1, 2), expected)


def weighted(predicted, y):
    return F.cross_entropy(predicted, y, weight=torch.tensor([0.2, 3.0, 1.0]))


CRITERIA = {
    "plain": F.cross_entropy,
    "as a module": nn.CrossEntropyLoss(),
    "weights": weighted,
    "label smoothing": partial(F.cross_entropy, label_smoothing=0.2),
    "another ignored label": partial(F.cross_entropy, ignore_index=1),
    "a sum": partial(F.cross_entropy, reduction="sum"),
    "a mask": lambda predicted, y: predicted[y != 2].square().mean(),
}


@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA.keys())
def test_a_loss_means_the_same_in_a_stack(criterion, generator):
    network = nn.Sequential(nn.Linear(3, 3))
    theta = expand(parameters_of(network), 3)
    x = normal(3, 5, 3, generator=generator)
    y = torch.tensor([[0, 1, 2, 2, 1], [0, 0, 0, 1, -100], [1, 2, -100, -100, 0]])
    if criterion not in (F.cross_entropy, CRITERIA["as a module"], weighted):
        y = y.clamp(min=0)
    loss = loss_of(network, criterion)
    theirs = [loss({n: w[i] for n, w in theta.items()}, x[i], y[i]) for i in range(3)]
    torch.testing.assert_close(loss(theta, x, y), torch.stack(theirs))


def test_targets_that_broadcast_do_so_within_their_task(generator):
    network = nn.Sequential(nn.Linear(3, 1))
    theta, loss = expand(parameters_of(network), 2), loss_of(network, F.mse_loss)
    x, y = normal(2, 5, 3, generator=generator), normal(2, 5, generator=generator)
    with pytest.warns(UserWarning, match="target size"):
        theirs = [loss({n: w[i] for n, w in theta.items()}, x[i], y[i]) for i in range(2)]
        torch.testing.assert_close(loss(theta, x, y), torch.stack(theirs))


def captured():
    net = nn.Sequential(nn.Linear(3, 2))
    net[0].register_forward_hook(lambda module, x, y: y + net[0].bias)
    return net


inner = nn.Linear(3, 2, dtype=torch.float64)


class OfAGlobal(nn.Module):
    """Names a part as a global is named, which is no harm, or uses the global, which is."""

    def __init__(self, past):
        super().__init__()
        self.inner, self.past = inner, past

    def forward(self, x):
        return self.inner(x) if self.past is None else self.past(x)


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self):
        super().__init__()
        self.inner, self.lock = nn.Linear(3, 2), threading.Lock()

    def forward(self, x):
        return self.inner(x)


REFUSED = {
    "a tuple": (lambda: nn.GRU(3, 2), TypeError, "network must return one tensor.*GRU.*tuple"),
    "lazy": (lambda: nn.LazyLinear(2), ValueError, "'weight' has none yet; call the network once"),
    "no weights": (nn.Tanh, ValueError, "network must have a weight that requires a gradient"),
    "all frozen": (
        lambda: nn.Linear(3, 2).requires_grad_(False),
        ValueError,
        "network must have a weight that requires a gradient",
    ),
    "weights by a side door": (captured, ValueError, "captured.*in its Linear, reaches a part"),
    "weights by a global": (
        lambda: OfAGlobal(lambda x: inner(x)),
        ValueError,
        "in its OfAGlobal, reaches a part",
    ),
    "no copy": (Locked, TypeError, "network must be one that copy.deepcopy can copy.*Locked"),
}


@pytest.mark.parametrize(("make", "error", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_refused_in_words(make, error, words, generator):
    network = make()
    with pytest.raises(error, match=words):
        phi = parameters_of(network)
        forward(network, expand(phi, 2), normal(2, N, 3, generator=generator))
    with pytest.raises(error, match=words):
        phi = parameters_of(network)
        forward(network, phi, normal(N, 3, generator=generator))


def test_a_part_may_be_called_as_a_global_is(generator):
    network, x = OfAGlobal(None), normal(2, N, 3, generator=generator)
    theta = expand(parameters_of(network), 2)
    torch.testing.assert_close(forward(network, theta, x)[1], network(x[1]))


def test_another_number_of_tasks_or_another_network_is_refused(generator):
    network = nn.Sequential(nn.Linear(3, 2))
    theta = expand(parameters_of(network), 3)
    with pytest.raises(ValueError, match="x must hold as many tasks as the weights, 3, but held 2"):
        forward(network, theta, normal(2, N, 3, generator=generator))
    with pytest.raises(ValueError, match="theta must hold weights of the network.*'7.weight'"):
        forward(network, {"7.weight": theta["0.weight"]}, normal(3, N, 3, generator=generator))
    with pytest.raises(ValueError, match="theta must hold at least one weight"):
        forward(network, {}, normal(3, N, 3, generator=generator))
    with pytest.raises(ValueError, match="the criterion's result must have shape"):
        x, y = normal(3, N, 3, generator=generator), normal(3, N, 2, generator=generator)
        loss_of(network, partial(F.mse_loss, reduction="none"))(theta, x, y)
    with pytest.raises(ValueError, match="loss must depend on a weight"):
        x = normal(N, 3, generator=generator)
        maml.adapt(lambda theta, x, y: x.sum(), parameters_of(network), x, x, 0.1)


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex128])
def test_other_numbers_than_64_bits(dtype, generator):
    network = nn.Sequential(nn.Linear(3, 4), Given(lambda s, x: x * x), nn.Linear(4, 2)).to(dtype)
    for net in (network, nn.Sequential(nn.Linear(3, 2)).to(dtype)):
        phi = parameters_of(net)
        x, y = (normal(3, N, k, generator=generator).to(dtype) for k in (3, 2))
        loss = loss_of(net, lambda predicted, y: (predicted - y).abs().square().mean())
        expected = [maml.adapt(loss, phi, a, b, 0.1, 2) for a, b in zip(x, y, strict=True)]
        stack = maml.adapt(loss, expand(phi, 3), x, y, 0.1, 2)
        exact = {} if dtype != torch.bfloat16 else dict(rtol=0.05, atol=0.05)
        for name in phi:
            theirs = torch.stack([theta[name] for theta in expected])
            torch.testing.assert_close(stack[name], theirs, **exact)
        episodes = Episode(x, y, x, y)
        whole, _ = maml.meta_gradient(loss, phi, episodes, 0.1, 2)
        parts, value = maml.meta_gradient(loss, phi, episodes, 0.1, 2, chunk=1)
        assert not value.is_complex()
        torch.testing.assert_close(parts, whole, **exact)


LAYERS = st.sampled_from(["linear", "tanh", "relu", "norm", "residual", "same relu", "sequence"])


@settings(max_examples=25, deadline=None)
@given(st.lists(LAYERS, min_size=1, max_size=6), st.integers(0, 2**31), st.integers(1, 2))
def test_drawn_networks(kinds, seed, steps):
    torch.manual_seed(seed)
    relu = nn.ReLU()
    make = {
        "linear": lambda: nn.Linear(3, 3),
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "norm": lambda: nn.LayerNorm(3),
        "residual": lambda: Scaled(3, 3),
        "same relu": lambda: relu,
        "sequence": lambda: nn.Sequential(nn.Linear(3, 3), nn.Sigmoid()),
    }
    network = nn.Sequential(nn.Linear(3, 3), *(make[kind]() for kind in kinds))
    generator = torch.Generator().manual_seed(seed)
    _, episodes = problem(network, ROWS, generator)
    phi = parameters_of(network)
    found, value = maml.meta_gradient(loss_of(network, F.mse_loss), phi, episodes, 0.1, steps)
    expected, expected_value = reference(network, phi, episodes, 0.1, steps, False)
    torch.testing.assert_close(value, expected_value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_the_fast_path_serves_the_books_networks_and_no_others(monkeypatch, generator):
    slow = []
    monkeypatch.setattr(stacks, "call_each", lambda net, tasks: slow.append(net) or [net[0].weight])
    quick = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)))
    forward(quick, expand(parameters_of(quick), 2), normal(2, N, 3, generator=generator))
    assert not slow
    for other in (shared_activation(), hooked(), half_frozen(), nn.Sequential(Scaled(3, 3))):
        forward(other, expand(parameters_of(other), 2), normal(2, N, 3, generator=generator))
        assert slow.pop() is other
