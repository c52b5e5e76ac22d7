"""Answers about one's own images: what each is, how sure that is, and what it is most like.

As in part 5, "Your own images": a query is as far from a class as from its nearest labelled image,
or from the mean of them; a softmax makes probabilities of the distances, its scale fitted on the
labelled images, each left out once.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from meta_lib import confidence
from meta_lib.machinery import runs
from meta_lib.machinery.features import Embed
from meta_lib.machinery.modes import evaluating
from meta_lib.prototypes import prototypes
from meta_lib.siamese import Distance
from meta_lib.tasks.draws import placed
from meta_lib.tasks.episodes import Episode
from meta_lib.tasks.folders import Pictures

HEADS = ("nearest", "prototypes", "logistic")
"""What is made of the features: the nearest image, the nearest mean of a class, or a classifier."""
UNKNOWN = "unknown"


class Metric(NamedTuple):
    """What compares images: an embedding, a distance, and which head answers.

    `name` is what a saved support set is known by: that of this network and no other.
    """

    embed: Embed
    measure: Distance
    head: str
    name: str


class Support(NamedTuple):
    """Labelled images, embedded: the names of classes and files, labels, features and images."""

    classes: list[str]
    files: list[str]
    labels: Tensor
    features: Tensor
    images: Tensor


def name_of(tensors: dict[str, Tensor]) -> str:
    """Return a digest of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def embedded(metric: Metric, images: Tensor) -> Tensor:
    """Return the features of images, the network in evaluation mode."""
    with evaluating(metric.embed):
        return confidence.embed_all(metric.embed, images)


def support_of(found: dict[str, Pictures], metric: Metric | None) -> Support:
    """Return a folder's labelled images, embedded; without a metric, their pixels."""
    images = torch.cat([pictures.images for pictures in found.values()])
    files = [f"{name}/{file.name}" for name, each in found.items() for file in each.files]
    labels = torch.tensor([k for k, each in enumerate(found.values()) for _ in each.files])
    features = embedded(metric, images) if metric else images.flatten(1)
    return Support(list(found), files, labels, features, images)


def save(path: Path, support: Support, metric: Metric, read: dict[str, Any]) -> None:
    """Write a support set, to be used without its images; `read` says how these were read."""
    about = {"classes": support.classes, "files": support.files, "network": metric.name}
    tensors = {"labels": support.labels, "features": support.features, "images": support.images}
    runs.write_whole(path, runs.pack(runs.Saved(tensors, {**about, "read": read}, 0)))


def load(path: Path, metric: Metric, read: dict[str, Any]) -> Support:
    """Return a saved support set.

    Raises NotACheckpoint for a file that is none, ValueError for one that was made with another
    network or by another reading.
    """
    saved = runs.unpack(path.read_bytes(), path)
    about, tensors = saved.config, saved.tensors
    if "classes" not in about or "features" not in tensors:
        raise runs.NotACheckpoint(f"{path} is no support set, as --save writes it")
    if about["network"] != metric.name:
        raise ValueError(f"{path} was saved with another network than this one")
    if about["read"] != read:
        raise ValueError(f"{path} was saved with images read as {about['read']}, not {read}")
    features, images = placed(tensors["features"]), placed(tensors["images"])
    return Support(about["classes"], about["files"], tensors["labels"], features, images)


@torch.no_grad()
def class_distances(support: Support, features: Tensor, metric: Metric) -> Tensor:
    """Return how far features are from each class, (queries, ways)."""
    with evaluating(metric.measure):
        if metric.head == "prototypes":
            means = prototypes(support.features, support.labels)
            return confidence.all_distances(features, means, metric.measure)
    return confidence.class_distances(
        lambda known: known, support.features, support.labels, features, metric.measure
    )


@torch.no_grad()
def left_out(support: Support, metric: Metric) -> tuple[Tensor, Tensor]:
    """Return how far each labelled image is from each class without itself, and its label.

    Of the images that are not the only one of their class: (images, ways) and (images,).
    """
    labels, features = support.labels, support.features
    shots = torch.bincount(labels)
    chosen = (shots[labels] > 1).nonzero()[:, 0]
    if not len(chosen):
        return features.new_empty(0, len(shots)), labels[:0]
    with evaluating(metric.measure):
        if metric.head == "prototypes":
            means = prototypes(features, labels)
            found = confidence.all_distances(features[chosen], means, metric.measure)
            count = shots[labels[chosen], None].to(features)
            others = (count * means[labels[chosen]] - features[chosen]) / (count - 1)
            own = metric.measure(features[chosen], others)
            found[torch.arange(len(chosen)), labels[chosen]] = own
        else:
            found = confidence.nearest(confidence.from_others(features, metric.measure), labels)
            found = found[chosen]
    return found, labels[chosen]


class Asked(NamedTuple):
    """The answers: labels and probabilities (queries,), and what the labelled images say.

    `distance` is that to the class that is named, `nearest` the labelled image of that class that
    is nearest, and `about` the scale and how the labelled images fare when each is left out.
    """

    labels: Tensor
    probability: Tensor | None
    distance: Tensor
    nearest: Tensor
    about: dict[str, Any]


def ask(support: Support, features: Tensor, metric: Metric) -> Asked:
    """Answer for the features of queries.

    Without two labelled images of any class there are no probabilities, but for the logistic head,
    which brings its own.
    """
    D = class_distances(support, features, metric)
    about: dict[str, Any] = {"scale": None}
    without, known = left_out(support, metric)
    if len(known):
        about = {
            "scale": confidence.fit_scale(without, known.to(without.device)),
            "left_out": len(known),
            "left_out_right": int((without.argmin(dim=1).cpu() == known).sum()),
            "own_distance": without[torch.arange(len(known)), known].quantile(0.95).item(),
        }
    p = confidence.probabilities(D, about["scale"]) if len(known) else None
    if metric.head == "logistic":
        p, about = _logistic(support, features), {"scale": None}
    labels = D.argmin(dim=1) if p is None or metric.head != "logistic" else p.argmax(dim=1)
    rows = torch.arange(len(D))
    with torch.no_grad(), evaluating(metric.measure):
        apart = confidence.all_distances(features, support.features, metric.measure)
    other = support.labels.to(labels.device)[None] != labels[:, None]
    nearest = apart.masked_fill(other, torch.inf).argmin(dim=1)
    return Asked(labels, None if p is None else p[rows, labels], D[rows, labels], nearest, about)


def classify(metric: Metric, episode: Episode) -> Tensor:
    """Return the labels of a task's queries, by the head of the metric."""
    x, labels = episode.support_x, episode.support_y
    support = Support([], [], labels, embedded(metric, x), x)
    features = embedded(metric, episode.query_x)
    if metric.head == "logistic":
        return _logistic(support, features).argmax(dim=1)
    return class_distances(support, features, metric).argmin(dim=1)


def _logistic(support: Support, features: Tensor) -> Tensor:
    """Return the probabilities of a logistic regression on the directions of the features."""

    def directions(x: Tensor) -> Any:
        return nn.functional.normalize(x, dim=1).cpu().double().numpy()

    head = LogisticRegression(C=10.0, max_iter=1000)
    head.fit(directions(support.features), support.labels.cpu().numpy())
    return torch.from_numpy(head.predict_proba(directions(features))).to(features)


def lines(
    asked: Asked,
    support: Support,
    files: Sequence[str],
    threshold: float | None = None,
    farthest: float | None = None,
) -> list[dict[str, Any]]:
    """Return a line for each query: file, class, probability, distance and nearest image.

    An answer with a probability below the `threshold`, or `farthest` or more away, is "unknown".

    Raises ValueError for a threshold where there are no probabilities.
    """
    if threshold is not None and asked.probability is None:
        raise ValueError(
            "threshold must be left out, because no class has two labelled images, of which one "
            "could be left out, and so there are no probabilities"
        )
    if UNKNOWN in support.classes and (threshold, farthest) != (None, None):
        raise ValueError(f"no class may be named {UNKNOWN}, where answers may be refused")
    count = len(asked.labels)
    p = [None] * count if asked.probability is None else asked.probability.tolist()
    found = zip(
        files, asked.labels.tolist(), p, asked.distance.tolist(), asked.nearest.tolist(),
        strict=True,
    )  # fmt: skip
    return [
        {
            "file": file,
            "class": UNKNOWN
            if (threshold is not None and sure < threshold)
            or (farthest is not None and distance >= farthest)
            else support.classes[label],
            "probability": sure,
            "distance": distance,
            "nearest": support.files[nearest],
        }
        for file, label, sure, distance, nearest in found
    ]
