"""A small network that learns to read digits from scratch: what learning is without meta-learning.

Part 1, "The limits of machine learning", section "A network and the loop that trains it".
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from meta_lib import evaluation, networks
from meta_lib.training import minimise


def new_reader(seed: int) -> nn.Sequential:
    """Return a network from images (n, 1, 8, 8) to ten outputs (n, 10), its weights from a seed."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), *networks.mlp(64, 64, 10))


def train(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    steps: int = 100,
    change: Callable[[Tensor], Tensor] | None = None,
) -> nn.Module:
    """Take steps on the mean loss of images x (n, 1, 8, 8) with labels y (n,); return the network.

    `change` alters the images anew in each step. Raises as `training.minimise` does.
    """

    def loss() -> Tensor:
        return F.cross_entropy(network(x if change is None else change(x)), y)

    minimise(network.named_parameters(), loss, iterations=steps, beta=1e-2)
    return network


@torch.no_grad()
def score(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of images x (n, 1, 8, 8) to which the network gives their label y (n,)."""
    return evaluation.accuracy(network(x).argmax(dim=1), y)
