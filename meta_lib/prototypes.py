"""Prototypical networks: a learned metric, with one point for each class.

A class is the mean of its support images' embeddings, its prototype; a query belongs to the nearest
prototype. The softmax over minus the squared distances makes that a probability, so the network is
trained on whole episodes, on the very task that it will be judged by. With one shot the prototype
is the support image itself, and the answers are those of a Siamese network: the step from pairs to
episodes. Part 2, "Meta-learning and machine learning", and part 3, "Siamese networks", section "Two
other ways to ask". Snell, Swersky & Zemel (2017), https://arxiv.org/abs/1703.05175.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from meta_lib.machinery import checks
from meta_lib.machinery.features import Embed, embed
from meta_lib.machinery.modes import evaluating
from meta_lib.machinery.runs import Run
from meta_lib.tasks.episodes import Episode
from meta_lib.training import fit

Logits = Callable[[Tensor, Tensor], Tensor]
"""From queries (…, queries, features) and prototypes (…, ways, features) to (…, queries, ways)."""


def prototypes(features: Tensor, labels: Tensor) -> Tensor:
    """Return c_k, the mean of the features with label k, for each k from 0 to N - 1.

    From features (…, support, features) and labels (…, support), in any order, to (…, ways,
    features). Classes may differ in their number of shots. Which classes there are is a value:
    labels on a GPU are waited for, labels on the CPU, which may be those of features anywhere, are
    not.

    Raises TypeError for labels that are no whole numbers, ValueError for other shapes, or if a
    number below the largest label is missing.
    """
    expected = f"{tuple(features.shape[:-1])}, one label for each of the features"
    checks.shape("labels", labels, expected, labels.shape == features.shape[:-1])
    ways = checks.classes("labels", labels)
    members = F.one_hot(labels.long(), ways).to(features)
    return (members / members.sum(dim=-2, keepdim=True)).mT @ features


def euclidean_logits(query: Tensor, prototypes: Tensor) -> Tensor:
    """Return -‖f - c_k‖² for each query f and prototype c_k."""
    # The faster mode of cdist subtracts large numbers from one another.
    return -torch.cdist(query, prototypes, compute_mode="donot_use_mm_for_euclid_dist").square()


def cosine_logits(query: Tensor, prototypes: Tensor, scale: float = 10.0) -> Tensor:
    """Return scale · cos(f, c_k) for each query f and prototype c_k.

    A cosine ends at 1, and so would the softmax's certainty: without a scale, one of five classes
    could never be given more than e² / (e² + 4) = 65 %.

    Raises TypeError or ValueError unless `scale` is positive.
    """
    checks.positive("scale", scale)
    return scale * F.normalize(query, dim=-1) @ F.normalize(prototypes, dim=-1).mT


def episode_loss(
    network: nn.Module, episodes: Episode, logits: Logits = euclidean_logits
) -> Tensor:
    """Return -log p(y = k | x), with p the softmax of the logits, averaged over all queries.

    For one episode or a stack of them, which then share a batch; labels are 0 to N - 1.

    Raises as `features.embed` and `prototypes` do, and ValueError unless each query has its label.
    """
    images = episodes.support_y.ndim - 1
    x = torch.cat([episodes.support_x, episodes.query_x], dim=images)
    # One pass over support and query, as in the authors' code: in training they share their batch.
    features = embed(network, x.flatten(0, images)).unflatten(0, x.shape[: images + 1])
    shots = episodes.support_y.shape[-1]
    support, query = features[..., :shots, :], features[..., shots:, :]
    scores = logits(query, prototypes(support, episodes.support_y))
    labels = episodes.query_y
    expected = f"{tuple(scores.shape[:-1])}, one label for each query"
    checks.shape("query_y", labels, expected, labels.shape == scores.shape[:-1])
    checks.labels_of("query_y", labels, scores.shape[-1])
    return F.cross_entropy(scores.flatten(0, -2), labels.flatten().to(scores.device, torch.long))


def train(
    network: nn.Module,
    sample: Callable[[], Episode],
    iterations: int,
    beta: float = 1e-3,
    logits: Logits = euclidean_logits,
    run: Run | None = None,
) -> list[float]:
    """Train the network in place, on fresh episodes in each iteration, and return the losses.

    `sample` returns a stack of episodes, as `tasks.episodes.sample_episodes` does. The paper trains
    with more ways than it tests with, and with as many shots. `run` says where checkpoints and the
    log go (`runs`).

    Raises as `episode_loss` and `training.minimise` do.
    """

    def loss() -> Tensor:
        return episode_loss(network, sample(), logits)

    return fit(network, loss, iterations, beta, "prototypes", run)


@torch.no_grad()
def classify(network: Embed, episode: Episode, logits: Logits = euclidean_logits) -> Tensor:
    """Return for each query image of one episode its most probable class, (queries,).

    The network answers in evaluation mode and is left in its own (`modes`). Raises as
    `features.embed` and `prototypes` do.
    """
    with evaluating(network, logits):
        means = prototypes(embed(network, episode.support_x), episode.support_y)
        return logits(embed(network, episode.query_x), means).argmax(dim=-1)
