"""Siamese networks: a learned metric.

One network embeds both images of a pair, and a measure compares the two embeddings. Of a distance,
the contrastive loss pulls images of the same class together and pushes images of different classes
apart, up to a margin; of a learned similarity, the cross-entropy asks whether the class is the
same. A new class needs one example: the nearest support image gives the answer. Explained in part
3, "Siamese networks". Bromley et al. (1993); Hadsell, Chopra & LeCun (2006),
https://doi.org/10.1109/CVPR.2006.100; Koch, Zemel & Salakhutdinov (2015),
https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib.machinery import checks
from meta_lib.machinery.device import device
from meta_lib.machinery.distributed import share
from meta_lib.machinery.runs import Run
from meta_lib.tasks.draws import whole_below
from meta_lib.tasks.episodes import Episode, ImageSet, check_episode
from meta_lib.training import fit

Measure = Callable[[Tensor, Tensor], Tensor]
"""From two sets of features that broadcast, (…, features), to how far apart they are, (…):
`euclidean_distance`, `cosine_distance` or any other distance; or a `WeightedL1`, which says how
alike they are."""


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


def cosine_distance(features_1: Tensor, features_2: Tensor) -> Tensor:
    """Return 1 - cos, along the last dimension: 0 for one direction, 1 at right angles, 2 opposite.

    With it the contrastive loss asks for angles: a dissimilar pair is pushed until its cosine is
    below 1 - margin. So a margin of 1 asks for right angles, and one of 2 or more is never reached.
    The length of the features has no say. Part 4, "Similarity and the contrastive loss".
    """
    return 1 - cosine_similarity(features_1, features_2)


class WeightedL1(nn.Module):
    """Koch, Zemel & Salakhutdinov's (2015) similarity: p = sigmoid(Σⱼ aⱼ |f1ⱼ - f2ⱼ| + b).

    p is the probability that two images are of the same class. The weights a and b are learned
    with the network; they start as plain L1 distance, a = -1 and b = 0. The paper writes no b, but
    without it two equal images would have p = ½ whatever is learned.
    """

    def __init__(self, features: int):
        """Make the measure for that many features, on the book's device.

        Raises TypeError or ValueError unless `features` is a whole number of at least 1.
        """
        super().__init__()
        checks.whole_number("features", features)
        self.a = nn.Parameter(-torch.ones(features))
        self.b = nn.Parameter(torch.zeros(()))
        self.to(device())

    def forward(self, features_1: Tensor, features_2: Tensor) -> Tensor:
        """Return the logit of p, Σⱼ aⱼ |f1ⱼ - f2ⱼ| + b: the larger, the more alike."""
        return (features_1 - features_2).abs() @ self.a + self.b


def contrastive_loss(distance: Tensor, different: Tensor, margin: float = 1.0) -> Tensor:
    """Return L = (1 - Y) ½ D² + Y ½ max(0, m - D)² for each pair.

    `distance` is D and `different` is Y, both (pairs,): Y is 0 for a similar pair and 1 for a
    dissimilar one, as in Hadsell, Chopra & LeCun (2006). A dissimilar pair beyond the margin has
    neither loss nor gradient.

    Many libraries flip Y. It is 1 for a similar pair in sentence-transformers and TensorFlow
    Addons; PyTorch's CosineEmbeddingLoss and HingeEmbeddingLoss have 1 for similar and -1 for
    dissimilar; pytorch-metric-learning takes class labels, and calls pairs of one class positive.

    Raises ValueError for a margin that is not positive, or for shapes that differ.
    """
    checks.positive("margin", margin)
    _check_different(different, "distance", distance)
    together = 0.5 * distance.square()
    apart = 0.5 * (margin - distance).clamp(min=0).square()
    return (1 - different) * together + different * apart


def cross_entropy_loss(logit: Tensor, different: Tensor) -> Tensor:
    """Return L = -(1 - Y) log p - Y log(1 - p) for each pair, with p = sigmoid(logit).

    `logit` is what `WeightedL1` gives and `different` is Y, both (pairs,). Koch, Zemel &
    Salakhutdinov (2015) have y = 1 - Y, 1 for the same class.

    Raises ValueError for shapes that differ.
    """
    _check_different(different, "logit", logit)
    return F.binary_cross_entropy_with_logits(logit, 1 - different, reduction="none")


def sample_pairs(image_set: ImageSet, pairs: int, generator: Generator) -> Pairs:
    """Draw pairs of two different images, the first half of one class, the second half of two.

    Each class is as likely as any other, however many images it has.

    Raises TypeError or ValueError unless `pairs` is an even number of at least 2 and the set has
    at least 2 classes of at least 2 images.
    """
    checks.whole_number("pairs", pairs, at_least=2)
    if pairs % 2:
        raise ValueError(f"pairs must be even, half of them similar, but was {pairs}")
    check_episode(image_set, ways=2, shots=1, queries=1)
    classes = list(image_set.values())
    sizes = torch.tensor([len(images) for images in classes])
    different = (torch.arange(pairs) >= pairs // 2).long()
    same = 1 - different

    # Who stands in a circle of n and walks 1 to n - 1 places on never ends where the walk began.
    class_1 = whole_below(torch.full((pairs,), len(classes)), generator)
    walk = 1 + whole_below(torch.full((pairs,), len(classes) - 1), generator)
    class_2 = (class_1 + different * walk) % len(classes)
    image_1 = whole_below(sizes[class_1], generator)
    image_2 = same * (image_1 + 1) + whole_below(sizes[class_2] - same, generator)
    image_2 = image_2 % sizes[class_2]

    def images(of_class: Tensor, number: Tensor) -> Tensor:
        chosen = zip(of_class.tolist(), number.tolist(), strict=True)
        return torch.stack([classes[c][i] for c, i in chosen])

    x1, x2 = images(class_1, image_1), images(class_2, image_2)
    return Pairs(x1, x2, different.to(x1))


def pair_loss(
    network: nn.Module,
    pairs: Pairs,
    margin: float = 1.0,
    measure: Measure = euclidean_distance,
) -> Tensor:
    """Return the mean loss of the pairs, both sides embedded by the same network.

    It is the contrastive loss of a distance, or the cross-entropy of a `WeightedL1`, which has no
    use for the margin.
    """
    # One pass over both sides: the twins share their weights and, in training, their batch.
    features_1, features_2 = network(torch.cat([pairs.x1, pairs.x2])).chunk(2)
    measured = measure(features_1, features_2)
    if isinstance(measure, WeightedL1):
        return cross_entropy_loss(measured, pairs.different).mean()
    return contrastive_loss(measured, pairs.different, margin).mean()


def train(
    network: nn.Module,
    image_set: ImageSet,
    iterations: int,
    generator: Generator,
    pairs: int = 128,
    margin: float = 1.0,
    beta: float = 1e-3,
    measure: Measure = euclidean_distance,
    run: Run | None = None,
    redraw: Callable[[Tensor], Tensor] | None = None,
) -> list[float]:
    """Train the network, and a `WeightedL1` with it, in place on fresh pairs in each iteration.

    Returns the losses. `run` says where checkpoints and the log go (`runs`); there the names of
    the measure's weights begin with "measure.". Under torchrun the pairs are shared out to the
    processes. `redraw` changes the images (n, channels, height, width) of both sides before they
    are embedded, as another hand would (`tasks.hands`).

    Raises as `sample_pairs`, `contrastive_loss` and `training.minimise` do, before any step.
    """
    checks.positive("margin", margin)
    learned = measure if isinstance(measure, nn.Module) else nn.Module()
    weights = learned.named_parameters(prefix="measure")

    def loss() -> Tensor:
        drawn = sample_pairs(image_set, pairs, generator)
        if redraw is not None:
            drawn = drawn._replace(x1=redraw(drawn.x1), x2=redraw(drawn.x2))
        drawn = share(drawn)
        return pair_loss(network, drawn, margin, measure)

    return fit(network, loss, iterations, beta, "Siamese", run, weights)


@torch.no_grad()
def classify(network: nn.Module, episode: Episode, measure: Measure = euclidean_distance) -> Tensor:
    """Return for each query image the label of the nearest support image, (queries,).

    Nearest is the smallest distance, or with a `WeightedL1` the highest probability of being the
    same class. Nothing is trained here.
    """
    support, query = network(episode.support_x), network(episode.query_x)
    # One support image at a time: never more than queries × features numbers at once.
    measured = torch.stack([measure(query, features) for features in support], dim=1)
    alike = measured if isinstance(measure, WeightedL1) else -measured
    return episode.support_y[alike.argmax(dim=1)]


def _check_different(different: Tensor, name: str, like: Tensor) -> None:
    expected = f"{tuple(like.shape)}, that of {name}"
    checks.shape("different", different, expected, different.shape == like.shape)
