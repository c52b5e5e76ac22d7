"""The learners of the command line: each is built from its settings, trained, and asked.

Here the book's algorithms meet the data: which network, which loss, what a meta-batch is. Explained
in part 5, "Few-shot character recognition". A learner's settings are a dictionary that JSON can
hold; they are stored in its checkpoint, and build it again.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib import lstm_optimizer, maml, prototypes, runs, siamese
from meta_lib.device import device
from meta_lib.distributed import share
from meta_lib.networks import conv_network, flatten, loss_of, parameters_of
from meta_lib.runs import NotACheckpoint, Run
from meta_lib.tasks.episodes import Episode, ImageSet, sample_episodes

Settings = dict[str, Any]

VARIANTS = ("second-order", "first-order", "anil", "meta-sgd", "reptile")
MEASURES = {
    "euclidean": siamese.euclidean_distance,
    "cosine": siamese.cosine_distance,
    "weighted-l1": None,  # has weights of its own
}
LOGITS = {"euclidean": prototypes.euclidean_logits, "cosine": prototypes.cosine_logits}


class Learner(NamedTuple):
    """What all learners can do.

    `weights` and `buffers` are its tensors by name, as they stand in its checkpoint. `train` takes
    an image set, a generator and a run and returns the losses. `classify` goes from an episode to
    the labels of its queries.
    """

    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]
    train: Callable[[ImageSet, Generator, Run], list[float]]
    classify: Callable[[Episode], Tensor]


def siamese_network(settings: Settings) -> Learner:
    """Build a Siamese network: `measure`, `features`, `filters`, `pairs`, `margin`, `beta`."""
    network = _embedding(settings)
    measure = MEASURES[settings["measure"]] or siamese.WeightedL1(settings["features"])
    weights = dict(network.named_parameters())
    if isinstance(measure, nn.Module):
        weights |= measure.named_parameters(prefix="measure")

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        return siamese.train(
            network,
            image_set,
            settings["iterations"],
            generator,
            settings["pairs"],
            settings["margin"],
            settings["beta"],
            measure,
            run,
        )

    classify = partial(siamese.classify, network, measure=measure)
    return Learner(weights, dict(network.named_buffers()), train, classify)


def prototypical_network(settings: Settings) -> Learner:
    """Build a prototypical network: `distance`, `features`, `filters`, `tasks`, `beta`."""
    network, logits = _embedding(settings), LOGITS[settings["distance"]]

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        sample = _sampler(settings, image_set, generator)
        return prototypes.train(
            network, sample, settings["iterations"], settings["beta"], logits, run
        )

    weights, buffers = dict(network.named_parameters()), dict(network.named_buffers())
    return Learner(weights, buffers, train, partial(prototypes.classify, network, logits=logits))


def maml_learner(settings: Settings) -> Learner:
    """Build MAML or a relative: `variant`, `ways`, `filters`, `alpha`, `steps`, `tasks`, `beta`."""
    network = conv_network(settings["ways"], settings["filters"])
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    alpha, weights = settings["alpha"], dict(phi)
    if settings["variant"] == "anil":
        alpha = maml.head_rates(phi, alpha)
    if settings["variant"] == "meta-sgd":
        alpha = maml.learned_rates(phi, alpha)
        weights |= {f"alpha.{name}": rate for name, rate in alpha.items()}

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        trained, losses = maml.train(
            network,
            loss,
            _sampler(settings, image_set, generator),
            settings["iterations"],
            alpha,
            settings["beta"],
            settings["steps"],
            first_order=settings["variant"] == "first-order",
            reptile=settings["variant"] == "reptile",
            chunk=None if device().type == "cuda" else 4,
            run=run,
        )
        for name, weight in trained.items():
            phi[name].copy_(weight)
        return losses

    def classify(episode: Episode) -> Tensor:
        return maml.classify(network, loss, phi, episode, alpha, settings["steps"])

    return Learner(weights, {}, train, classify)


def lstm_learner(settings: Settings) -> Learner:
    """Build the gated LSTM: `ways`, `filters`, `hidden`, `steps`, `tasks`, `beta`."""
    network = conv_network(settings["ways"], settings["filters"])
    loss, like = loss_of(network, F.cross_entropy), parameters_of(network)
    optimizer = lstm_optimizer.GatedOptimizer(flatten(like), settings["hidden"])

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        return lstm_optimizer.train_gated(
            optimizer,
            loss,
            like,
            _sampler(settings, image_set, generator),
            settings["iterations"],
            settings["steps"],
            settings["beta"],
            run=run,
        )

    def classify(episode: Episode) -> Tensor:
        return lstm_optimizer.classify(optimizer, network, loss, episode, settings["steps"])

    return Learner(dict(optimizer.named_parameters()), {}, train, classify)


BUILD = {
    "siamese": siamese_network,
    "protonet": prototypical_network,
    "maml": maml_learner,
    "lstm": lstm_learner,
}
FIXED_WAYS = ("maml", "lstm")
"""Learners whose network has one output for each of the ways that they were trained on."""


def build(settings: Settings) -> Learner:
    """Return the learner with these settings, its first weights drawn from their `seed`."""
    torch.manual_seed(settings["seed"])
    return BUILD[settings["learner"]](settings)


def train(
    learner: Learner, settings: Settings, image_set: ImageSet, folder: str | os.PathLike, every: int
) -> list[float]:
    """Train the learner, or go on with its training, in a folder of its own; return the losses.

    A checkpoint falls on every `every`-th iteration.

    Raises as the learner's own `train` and `runs.resume` do.
    """
    generator = Generator().manual_seed(settings["seed"])
    run = Run(folder, settings, every, {"tasks": generator}, learner.buffers)
    return learner.train(image_set, generator, run)


def load(path: str | os.PathLike) -> tuple[Learner, Settings]:
    """Return the learner of a checkpoint, a model or a run's folder, and its settings.

    Raises FileNotFoundError if nothing is there, NotACheckpoint for what is no learner's.
    """
    saved = runs.read_model(path)
    try:
        learner = build(saved.config)
    except (KeyError, TypeError, ValueError) as error:
        raise NotACheckpoint(f"{path} holds no learner of this library ({error})") from error
    tensors = learner.weights | learner.buffers
    shapes, found = ({n: t.shape for n, t in some.items()} for some in (tensors, saved.tensors))
    if shapes != found:
        raise NotACheckpoint(f"{path} holds other weights than its own settings ask for")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved.tensors[name])
    return learner, saved.config


def _embedding(settings: Settings) -> nn.Sequential:
    network = conv_network(settings["features"], settings["filters"], running_statistics=True)
    return network.eval()


def _sampler(
    settings: Settings, image_set: ImageSet, generator: Generator
) -> Callable[[], Episode]:
    shape = [settings[name] for name in ("tasks", "ways", "shots", "queries")]
    return lambda: share(sample_episodes(image_set, *shape, generator))
