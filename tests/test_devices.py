"""Devices: on torch's meta device, which has shapes and no numbers, a stray CPU tensor fails.

Where the library needs a value (a loss to log, labels to count), it says so in its docstring; that
is no part of these computations.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from meta_lib import maml
from meta_lib.inner_rules import Adam, Momentum
from meta_lib.networks import (
    conv_network,
    expand,
    flatten,
    forward,
    loss_of,
    mlp,
    parameters_of,
    pooled_network,
    unflatten,
)
from meta_lib.tasks.episodes import Episode

META = torch.device("meta")


def on_meta(*shape, dtype=None):
    return torch.empty(*shape, dtype=dtype, device=META)


def waves():
    return Episode(*(on_meta(3, n, 1) for n in (5, 5, 6, 6)))


def characters(size):
    images, labels = (3, 10, 1, size, size), (3, 10)
    return Episode(*(on_meta(*images), on_meta(*labels, dtype=torch.long)) * 2)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1), nn.Dropout())

    def forward(self, x):
        return x + self.inner(x)


NETWORKS = {
    "mlp": (lambda: mlp(1, 4, 1), F.mse_loss, waves),
    "convolutions": (lambda: conv_network(5, 4), F.cross_entropy, lambda: characters(12)),
    "any": (Residual, F.mse_loss, waves),
}
RULES = {
    "a rate": lambda phi: 0.1,
    "learned rates": lambda phi: maml.learned_rates(phi, 0.1),
    "momentum": lambda phi: Momentum(0.1),
    "Adam": lambda phi: Adam(0.1),
}
OBJECTIVES = [maml.meta_loss, maml.first_order_loss, maml.multi_step_loss, maml.reptile_loss]


@pytest.mark.parametrize(("make", "criterion", "tasks"), NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.__name__)
def test_a_meta_gradient_makes_no_tensor_elsewhere(make, criterion, tasks, rule, objective):
    network = make().to(META)
    phi, loss = parameters_of(network), loss_of(network, criterion)
    alpha = rule(phi)
    if objective is maml.reptile_loss and alpha != 0.1:
        pytest.skip("Reptile has one rate")
    for chunk in (None, 2):
        found, value = maml.meta_gradient(loss, phi, tasks(), alpha, 2, objective, chunk)
        assert {tensor.device for tensor in (*found.values(), value)} == {META}
        assert found.keys() == phi.keys()


@pytest.mark.parametrize(("make", "criterion", "tasks"), NETWORKS.values(), ids=NETWORKS.keys())
def test_nor_does_an_answer(make, criterion, tasks):
    network = make().to(META)
    phi, loss = parameters_of(network), loss_of(network, criterion)
    episodes = tasks()
    theta = maml.adapt(loss, expand(phi, 3), episodes.support_x, episodes.support_y, 0.1, 2)
    assert forward(network, theta, episodes.query_x).device == META
    whole = unflatten(flatten(phi), phi)
    assert {weight.device for weight in whole.values()} == {META}


def test_nor_does_the_network_for_embeddings():
    network = pooled_network(4).to(META)
    assert network(on_meta(2, 1, 32, 32)).shape == (2, 32)
