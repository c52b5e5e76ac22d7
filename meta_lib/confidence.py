"""Confidence: how sure an answer by distances is, and how that is learned from the support set.

A query is as near to a class as to the class's nearest support image. The softmax of the negative
distances, times a scale s, turns them into probabilities. The scale is fitted where the labels are
known: on the support images themselves, each left out once. Explained in part 5,
"Your own images". To smooth the targets is Platt's (1999) idea, who does it class by class; the one
fitted number is the "temperature" of Guo et al. (2017), https://arxiv.org/abs/1706.04599, read the
other way up.
"""

import torch
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.machinery.features import Embed, at_once
from meta_lib.machinery.features import embed as features_of
from meta_lib.machinery.modes import evaluating
from meta_lib.siamese import Distance, cosine_distance

LARGEST_SCALE = 1e4
NUMBERS_AT_ONCE = 2**22


def class_distances(
    embed: Embed,
    support_x: Tensor,
    support_y: Tensor,
    query_x: Tensor,
    measure: Distance = cosine_distance,
) -> Tensor:
    """Return how far each query is from each class's nearest support image, (queries, ways).

    The labels `support_y` are 0, …, ways - 1, each at least once. `embed`, if it is a network,
    answers in evaluation mode and is left in its own (`modes`).

    Raises as `features.embed` does, and TypeError or ValueError for other labels.
    """
    with torch.no_grad(), evaluating(embed, measure):
        support, query = embed_all(embed, support_x), embed_all(embed, query_x)
        return nearest(all_distances(query, support, measure), support_y)


def leave_one_out(
    embed: Embed, support_x: Tensor, support_y: Tensor, measure: Distance = cosine_distance
) -> Tensor:
    """Return how far each support image is from each class without itself, (images, ways).

    Raises ValueError if a class has a single support image: without it nothing of it is left; else
    as `class_distances` does.
    """
    _, counts = support_y.unique(return_counts=True)
    if counts.min() < 2:
        alone = support_y.unique()[counts < 2].tolist()
        raise ValueError(f"each class must have 2 support images or more, but {alone} have one")
    with torch.no_grad(), evaluating(embed, measure):
        apart = from_others(embed_all(embed, support_x), measure)
    return nearest(apart, support_y)


def from_others(features: Tensor, measure: Distance) -> Tensor:
    """Return how far images' features are from one another's, each infinitely far from itself."""
    return all_distances(features, features, measure).fill_diagonal_(torch.inf)


def embed_all(embed: Embed, images: Tensor) -> Tensor:
    """Return the features of images, (images, features), at most a few hundred images at a time.

    Raises as `features.embed` does.
    """
    count = at_once(images.shape[-1])
    first = features_of(embed, images[:count])
    # Written where they stay: kept apart, the blocks would let the memory grow in between.
    found = first.new_empty(len(images), first.shape[1])
    found[:count] = first
    for start in range(count, len(images), count):
        some = slice(start, start + count)
        found[some] = features_of(embed, images[some])
    return found


def all_distances(query: Tensor, support: Tensor, measure: Distance) -> Tensor:
    """Return how far each query's features are from each support image's, (queries, images).

    A few queries at a time: all differences together would fill the memory.
    """
    rows = max(1, NUMBERS_AT_ONCE // max(1, support.numel()))
    found = query.new_empty(len(query), len(support))
    for start in range(0, len(query), rows):
        some = slice(start, start + rows)
        found[some] = measure(query[some, None], support[None])
    return found


def probabilities(distances: Tensor, scale: float) -> Tensor:
    """Return softmax(-s D) over the classes, (queries, ways)."""
    return (-scale * distances).softmax(dim=1)


def fit_scale(distances: Tensor, labels: Tensor) -> float:
    """Return the scale s under which the labels (queries,) are least surprising.

    It minimises the mean cross-entropy of softmax(-s D) with smoothed targets: of n images each is
    taken to have its label with probability 1 - 1/(n + 2), so that a few images without a mistake
    do not ask for certainty. The slope in s is the mean of E_targets[D] - E_p[D]; it only grows
    with s, so halving finds its zero. Without one, s is 0 or the largest scale allowed, 10,000.
    Each of the 60 halvings needs a value: on a GPU it waits.

    Raises TypeError or ValueError unless each of the queries has a label from 0 to ways - 1.
    """
    n, ways = distances.shape
    checks.shape("labels", labels, f"({n},), one for each query", labels.shape == (n,))
    checks.labels_of("labels", labels, ways)
    doubt = 1 / (n + 2)
    targets = torch.full_like(distances, doubt / max(1, ways - 1))
    targets[torch.arange(n), labels.long()] = 1 - doubt

    def slope(scale: float) -> Tensor:
        return ((targets - probabilities(distances, scale)) * distances).sum(dim=1).mean()

    low, high = 0.0, LARGEST_SCALE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return high


def nearest(distances: Tensor, labels: Tensor) -> Tensor:
    """Return the smallest distance to each class: from (queries, images) to (queries, ways).

    Raises TypeError or ValueError unless the labels are 0, …, ways - 1, one for each image.
    """
    expected = f"({distances.shape[1]},), one label for each image"
    checks.shape("support_y", labels, expected, labels.shape == distances.shape[1:])
    ways, labels = checks.classes("support_y", labels), labels.to(distances.device)
    found = distances.new_empty(len(distances), ways)
    for k in range(ways):
        found[:, k] = distances.masked_fill(labels != k, torch.inf).amin(dim=1)
    return found
