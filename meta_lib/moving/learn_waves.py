"""MAML learns waves before the reader's eyes, in the page: part 3, "MAML"."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_lib import maml
from meta_lib.networks import Parameters, loss_of, mlp, parameters_of
from meta_lib.tasks.draws import uniform
from meta_lib.tasks.page_draws import PageGenerator
from meta_lib.tasks.sinusoids import sample_points, sample_waves
from meta_lib.training import minimise

ALGORITHMS = ("MAML", "first order", "ANIL", "Reptile")
TASKS = 25

# Whoever imports this keeps their random numbers.
with torch.random.fork_rng(devices=()):
    NETWORK = mlp(1, 40, 40, 1)
LOSS = loss_of(NETWORK, F.mse_loss)


def first_weights(generator: PageGenerator) -> Parameters:
    """Return random weights of the network 1-40-40-1, as the page draws them."""
    # Both weights and biases lie within ± 1 / √inputs of their layer, as torch has it.
    inputs = {"0": 1, "2": 40, "4": 40}
    phi = {}
    for name, weight in parameters_of(NETWORK).items():
        most = 1 / math.sqrt(inputs[name[0]])
        phi[name] = uniform(*weight.shape, low=-most, high=most, generator=generator)
    return phi


def train(
    alpha: float = 0.01,
    beta: float = 0.02,
    shots: int = 10,
    steps: int = 1,
    algorithm: str = "MAML",
    seed: int = 0,
    iterations: int = 1000,
) -> tuple[Parameters, list[float]]:
    """Return what the page's training with these settings finds, φ, and the meta-losses.

    The weights, the waves and the iterations are the page's, the gradients those of `meta_lib.maml`
    under torch. Raises as `maml.meta_gradient` and `training.minimise` do.
    """
    generator = PageGenerator(seed)
    phi = {name: weight.requires_grad_() for name, weight in first_weights(generator).items()}
    rates = maml.head_rates(phi, alpha, "4") if algorithm == "ANIL" else alpha
    others = {"first order": maml.first_order_loss, "Reptile": maml.reptile_loss}
    objective = others.get(algorithm, maml.meta_loss)

    def batch_loss() -> Tensor:
        tasks = sample_points(sample_waves(TASKS, generator), shots, shots, generator)
        return objective(LOSS, phi, tasks, rates, steps)

    losses = minimise(phi.items(), batch_loss, iterations, beta, decay=True, label=algorithm)
    return {name: weight.detach() for name, weight in phi.items()}, losses
