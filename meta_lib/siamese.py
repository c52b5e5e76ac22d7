"""Siamese networks: a learned metric.

One network embeds both images of a pair; the contrastive loss pulls images of the same class
together and pushes images of different classes apart, up to a margin. A new class needs one
example: the nearest support image gives the answer. Explained in part 3, "Siamese networks".
Bromley et al. (1993); Hadsell, Chopra & LeCun (2006), https://doi.org/10.1109/CVPR.2006.100;
Koch, Zemel & Salakhutdinov (2015).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib import checks
from meta_lib.runs import Run
from meta_lib.tasks.episodes import Episode, ImageSet, check_episode
from meta_lib.training import minimise


class Pairs(NamedTuple):
    """x1 and x2 (pairs, channels, height, width); different (pairs,) is Y: 0 same class, 1 not."""

    x1: Tensor
    x2: Tensor
    different: Tensor


def euclidean_distance(features_1: Tensor, features_2: Tensor) -> Tensor:
    """Return D = ‖f1 - f2‖₂ along the last dimension, for features that broadcast.

    Part 4, "Similarity and the contrastive loss".
    """
    return torch.linalg.vector_norm(features_1 - features_2, dim=-1)


def cosine_similarity(features_1: Tensor, features_2: Tensor) -> Tensor:
    """Return cos = f1·f2 / (‖f1‖ ‖f2‖), from -1 to 1, along the last dimension.

    Part 4, "Similarity and the contrastive loss".
    """
    return F.cosine_similarity(features_1, features_2, dim=-1)


def contrastive_loss(distance: Tensor, different: Tensor, margin: float = 1.0) -> Tensor:
    """Return L = (1 - Y) ½ D² + Y ½ max(0, m - D)² for each pair.

    `distance` is D and `different` is Y, both (pairs,): Y is 0 for a similar pair and 1 for a
    dissimilar one, as in Hadsell, Chopra & LeCun (2006); many libraries flip it. A dissimilar
    pair beyond the margin has neither loss nor gradient.

    Raises ValueError for a margin that is not positive, or for shapes that differ.
    """
    checks.positive("margin", margin)
    expected = f"{tuple(distance.shape)}, that of distance"
    checks.shape("different", different, expected, different.shape == distance.shape)
    together = 0.5 * distance.square()
    apart = 0.5 * (margin - distance).clamp(min=0).square()
    return (1 - different) * together + different * apart


def sample_pairs(image_set: ImageSet, pairs: int, generator: Generator) -> Pairs:
    """Draw pairs of two different images, the first half of one class, the second half of two.

    Raises TypeError or ValueError unless `pairs` is an even number of at least 2 and the set has
    at least 2 classes of at least 2 images.
    """
    checks.whole_number("pairs", pairs, at_least=2)
    if pairs % 2:
        raise ValueError(f"pairs must be even, half of them similar, but was {pairs}")
    check_episode(image_set, ways=2, shots=1, queries=1)
    classes = list(image_set.values())
    x1, x2 = [], []
    for pair in range(pairs):
        first, second = torch.randperm(len(classes), generator=generator)[:2]
        if pair < pairs // 2:
            images = classes[first]
            one, other = torch.randperm(len(images), generator=generator)[:2]
            x1.append(images[one])
            x2.append(images[other])
        else:
            x1.append(_any_image(classes[first], generator))
            x2.append(_any_image(classes[second], generator))
    different = (torch.arange(pairs) >= pairs // 2).to(x1[0])
    return Pairs(torch.stack(x1), torch.stack(x2), different)


def pair_loss(network: nn.Module, pairs: Pairs, margin: float) -> Tensor:
    """Return the mean contrastive loss of the pairs, both sides embedded by the same network."""
    # One pass over both sides: the twins share their weights and, in training, their batch.
    features_1, features_2 = network(torch.cat([pairs.x1, pairs.x2])).chunk(2)
    distance = euclidean_distance(features_1, features_2)
    return contrastive_loss(distance, pairs.different, margin).mean()


def train(
    network: nn.Module,
    image_set: ImageSet,
    iterations: int,
    generator: Generator,
    pairs: int = 128,
    margin: float = 1.0,
    beta: float = 1e-3,
    run: Run | None = None,
) -> list[float]:
    """Train the network in place on fresh pairs in each iteration, and return the losses.

    `run` says where checkpoints and the log go (`runs`).

    Raises as `sample_pairs`, `contrastive_loss` and `training.minimise` do, before any step.
    """
    checks.positive("margin", margin)
    network.train()

    def loss() -> Tensor:
        return pair_loss(network, sample_pairs(image_set, pairs, generator), margin)

    losses = minimise(
        network.named_parameters(), loss, iterations, beta, decay=True, label="Siamese", run=run
    )
    network.eval()
    return losses


@torch.no_grad()
def classify(network: nn.Module, episode: Episode) -> Tensor:
    """Return for each query image the label of the nearest support image, (queries,).

    Only the distances of the learned embedding are used: nothing is trained here.
    """
    support = network(episode.support_x)
    query = network(episode.query_x)
    distance = euclidean_distance(query[:, None], support[None, :])
    return episode.support_y[distance.argmin(dim=1)]


def _any_image(images: Tensor, generator: Generator) -> Tensor:
    return images[torch.randint(len(images), (), generator=generator)]
