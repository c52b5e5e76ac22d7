"""The network that reads the reader's hand: how it is trained, folded and stored.

To make `hand.safetensors` again, in about ten minutes on one processor core (Omniglot is read from
META_LIB_DATA, or downloaded once):

    python -m meta_lib.moving.hand_network

Chapter: the preface.
"""

import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib import siamese
from meta_lib.evaluation import accuracies, estimate
from meta_lib.machinery.layers import RunningBatchNorm
from meta_lib.networks import conv_network
from meta_lib.siamese import Pairs, pair_loss, sample_pairs
from meta_lib.tasks.episodes import ImageSet, sample_episode
from meta_lib.tasks.hands import other_hand, quarter_turns
from meta_lib.tasks.parts import load_part
from meta_lib.training import minimise

FILE = Path(__file__).with_name("hand.safetensors")
FILTERS, FEATURES = 36, 32


def train(
    image_set: ImageSet, iterations: int, generator: Generator, pairs: int = 96
) -> tuple[nn.Sequential, list[float]]:
    """Return a Siamese network trained with the contrastive loss, and the losses.

    A character turned by a quarter, a half or three quarters is a class of its own.
    """
    turned = quarter_turns(image_set)
    network = conv_network(FEATURES, filters=FILTERS, running_statistics=True)

    def loss() -> Tensor:
        drawn = sample_pairs(turned, pairs, generator)
        x1, x2 = (other_hand(images, generator) for images in (drawn.x1, drawn.x2))
        return pair_loss(network, Pairs(x1, x2, drawn.different))

    losses = minimise(network.named_parameters(), loss, iterations, 3e-3, decay=True)
    return network.eval(), losses


def fold(network: nn.Sequential) -> dict[str, Tensor]:
    """Return the weights with batch normalisation in them: w0, b0, w1, … and the last layer's.

    γ (Wx - m) / √(v + ε) + δ is one convolution, with weights γW / √(v + ε) and a bias.
    """
    *_, last = network
    assert isinstance(last, nn.Linear)
    folded = {}
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network if isinstance(layer, RunningBatchNorm)]
    for number, (conv, norm) in enumerate(zip(convolutions, norms, strict=True)):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        folded[f"w{number}"] = (conv.weight * scale[:, None, None, None]).detach()
        folded[f"b{number}"] = (norm.bias - scale * norm.running_mean).detach()
    return folded | {"last": last.weight.detach()}


def embed(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Return the embeddings (n, features) of images (n, 1, side, side) with folded weights."""
    x = images
    for number in range(len(weights) // 2):
        x = F.conv2d(x, weights[f"w{number}"], weights[f"b{number}"], stride=2, padding=1).relu()
    return x.mean(dim=(2, 3)) @ weights["last"].T


def main(iterations: int = 8000) -> None:
    """Train on the training part of Omniglot, measure on the other two, and write the file."""
    torch.manual_seed(0)
    network, losses = train(load_part("omniglot", "train"), iterations, Generator().manual_seed(0))
    weights = {name: tensor.half().cpu().contiguous() for name, tensor in fold(network).items()}
    read: Any = partial(embed, {name: tensor.float() for name, tensor in weights.items()})
    for part in ("validation", "test"):
        image_set = load_part("omniglot", part)
        generator = Generator().manual_seed(1)
        episodes = [sample_episode(image_set, 5, 1, 5, generator) for _ in range(400)]
        found = accuracies(partial(siamese.classify, read), episodes)
        print(f"{part}: 5 ways, 1 shot: {estimate(found).percent()}")
    print(f"loss {math.fsum(losses[-100:]) / 100:.4f} after {iterations} iterations")
    safetensors.torch.save_file(weights, FILE)
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
