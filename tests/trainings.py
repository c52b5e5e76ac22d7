"""Three small trainings that are killed (test_runs.py) and shared out (test_distributed.py)."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator

from meta_lib import lstm_optimizer, maml, siamese
from meta_lib.machinery.distributed import processes, share
from meta_lib.machinery.runs import Run
from meta_lib.networks import conv_network, loss_of, mlp
from meta_lib.tasks.draws import normal
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.quadratics import sample_quadratics
from meta_lib.tasks.sinusoids import sample_points, sample_waves
from meta_lib.training import minimise


def seeded():
    # So that what the order of a sum changes stays far behind what is compared.
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    return Generator().manual_seed(0)


def waves(folder, iterations=20, every=3):
    """MAML; neither decay nor clipping."""
    generator = seeded()
    network = mlp(1, 20, 20, 1)

    def sample():
        return share(sample_points(sample_waves(8, generator), 5, 5, generator))

    run = Run(folder, {"alpha": 0.01}, every, {"tasks": generator})
    loss = loss_of(network, F.mse_loss)
    return maml.train(network, loss, sample, iterations, alpha=0.01, beta=0.01, run=run)[1]


def pairs(folder, iterations=20, every=1):
    """A Siamese network: running statistics, decay and clipping."""
    generator, image_set = seeded(), glyphs(6, 4, size=8)
    network = conv_network(4, filters=4, blocks=2, running_statistics=True)
    network[1].momentum = None  # a plain mean over all batches

    def loss():
        drawn = share(siamese.sample_pairs(image_set, 8, generator))
        return siamese.pair_loss(network, drawn)

    run = Run(folder, {}, every, {"pairs": generator}, dict(network.named_buffers()))
    parameters = network.named_parameters()
    return minimise(parameters, loss, iterations, 0.01, clip=0.1, decay=True, run=run)


def quadratics(folder, iterations=20, every=5):
    """A learned optimizer, whose tasks last for 3 iterations each."""
    generator = seeded()
    optimizer = lstm_optimizer.LSTMOptimizer(hidden=4)

    def sample():
        return sample_quadratics(4, 3, generator), normal(4, 3, generator=generator)

    run = Run(folder, {}, every, {"tasks": generator})
    return lstm_optimizer.train(optimizer, sample, iterations, horizon=6, truncation=2, run=run)


TRAININGS = (waves, pairs, quadratics)

if __name__ == "__main__":
    with processes():
        for training in TRAININGS:
            training(Path(sys.argv[1]) / training.__name__)
