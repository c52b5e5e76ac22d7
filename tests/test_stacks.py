"""Stacks: what each task would get alone, in values, gradients and second derivatives."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from meta_lib.machinery import stacks
from meta_lib.machinery.layers import BatchNorm
from meta_lib.networks import conv_network, expand, forward, mlp, parameters_of
from meta_lib.tasks.draws import normal

NETWORKS = {
    "mlp": lambda: mlp(3, 5, 4, 2),
    "mlp of tanh": lambda: mlp(3, 5, 2, activation=nn.Tanh),
    "no bias": lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.Sigmoid()),
    "the paper's": lambda: conv_network(3, filters=4, blocks=3),
    "a bias and padding": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 2, (3, 1), stride=(2, 1))
    ),
    "dilation": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3, dilation=2, bias=False), BatchNorm(3, epsilon=0.1), nn.Flatten()
    ),
    "groups": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2)),
    "padding by name": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.Tanh()),
    "another norm": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten()),
    "oblong first block": lambda: nn.Sequential(
        nn.Conv2d(1, 3, (3, 5), stride=(2, 3), padding=(1, 2), bias=False),
        BatchNorm(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ),
    "pooling": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), BatchNorm(4), nn.ReLU(), nn.MaxPool2d((3, 2))
    ),
    "no ReLU": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), BatchNorm(3), nn.Tanh()),
    "a single filter": lambda: conv_network(3, filters=1, blocks=2),
    "a bias before a norm": lambda: nn.Sequential(nn.Conv2d(1, 3, 3), BatchNorm(3)),
    "no nn.Sequential": lambda: nn.LayerNorm(3),
}


def a_stack(network, generator):
    """Return weights of three tasks, all different, and inputs for each."""
    theta = {
        name: weight + 0.3 * normal(*weight.shape, generator=generator)
        for name, weight in expand(parameters_of(network), 3).items()
    }
    flat = isinstance(next(network.modules()), nn.LayerNorm) or isinstance(
        next(iter(network.children()), None), nn.Linear
    )
    shape = (3, 6, 3) if flat else (3, 6, 1, 9, 8)
    return theta, normal(*shape, generator=generator)


@pytest.fixture(params=[False, True], ids=["side by side", "one after the other"])
def way(request, monkeypatch):
    """Take small tasks as they come, or all for large ones."""
    if request.param:
        monkeypatch.setattr(stacks, "LARGE", 1)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
def test_a_stack_gives_what_its_tasks_give_alone(make, generator):
    network = make()
    theta, x = a_stack(network, generator)
    alone = [
        functional_call(network, {name: weight[task] for name, weight in theta.items()}, (x[task],))
        for task in range(3)
    ]
    torch.testing.assert_close(forward(network, theta, x), torch.stack(alone))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
def test_its_derivatives_are_those_of_the_tasks_alone(make, generator):
    network = make()
    theta, x = a_stack(network, generator)
    theta = {name: weight.requires_grad_() for name, weight in theta.items()}
    aim = normal(*forward(network, theta, x).shape, generator=generator)

    def derivatives(outputs):
        value = (outputs - aim).square().sum() + outputs.pow(3).sum()
        first = torch.autograd.grad(value, list(theta.values()), create_graph=True)
        # Second derivatives, as MAML needs them.
        second = torch.autograd.grad(
            sum(slope.square().sum() for slope in first), list(theta.values())
        )
        return [*first, *second]

    alone = [
        functional_call(network, {name: weight[task] for name, weight in theta.items()}, (x[task],))
        for task in range(3)
    ]
    torch.testing.assert_close(
        derivatives(forward(network, theta, x)),
        derivatives(torch.stack(alone)),
        rtol=1e-8,
        atol=1e-8,
    )


def test_tasks_with_many_images_go_one_after_the_other_on_the_cpu(generator, monkeypatch):
    sizes = []
    original = stacks.convolve
    monkeypatch.setattr(
        stacks,
        "convolve",
        lambda x, *rest, **more: sizes.append(len(x)) or original(x, *rest, **more),
    )
    network = conv_network(5, filters=2, blocks=2)
    for images, expected in ((stacks.LARGE // 100 - 1, [3]), (stacks.LARGE // 100, [1, 1, 1])):
        x = normal(3, images, 1, 10, 10, generator=generator)
        forward(network, expand(parameters_of(network), 3), x)
        assert sizes == expected, f"{images} images"
        sizes.clear()


def test_the_first_block_is_used_where_it_pays(generator, monkeypatch):
    called = []
    original = stacks.first_block
    monkeypatch.setattr(
        stacks, "first_block", lambda *given, **more: called.append(1) or original(*given, **more)
    )
    for channels, size, pays in ((1, (3, 3), True), (2, (4, 4), True), (3, (1, 11), False)):
        convolution = nn.Conv2d(channels, 2, size, bias=False)
        network = nn.Sequential(convolution, BatchNorm(2), nn.ReLU())
        x = 2, 5, channels, 12, 12
        forward(network, expand(parameters_of(network), 2), normal(*x, generator=generator))
        assert bool(called) == pays, f"a filter of {convolution.weight[0].numel()} weights"
        called.clear()
