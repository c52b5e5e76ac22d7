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

from meta_lib import all_pairs, gated_optimizer, maml, prototypes, siamese
from meta_lib.command_line import experiments
from meta_lib.command_line.experiments import Experiment
from meta_lib.inner_rules import learned_in
from meta_lib.machinery import runs
from meta_lib.machinery.chunks import best_chunk
from meta_lib.machinery.distributed import share
from meta_lib.machinery.runs import NotACheckpoint, Run
from meta_lib.networks import (
    by_cosine,
    conv_network,
    flatten,
    loss_of,
    parameters_of,
    pooled_network,
)
from meta_lib.rivals import pretrained
from meta_lib.tasks.episodes import Episode, ImageSet, stack, task_source
from meta_lib.tasks.hands import other_hand

Settings = dict[str, Any]

VARIANTS = ("second-order", "first-order", "anil", "meta-sgd", "reptile")
MEASURES: dict[str, Callable[[Settings], siamese.Measure]] = {
    "euclidean": lambda s: siamese.Contrastive(siamese.euclidean_distance, s["margin"]),
    "cosine": lambda s: siamese.Contrastive(siamese.cosine_distance, s["margin"]),
    "weighted-l1": lambda s: siamese.WeightedL1(s["features"]),
}
DISTANCES: dict[str, siamese.Distance] = {
    "euclidean": siamese.euclidean_distance,
    "cosine": siamese.cosine_distance,
}
LOGITS = {"euclidean": prototypes.euclidean_logits, "cosine": prototypes.cosine_logits}


class Learner(NamedTuple):
    """What all learners can do.

    `weights` and `buffers` are its tensors by name, as they stand in its checkpoint. `train` takes
    an image set, a generator and a run and returns the losses. `classify` goes from an episode to
    the labels of its queries. Learners of a metric have more: `embed` goes from images to feature
    vectors, by a `network`; a `measure` says how far apart two are; and a query has the class of
    the nearest image, or `by_means` of the nearest mean of a class.
    """

    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]
    train: Callable[[ImageSet, Generator, Run], list[float]]
    classify: Callable[[Episode], Tensor]
    embed: Callable[[Tensor], Tensor] | None = None
    network: nn.Module | None = None
    measure: siamese.Distance | None = None
    by_means: bool = False


def siamese_network(settings: Settings) -> Learner:
    """Build a Siamese network: `measure`, `loss`, `network`, `filters`, `pairs`, `beta`, ….

    With the `loss` "contrastive" it is trained on drawn `pairs` with a `margin`; with "softmax" on
    all pairs of its tasks' images, with a `scale`. It answers by the mean embedding of each image
    and `copies` redrawn ones.

    Raises ValueError for a softmax with another measure than "cosine", and for copies of images in
    colour, which cannot be redrawn.
    """
    network, copies = _embedding(settings), settings["copies"]
    measure = MEASURES[settings["measure"]](settings)
    if settings["loss"] == "softmax" and settings["measure"] != "cosine":
        raise ValueError(
            f"measure must be cosine for the loss softmax, but was {settings['measure']}"
        )
    if copies and _channels(settings) != 1:
        raise ValueError("copies must be left out with 3 channels: what is redrawn is ink")
    weights: dict[str, Tensor] = dict(network.named_parameters())
    weights.update(measure.named_parameters(prefix="measure"))

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        if settings["loss"] == "softmax":
            return all_pairs.train(
                network,
                _sampler(settings, image_set, generator),
                settings["iterations"],
                settings["beta"],
                settings["scale"],
                run,
            )
        return siamese.train(
            network,
            image_set,
            settings["iterations"],
            generator,
            settings["pairs"],
            settings["beta"],
            measure,
            run,
            _redraw(settings, generator),
        )

    embed: Any = partial(all_pairs.embed_copies, network, copies=copies) if copies else network
    classify = partial(siamese.classify, embed, measure=measure)
    buffers = dict(network.named_buffers())
    return Learner(weights, buffers, train, classify, embed, network, measure)


def prototypical_network(settings: Settings) -> Learner:
    """Build a prototypical network: `distance`, `features`, `filters`, `tasks`, `beta`."""
    network, logits = _embedding(settings), LOGITS[settings["distance"]]

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        sample = _sampler(settings, image_set, generator)
        return prototypes.train(
            network, sample, settings["iterations"], settings["beta"], logits, run
        )

    classify = partial(prototypes.classify, network, logits=logits)
    return _of_means(network, train, classify, DISTANCES[settings["distance"]])


def pretrained_network(settings: Settings) -> Learner:
    """Build the features of an ordinary classifier: `network`, `filters`, `batch`, `beta`."""
    network = _embedding(settings)

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        return pretrained.train(
            network,
            image_set,
            settings["iterations"],
            generator,
            settings["batch"],
            settings["beta"],
            run,
            _redraw(settings, generator),
        )

    classify = partial(prototypes.classify, network)
    return _of_means(network, train, classify, siamese.euclidean_distance)


def maml_learner(settings: Settings) -> Learner:
    """Build MAML or a relative: `variant`, `ways`, `filters`, `alpha`, `steps`, `tasks`, `beta`.

    It is trained with `steps` inner steps, and answers after `test_steps`. The other settings may
    be missing, as they are in older checkpoints: `layer_rates` learns the inner rates, those of all
    layers but the last from `body_alpha` on; `multi_step` counts the loss after each inner step;
    `network` may be "pooled"; `cosine` brings the features to one length before the last layer; and
    `body` names a training of an embedding by the same network, whose layers it begins with.

    Raises ValueError for learned rates with a `variant` that has its own, and for a `body_alpha`
    without learned rates; its `train` for a body that is another network's, or has seen other
    classes.
    """
    if settings.get("network") == "pooled":
        network = pooled_network(
            settings["filters"], settings["ways"], settings["size"], _channels(settings)
        )
    else:
        network = _classifier(settings)
    if settings.get("cosine"):
        network = by_cosine(network)
    loss, phi = loss_of(network, F.cross_entropy), parameters_of(network)
    head = str(len(network) - 1)
    alpha: maml.Alpha = settings["alpha"]
    if settings["variant"] == "anil":
        alpha = maml.head_rates(phi, settings["alpha"], head)
    if settings["variant"] == "meta-sgd":
        alpha = maml.learned_rates(phi, settings["alpha"])
    if settings.get("layer_rates"):
        if settings["variant"] not in ("second-order", "first-order"):
            raise ValueError(f"layer_rates must be left out for the variant {settings['variant']}")
        body_alpha: float = settings.get("body_alpha") or settings["alpha"]
        start = {name: body_alpha for name in phi} | maml.head_rates(phi, settings["alpha"], head)
        alpha = maml.layer_rates(phi, start, settings["steps"])
    elif settings.get("body_alpha"):
        raise ValueError("body_alpha must be left out without layer_rates")
    weights, objective = phi | learned_in(alpha), _objective(settings)

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        if settings.get("body"):
            body = runs.read_model(settings["body"])
            _check_same_classes(body.config, settings)
            take_body(network, body.tensors)
        trained, losses = maml.train(
            network,
            loss,
            _sampler(settings, image_set, generator),
            settings["iterations"],
            alpha,
            settings["beta"],
            settings["steps"],
            objective,
            chunk=best_chunk(),
            decay=settings["decay"],
            run=run,
        )
        for name, weight in trained.items():
            phi[name].copy_(weight)
        return losses

    def classify(episode: Episode) -> Tensor:
        steps, alone = settings["test_steps"], settings.get("one_by_one", False)
        return maml.classify(network, loss, phi, episode, alpha, steps, alone)

    return Learner(weights, {}, train, classify)


@torch.no_grad()
def take_body(network: nn.Sequential, embedding: dict[str, Tensor]) -> None:
    """Give a network the weights of an embedding of the same layers, and a last layer of zeros.

    To begin MAML from features that were learned before is Ye & Chao's (2022) advice,
    https://arxiv.org/abs/2106.16245. With a last layer of zeros all classes are alike at first, and
    the first inner step makes each class's row out of the features of its own support images (Kao,
    Chiu & Chen 2022, https://arxiv.org/abs/2106.15367).

    Raises ValueError if the embedding is another network's.
    """
    head = list(network)[-1]
    for name, weight in network[:-1].named_parameters():
        # Batch normalisation's are (channels, 1, 1) here, and (channels,) where it keeps averages.
        if name not in embedding or embedding[name].numel() != weight.numel():
            raise ValueError(f"body must be of the same network, but has no such {name}")
        weight.copy_(embedding[name].view_as(weight))
    for weight in head.parameters():
        weight.zero_()


def lstm_learner(settings: Settings) -> Learner:
    """Build the gated LSTM: `ways`, `filters`, `hidden`, `steps`, `tasks`, `beta`."""
    network = _classifier(settings)
    loss, like = loss_of(network, F.cross_entropy), parameters_of(network)
    optimizer = gated_optimizer.GatedOptimizer(flatten(like), settings["hidden"])

    def train(image_set: ImageSet, generator: Generator, run: Run) -> list[float]:
        return gated_optimizer.train(
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
        steps, alone = settings["steps"], settings.get("one_by_one", False)
        return gated_optimizer.classify(optimizer, network, loss, episode, steps, alone)

    return Learner(dict(optimizer.named_parameters()), {}, train, classify)


BUILD: dict[str, Callable[[Settings], Learner]] = {
    "siamese": siamese_network,
    "protonet": prototypical_network,
    "pretrained": pretrained_network,
    "maml": maml_learner,
    "lstm": lstm_learner,
}
FIXED_WAYS = ("maml", "lstm")
"""Learners whose network has one output for each of the ways that they were trained on."""


def build(settings: Settings) -> Learner:
    """Return the learner that these settings describe, its first weights from their `seed`."""
    torch.manual_seed(settings["seed"])
    return BUILD[settings["learner"]](settings)


def begin(
    learner: Learner | Experiment, settings: Settings, folder: str | os.PathLike, every: int
) -> tuple[Generator, Run]:
    """Return the generator and the run for a training of the learner, or for going on with it.

    The folder is the training's own. A checkpoint falls on every `every`-th iteration.
    """
    generator = Generator().manual_seed(settings["seed"])
    generators, free = {"tasks": generator}, ("data_folder",)
    return generator, Run(folder, settings, every, generators, learner.buffers, free)


def load(path: str | os.PathLike, **changes: Any) -> tuple[Learner | Experiment, Settings]:
    """Return the learner of a checkpoint, a model or a run's folder, and its settings.

    `changes` are settings that are to be others than in training, such as the `copies`.

    Raises FileNotFoundError if nothing is there, NotACheckpoint for what is no learner's.
    """
    saved = runs.read_model(path)
    settings = {**saved.config, **changes}
    try:
        learner = (build if settings["learner"] in BUILD else experiments.build)(settings)
    except (KeyError, TypeError, ValueError) as error:
        raise NotACheckpoint(f"{path} holds no learner of this library ({error})") from error
    tensors = learner.weights | learner.buffers
    shapes, found = ({n: t.shape for n, t in some.items()} for some in (tensors, saved.tensors))
    if shapes != found:
        raise NotACheckpoint(f"{path} holds other weights than its own settings ask for")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved.tensors[name])
    return learner, settings


def load_learner(path: str | os.PathLike, **changes: Any) -> tuple[Learner, Settings]:
    """Return what `load` does, for a checkpoint that can classify.

    Raises ValueError for an experiment's, which cannot; else as `load` does.
    """
    learner, settings = load(path, **changes)
    if isinstance(learner, Experiment):
        raise ValueError(
            f"{path} must hold one of {', '.join(BUILD)}, which classify images, but holds "
            f"{settings['learner']}"
        )
    return learner, settings


def check_ways(settings: Settings, ways: int) -> None:
    """Raise ValueError if a learner of these settings cannot tell so many classes apart."""
    if settings["learner"] in FIXED_WAYS and ways != settings["ways"]:
        raise ValueError(
            f"this {settings['learner']} was trained for {settings['ways']} classes in a task, "
            f"and cannot tell {ways} apart; train one with --ways {ways}, or use siamese or "
            "protonet, which take any number"
        )


def _of_means(
    network: nn.Module,
    train: Callable[[ImageSet, Generator, Run], list[float]],
    classify: Callable[[Episode], Tensor],
    measure: siamese.Distance,
) -> Learner:
    """Return the learner whose tensors are the network's, and whose embedding is its output."""
    weights, buffers = network.named_parameters(), network.named_buffers()
    return Learner(
        dict(weights), dict(buffers), train, classify, network, network, measure, by_means=True
    )


def _embedding(settings: Settings) -> nn.Sequential:
    channels = _channels(settings)
    if settings["network"] == "pooled":
        network = pooled_network(settings["filters"], channels=channels)
    else:
        network = conv_network(
            settings["features"], settings["filters"], running_statistics=True, channels=channels
        )
    return network.eval()


def _classifier(settings: Settings) -> nn.Sequential:
    return conv_network(settings["ways"], settings["filters"], channels=_channels(settings))


def _channels(settings: Settings) -> int:
    return settings.get("channels", 1)  # older checkpoints do not name theirs


def _sampler(
    settings: Settings, image_set: ImageSet, generator: Generator
) -> Callable[[], Episode]:
    """Return a function that draws a meta-batch, some of its tasks within a group of classes."""
    shape = (settings["ways"], settings["shots"], settings["queries"])
    task, redraw = task_source(image_set, *shape, generator), _redraw(settings, generator)

    def within() -> bool:
        return bool(torch.rand((), generator=generator) < settings["within"])

    def sample() -> Episode:
        drawn = stack([task(within()) for _ in range(settings["tasks"])])
        if redraw is not None:
            drawn = drawn._replace(support_x=redraw(drawn.support_x), query_x=redraw(drawn.query_x))
        return share(drawn)

    return sample


def _objective(settings: Settings) -> maml.MetaLoss:
    """Return what MAML's outer loop minimises.

    Raises ValueError for a `multi_step` loss with a `variant` that has a meta-loss of its own.
    """
    if settings.get("multi_step"):
        if settings["variant"] in ("first-order", "reptile"):
            raise ValueError(f"multi_step must be left out for the variant {settings['variant']}")
        return maml.multi_step_loss
    of = {"first-order": maml.first_order_loss, "reptile": maml.reptile_loss}
    return of.get(settings["variant"], maml.meta_loss)


def _check_same_classes(one: Settings, other: Settings) -> None:
    """Refuse two trainings of which one may have seen what the other is to be judged by."""
    for name, default in (("data", None), ("part", "train"), ("split", "alphabets")):
        found, wanted = one.get(name, default), other.get(name, default)
        if found != wanted:
            raise ValueError(f"body must be trained with the {name} {wanted}, but was with {found}")


def _redraw(settings: Settings, generator: Generator) -> Callable[[Tensor], Tensor] | None:
    """Return what gives images another hand, or None without `distort`.

    Raises ValueError for images in colour: what is shifted in from beside them is 0, paper for ink
    and black for colours.
    """
    if not settings["distort"]:
        return None
    if _channels(settings) != 1:
        raise ValueError("distort must be left out with 3 channels: it redraws ink")
    how = dict(generator=generator, strength=settings["distort"], bend=settings["bend"])
    return partial(other_hand, **how)
