"""Confidence: how sure an answer by distances is, and how that is learned from the support set.

A query is as near to a class as to the class's nearest support image. The softmax of the negative
distances, times a scale s, turns them into probabilities. The scale is fitted where the labels are
known: on the support images themselves, each left out once. Explained in part 5,
"Your own images". The smoothed targets are Platt's (1999), the one fitted number is the
"temperature" of Guo et al. (2017), https://arxiv.org/abs/1706.04599, read the other way up.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from meta_lib.siamese import Measure, cosine_distance

Embed = Callable[[Tensor], Tensor]
"""From images (…, 1, height, width) to feature vectors (…, features)."""

LARGEST_SCALE = 1e4


def class_distances(
    embed: Embed,
    support_x: Tensor,
    support_y: Tensor,
    query_x: Tensor,
    measure: Measure = cosine_distance,
) -> Tensor:
    """Return how far each query is from each class's nearest support image, (queries, ways).

    The labels `support_y` are 0, …, ways - 1, each at least once.
    """
    with torch.no_grad():
        support, query = embed(support_x), embed(query_x)
    return _nearest(measure(query[:, None], support[None]), support_y)


def leave_one_out(
    embed: Embed, support_x: Tensor, support_y: Tensor, measure: Measure = cosine_distance
) -> Tensor:
    """Return how far each support image is from each class without itself, (images, ways).

    Raises ValueError if a class has a single support image: without it nothing of it is left.
    """
    _, counts = support_y.unique(return_counts=True)
    if counts.min() < 2:
        alone = support_y.unique()[counts < 2].tolist()
        raise ValueError(f"each class must have 2 support images or more, but {alone} have one")
    with torch.no_grad():
        features = embed(support_x)
    apart = measure(features[:, None], features[None])
    return _nearest(
        apart.masked_fill(torch.eye(len(apart)).bool().to(apart.device), torch.inf), support_y
    )


def probabilities(distances: Tensor, scale: float) -> Tensor:
    """Return softmax(-s D) over the classes, (queries, ways)."""
    return (-scale * distances).softmax(dim=1)


def fit_scale(distances: Tensor, labels: Tensor) -> float:
    """Return the scale s under which the labels (queries,) are least surprising.

    It minimises the mean cross-entropy of softmax(-s D) with smoothed targets: of n images each is
    taken to have its label with probability 1 - 1/(n + 2), so that a few images without a mistake
    do not ask for certainty. The slope in s is the mean of E_targets[D] - E_p[D]; it only grows
    with s, so halving finds its zero. Without one, s is 0 or the largest scale allowed, 10,000.
    """
    n, ways = distances.shape
    doubt = 1 / (n + 2)
    targets = torch.full_like(distances, doubt / max(1, ways - 1))
    targets[torch.arange(n), labels] = 1 - doubt

    def slope(scale: float) -> Tensor:
        return ((targets - probabilities(distances, scale)) * distances).sum(dim=1).mean()

    low, high = 0.0, LARGEST_SCALE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return high


def _nearest(distances: Tensor, labels: Tensor) -> Tensor:
    """Return the smallest distance to each class: from (queries, images) to (queries, ways)."""
    ways = range(int(labels.max()) + 1)
    return torch.stack([distances[:, labels == k].amin(dim=1) for k in ways], dim=1)
