"""MAML learns waves before the reader's eyes, in the page: part 3, "MAML"."""

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib import maml
from meta_lib.figures import maml as pictures
from meta_lib.moving import MovingFigure, learning
from meta_lib.networks import Parameters, forward, loss_of, mlp, parameters_of, unflatten
from meta_lib.tasks.draws import placed, uniform
from meta_lib.tasks.page_draws import PageGenerator
from meta_lib.tasks.sinusoids import sample_points, sample_waves
from meta_lib.training import minimise

ALGORITHMS = ("MAML", "first order", "ANIL", "Reptile")
TASKS = 25

# Whoever imports this keeps their random numbers.
with torch.random.fork_rng(devices=()):
    NETWORK = mlp(1, 40, 40, 1)
LOSS, LIKE = loss_of(NETWORK, F.mse_loss), parameters_of(NETWORK)


class LearnWaves(MovingFigure):
    """A meta-training in the page, and the wave that its φ is put to.

    The training goes on until iteration `goal`; with `seed` 0 it is the same one everywhere, and
    `train` of this module repeats it in Python. `wave` is the amplitude and the phase of the
    reader's own. Where there is a kernel, `phi` is what the page has found when it rests.
    """

    parts = ("learning.js", "learn_maml.js")
    shared = (
        "alpha", "beta", "shots", "steps", "algorithm", "iterations", "seed", "goal", "wave",
    )  # fmt: skip
    alpha = traitlets.Float(0.01, min=0).tag(sync=True)
    beta = traitlets.Float(0.02, min=0).tag(sync=True)
    shots = traitlets.Int(10, min=1, max=20).tag(sync=True)
    steps = traitlets.Int(1, min=1, max=20).tag(sync=True)
    algorithm = traitlets.Enum(ALGORITHMS, "MAML").tag(sync=True)
    iterations = traitlets.Int(1000, min=1).tag(sync=True)
    seed = traitlets.Int(0, min=0).tag(sync=True)
    goal = traitlets.Int(0, min=0).tag(sync=True)
    wave = traitlets.List(traitlets.Float(), [3.0, 1.0], minlen=2, maxlen=2).tag(sync=True)
    found = traitlets.Bytes(help="φ of the page, 64 bits a weight").tag(sync=True)

    @property
    def phi(self) -> Parameters:
        """The initialisation that the page has found, by name; random weights before."""
        if not self.found:
            return first_weights(PageGenerator(self.seed))
        return unflatten(placed(torch.tensor(np.frombuffer(self.found, "<f8"))), LIKE)

    def still(self) -> Figure:
        """Return the reader's wave, and the network's curve before and after the inner steps."""
        x = placed(torch.linspace(-5, 5, 101, dtype=torch.float64))[:, None]
        support_x = uniform(20, 1, low=-5, high=5, generator=PageGenerator(5))[: self.shots]
        amplitude, phase = self.wave
        wave, support_y = (amplitude * torch.sin(at - phase) for at in (x, support_x))
        theta, fits = self.phi, []
        rates = maml.head_rates(theta, self.alpha, "4") if self.algorithm == "ANIL" else self.alpha
        for step in range(self.steps + 1):
            if step:
                theta, _ = maml.inner_step(LOSS, theta, support_x, support_y, rates)
            fits.append(forward(NETWORK, theta, x).detach())
        errors = [F.mse_loss(fit, wave).item() for fit in fits]
        x, wave, support_x, support_y, *fits = (
            tensor[:, 0].cpu().numpy() for tensor in (x, wave, support_x, support_y, *fits)
        )
        return pictures.fit(x, wave, support_x, support_y, fits, errors, self.alpha)


def first_weights(generator: PageGenerator) -> Parameters:
    """Return random weights of the network 1-40-40-1, as the page draws them."""
    return learning.first_weights(LIKE, generator)


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
