"""Siamese networks: a learned metric.

One network embeds both images of a pair, and a measure says how far apart the two embeddings are
and what that costs. The contrastive loss pulls images of the same class together and pushes images
of different classes apart, up to a margin; the cross-entropy asks whether the class is the same. A
new class needs one example: the nearest support image gives the answer. Explained in part 3,
"Siamese networks". Bromley et al. (1993); Hadsell, Chopra & LeCun (2006),
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
from meta_lib.machinery.features import Embed, embed
from meta_lib.machinery.modes import evaluating
from meta_lib.machinery.runs import Run
from meta_lib.tasks.draws import Source, whole_below
from meta_lib.tasks.episodes import Episode, ImageSet, check_episode
from meta_lib.training import fit

Distance = Callable[[Tensor, Tensor], Tensor]
"""From two sets of features that broadcast, (…, features), to how far apart they are, (…): the
smaller, the more alike. `euclidean_distance`, `cosine_distance`, or any `Measure`."""


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


def contrastive_loss(distance: Tensor, different: Tensor, margin: float = 1.0) -> Tensor:
    """Return L = (1 - Y) ½ D² + Y ½ max(0, m - D)² for each pair.

    `distance` is D and `different` is Y, both (pairs,): Y is 0 for a similar pair and 1 for a
    dissimilar one, as in Hadsell, Chopra & LeCun (2006), in numbers or booleans. A dissimilar pair
    beyond the margin has neither loss nor gradient.

    Many libraries flip Y. It is 1 for a similar pair in sentence-transformers and TensorFlow
    Addons; PyTorch's CosineEmbeddingLoss and HingeEmbeddingLoss have 1 for similar and -1 for
    dissimilar; pytorch-metric-learning takes class labels, and calls pairs of one class positive.

    Raises ValueError for a margin that is not positive, for shapes that differ, or for a Y that is
    neither 0 nor 1 (on a GPU, whose numbers are not waited for, the loss is NaN then).
    """
    checks.positive("margin", margin)
    Y = _labels(different, distance)
    together = 0.5 * distance.square()
    apart = 0.5 * (margin - distance).clamp(min=0).square()
    return (1 - Y) * together + Y * apart


def cross_entropy_loss(distance: Tensor, different: Tensor) -> Tensor:
    """Return L = -(1 - Y) log p - Y log(1 - p) for each pair, with p = sigmoid(-distance).

    `distance` is what `WeightedL1` gives and `different` is Y, both (pairs,). Koch, Zemel &
    Salakhutdinov (2015) have y = 1 - Y, 1 for the same class.

    Raises as `contrastive_loss` does for shapes that differ and for another Y.
    """
    Y = _labels(different, distance)
    return F.binary_cross_entropy_with_logits(-distance, 1 - Y, reduction="none")


class Measure(nn.Module):
    """A distance and what it costs: what a Siamese network is trained by.

    Called with two sets of features, it is a `Distance`. Weights of its own are trained along.
    """

    def loss(self, distance: Tensor, different: Tensor) -> Tensor:
        """Return the loss of each pair, (pairs,), from its distance and its Y, both (pairs,)."""
        raise NotImplementedError(f"{type(self).__name__} must say what a pair costs, by `loss`")


class Contrastive(Measure):
    """Any distance with the contrastive loss, the plain Siamese network (Hadsell et al. 2006)."""

    def __init__(self, distance: Distance = euclidean_distance, margin: float = 1.0):
        """Make the measure. Raises TypeError or ValueError for a margin that is not positive."""
        super().__init__()
        checks.positive("margin", margin)
        self.distance, self.margin = distance, margin

    def forward(self, features_1: Tensor, features_2: Tensor) -> Tensor:
        """Return the distance."""
        return self.distance(features_1, features_2)

    def loss(self, distance: Tensor, different: Tensor) -> Tensor:
        """Return the contrastive loss of each pair."""
        return contrastive_loss(distance, different, self.margin)


class WeightedL1(Measure):
    """Koch, Zemel & Salakhutdinov's (2015) measure: D = -(Σⱼ aⱼ |f1ⱼ - f2ⱼ| + b), p = sigmoid(-D).

    p is the probability that two images are of the same class. The weights a and b are learned
    with the network; they start as plain L1 distance, a = -1 and b = 0. The paper writes no b, but
    without it two equal images would have p = ½ whatever is learned. D may become negative, which
    no true distance can.
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
        """Return D, minus the logit of p: the smaller, the more alike."""
        return -((features_1 - features_2).abs() @ self.a + self.b)

    def loss(self, distance: Tensor, different: Tensor) -> Tensor:
        """Return the cross-entropy of each pair."""
        return cross_entropy_loss(distance, different)


EUCLIDEAN = Contrastive()
"""The measure unless told otherwise: the contrastive loss of D = ‖f1 - f2‖₂ with a margin of 1."""


def sample_pairs(image_set: ImageSet, pairs: int, generator: Source, similar: float = 0.5) -> Pairs:
    """Draw pairs of two different images, first those of one class, then those of two.

    Each class is as likely as any other, however many images it has. `similar` is the share of
    the pairs that are of one class, rounded to whole pairs.

    Raises TypeError or ValueError unless `pairs` is an even number of at least 2, the set has
    at least 2 classes of at least 2 images, and `similar` is from 0 to 1.
    """
    checks.whole_number("pairs", pairs, at_least=2)
    if pairs % 2:
        raise ValueError(f"pairs must be even, half of them similar, but was {pairs}")
    check_episode(image_set, ways=2, shots=1, queries=1)
    if not 0 <= similar <= 1:
        raise ValueError(f"similar must be from 0 to 1, but was {similar}")
    classes = list(image_set.values())
    sizes = torch.tensor([len(images) for images in classes])
    different = (torch.arange(pairs) >= round(similar * pairs)).long()
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


def pair_loss(network: nn.Module, pairs: Pairs, measure: Measure = EUCLIDEAN) -> Tensor:
    """Return the mean loss of the pairs, both sides embedded by the same network.

    Raises as `features.embed` and the measure's loss do, TypeError for a distance that brings no
    loss, and ValueError if x1 and x2 differ in their shapes.
    """
    x1, x2, different = pairs
    _check_measure(measure)
    checks.shape("x2", x2, f"{tuple(x1.shape)}, that of x1", x2.shape == x1.shape)
    # One pass over both sides: the twins share their weights and, in training, their batch.
    features_1, features_2 = embed(network, torch.cat([x1, x2])).chunk(2)
    return measure.loss(measure(features_1, features_2), different).mean()


def train(
    network: nn.Module,
    image_set: ImageSet,
    iterations: int,
    generator: Generator,
    pairs: int = 128,
    beta: float = 1e-3,
    measure: Measure = EUCLIDEAN,
    run: Run | None = None,
    redraw: Callable[[Tensor], Tensor] | None = None,
) -> list[float]:
    """Train the network, and the measure's weights with it, on fresh pairs in each iteration.

    Both change in place. Returns the losses. `run` says where checkpoints and the log go (`runs`);
    there the names of the measure's weights begin with "measure.". Under torchrun the pairs are
    shared out to the processes. `redraw` changes the images (n, channels, height, width) of both
    sides before they are embedded, as another hand would (`tasks.hands`).

    Raises as `sample_pairs`, `pair_loss` and `training.minimise` do, before any step.
    """
    _check_measure(measure)

    def loss() -> Tensor:
        drawn = sample_pairs(image_set, pairs, generator)
        if redraw is not None:
            drawn = drawn._replace(x1=redraw(drawn.x1), x2=redraw(drawn.x2))
        return pair_loss(network, share(drawn), measure)

    weights = measure.named_parameters(prefix="measure")
    return fit(network, loss, iterations, beta, "Siamese", run, weights)


@torch.no_grad()
def classify(network: Embed, episode: Episode, measure: Distance = euclidean_distance) -> Tensor:
    """Return for each query image the label of the nearest support image, (queries,).

    Nearest is what has the smallest distance. Nothing is trained here: the network answers in
    evaluation mode and is left in its own (`modes`).

    Raises as `features.embed` does, and ValueError unless each support image has its label.
    """
    support_x, labels, query_x, _ = episode
    expected = f"({len(support_x)},), one label for each image"
    checks.shape("support_y", labels, expected, labels.shape == support_x.shape[:1])
    with evaluating(network, measure):
        support, query = embed(network, support_x), embed(network, query_x)
        # One support image at a time: never more than queries × features numbers at once.
        distance = torch.stack([measure(query, features) for features in support], dim=1)
    return labels[distance.argmin(dim=1)]


def _check_measure(measure: object) -> None:
    if not isinstance(measure, Measure):
        was = getattr(measure, "__name__", repr(measure))
        raise TypeError(
            f"measure must bring its loss, as Contrastive(cosine_distance) does, but was {was}"
        )


def _labels(different: Tensor, distance: Tensor) -> Tensor:
    """Return Y as numbers of the distance's kind."""
    Y = checks.zero_or_one("different", different, distance)
    expected = f"{tuple(distance.shape)}, that of distance"
    checks.shape("different", Y, expected, Y.shape == distance.shape)
    return Y
