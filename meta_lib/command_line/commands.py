"""The command line: train a learner, evaluate it, classify one's own images.

`python -m meta_lib --help` tells how. Explained in part 5, "Few-shot character recognition".
Results go to standard output, as text or with --json as one JSON object; progress goes to standard
error. The exit code is 0, or 1 if it failed, or 2 if it was asked for in a wrong way.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import click
from torch import nn

from meta_lib.command_line import answers, comparison, data, experiments, learners
from meta_lib.command_line.answers import Metric
from meta_lib.command_line.experiments import Experiment
from meta_lib.command_line.options import (
    COUNT,
    DECAY,
    EMBEDDING,
    EPISODE,
    EPISODES,
    EXISTING,
    FEATURES,
    IMAGES,
    MULTI_STEP,
    NETWORK,
    OUTPUT,
    POSITIVE,
    RUN,
    SEED,
    SEVERAL,
    SHARE,
    SKIP,
    STRENGTH,
    TASKS,
)
from meta_lib.command_line.output import UNASKED, failing_well, judged, report
from meta_lib.command_line.own_images import (
    check_left_out,
    classify,
    export,
    frozen_features,
)
from meta_lib.machinery import distributed
from meta_lib.tasks.episodes import Episode, check_episode
from meta_lib.tasks.hands import quarter_turns
from meta_lib.tasks.omniglot import one_shot_runs
from meta_lib.tasks.parts import DATA_SETS, PARTS

VALIDATION = 0
"""The seed of the tasks that a training's own result is measured on; `evaluate` has another."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def meta_lib() -> None:
    """Learn to learn: train a few-shot learner, evaluate it, classify your own images.

    \b
    For a start, in about ten seconds:
      python -m meta_lib train protonet --out runs/first --iterations 100 --filters 16
      python -m meta_lib evaluate runs/first --ways 5 --shots 1
    """


@meta_lib.group()
def train() -> None:
    """Meta-train a learner on the training part of a data set.

    The result is measured on the validation part, which shares no class with it. To go on with a
    training that was stopped, give the same command again. Several processes share the work:

    \b
      torchrun --nproc-per-node 2 -m meta_lib train maml --out runs/maml
    """


@train.command()
@RUN
@IMAGES
@EPISODES
@EMBEDDING
@click.option("--loss", type=click.Choice(["contrastive", "softmax"]), default="contrastive",
              show_default=True, help="The contrastive loss of drawn pairs (--pairs, --margin), or "
              "the softmax over all pairs of each task's images (--tasks, --scale).")  # fmt: skip
@click.option("--pairs", type=click.IntRange(min=2), default=128, show_default=True,
              help="Pairs in a batch, an even number.")  # fmt: skip
@click.option("--scale", type=POSITIVE, default=24.0, show_default=True,
              help="What the distances are multiplied by in the softmax.")  # fmt: skip
@click.option("--copies", type=click.IntRange(min=0), default=0, show_default=True,
              help="Redrawn copies of an image whose embeddings are averaged with its own when it "
              "is classified.")  # fmt: skip
@click.option("--margin", type=POSITIVE, default=1.0, show_default=True)
@click.option("--measure", type=click.Choice(list(learners.MEASURES)), default="euclidean",
              show_default=True, help="How two embeddings are compared.")  # fmt: skip
def siamese(**options: Any) -> None:
    """A Siamese network: a learned metric, trained on pairs."""
    _train("siamese", **options)


@train.command()
@RUN
@IMAGES
@EMBEDDING
@EPISODE
@click.option("--batch", type=COUNT, default=64, show_default=True,
              help="Images in a batch.")  # fmt: skip
def pretrained(**options: Any) -> None:
    """An ordinary classifier of all training classes, without meta-learning: its features."""
    _train("pretrained", queries=None, **options)


@train.command()
@RUN
@IMAGES
@EPISODES
@EMBEDDING
@click.option("--distance", type=click.Choice(list(learners.LOGITS)), default="euclidean",
              show_default=True, help="How an embedding is compared with a class.")  # fmt: skip
def protonet(**options: Any) -> None:
    """A prototypical network: a learned metric, trained on episodes."""
    _train("protonet", **options)


@train.command()
@RUN
@IMAGES
@EPISODES
@click.option("--alpha", type=POSITIVE, default=0.4, show_default=True,
              help="Learning rate of the inner steps.")  # fmt: skip
@click.option("--steps", type=COUNT, default=1, show_default=True, help="Inner steps.")
@DECAY
@click.option("--test-steps", type=COUNT, help="Inner steps when it is used; left out, as many.")
@click.option("--variant", type=click.Choice(learners.VARIANTS), default="second-order",
              show_default=True, help="MAML itself, or one of its relatives.")  # fmt: skip
@NETWORK
@click.option("--layer-rates", is_flag=True,
              help="Learn the rates of the inner steps, one for each layer and step, as MAML++ "
              "does.")  # fmt: skip
@click.option("--body-alpha", type=POSITIVE,
              help="What the rates of all layers but the last begin with; left out, as "
              "--alpha.")  # fmt: skip
@MULTI_STEP
@click.option("--cosine", is_flag=True,
              help="Bring the features to one length before the last layer: begun with a --body, "
              "the first step then makes the classifier by mean cosines.")  # fmt: skip
@click.option("--body", type=EXISTING,
              help="Begin with the features of a siamese, protonet or pretrained training, its "
              "folder or model, by the same network.")  # fmt: skip
def maml(test_steps: int | None, body: Path | None, **options: Any) -> None:
    """MAML: a learned initialisation."""
    options["body"] = body and str(body)
    _train("maml", test_steps=test_steps or options["steps"], **options)


@train.command()
@RUN
@IMAGES
@EPISODES
@click.option("--steps", type=COUNT, default=5, show_default=True, help="Updates in a task.")
@click.option("--hidden", type=COUNT, default=20, show_default=True,
              help="Units of the LSTM.")  # fmt: skip
def lstm(**options: Any) -> None:
    """Ravi & Larochelle's LSTM optimizer: a learned update rule."""
    _train("lstm", **options)


@train.command()
@RUN
@TASKS
@click.option("--shots", type=COUNT, default=10, show_default=True, help="Points to learn from.")
@click.option("--queries", type=COUNT, default=10, show_default=True, help="Points to judge by.")
@click.option("--alpha", type=POSITIVE, default=0.01, show_default=True,
              help="Learning rate of the inner steps.")  # fmt: skip
@click.option("--steps", type=click.IntRange(min=0), default=1, show_default=True,
              help="Inner steps; with 0 the network is pre-trained on all waves.")  # fmt: skip
@MULTI_STEP
@DECAY
def waves(**options: Any) -> None:
    """MAML on sine waves. Measured is the squared error, after 0 to 10 steps."""
    _train_experiment("waves", **options)


@train.command()
@RUN
@TASKS
@click.option("--on", type=click.Choice(list(experiments.VARIATIONS)), default="quadratics",
              show_default=True, help="What it learns to optimise.")  # fmt: skip
@click.option("--rules", type=COUNT, default=1, show_default=True,
              help="How many are trained side by side, from different first weights.")  # fmt: skip
@click.option("--hidden", type=COUNT, default=20, show_default=True,
              help="Units in each layer of the LSTM.")  # fmt: skip
@click.option("--horizon", type=COUNT, default=100, show_default=True,
              help="Steps that it takes on each problem.")  # fmt: skip
@click.option("--truncation", type=COUNT, default=20, show_default=True,
              help="Steps after which back-propagation is cut.")  # fmt: skip
def optimizer(**options: Any) -> None:
    """Andrychowicz et al.'s LSTM optimizer. Measured are its losses, beside tuned rivals'."""
    _train_experiment("optimizer", **options)


@train.command()
@RUN
@TASKS
@click.option("--on", type=click.Choice(list(experiments.WORLDS)), default="bandits",
              show_default=True, help="Where they act.")  # fmt: skip
@click.option("--policies", type=COUNT, default=5, show_default=True,
              help="How many are trained side by side, from different first weights.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(min=10), default=30, show_default=True,
              help="Actions in a task.")  # fmt: skip
@click.option("--hidden", type=COUNT, default=32, show_default=True,
              help="Units of the memory.")  # fmt: skip
@click.option("--discount", type=SHARE, default=0.9, show_default=True,
              help="What a gain of the next round counts.")  # fmt: skip
@click.option("--entropy", type=STRENGTH, default=0.05, show_default=True,
              help="Weight of the entropy in the loss.")  # fmt: skip
def policies(**options: Any) -> None:
    """Recurrent policies that learn to explore. Measured is what they gain in a task."""
    _train_experiment("policies", **options)


@meta_lib.command()
@click.argument("checkpoint", type=EXISTING, required=False)
@click.option("--ways", type=SEVERAL, help="Classes in a task; left out, as in training.")
@click.option("--shots", type=COUNT, help="Labelled images of each class; left out, as there.")
@click.option("--queries", type=COUNT, default=5, show_default=True,
              help="Images of each class to be classified.")  # fmt: skip
@click.option("--episodes", type=click.IntRange(min=2), default=600, show_default=True,
              help="Number of tasks.")  # fmt: skip
@click.option("--data", type=click.Choice(DATA_SETS), help="Left out, that of the training.")
@click.option("--data-folder", type=EXISTING, help="Where the data lies; left out, as in training.")
@SKIP
@click.option("--part", type=click.Choice([*PARTS, "all"]), default="test", show_default=True,
              help="Which classes; the parts share none.")  # fmt: skip
@click.option("--within", is_flag=True, help="All classes of a task from one alphabet.")
@click.option(
    "--copies",
    type=click.IntRange(min=0),
    help="For siamese: redrawn copies of each image; left out, as in training.",
)
@click.option("--test-steps", type=COUNT, help="For maml: inner steps; left out, as in training.")
@click.option("--one-by-one", is_flag=True,
              help="Classify each query beside the support set alone, so that none gains from "
              "another. Only maml and lstm answer differently: their batch normalisation uses the "
              "batch's statistics.")  # fmt: skip
@click.option("--seed", type=SEED, default=1, show_default=True)
@click.option("--runs", "runs_path", type=EXISTING,
              help="Omniglot's official one-shot runs, all_runs.zip or its folder, instead of "
              "tasks drawn by chance.")  # fmt: skip
@FEATURES
@OUTPUT
def evaluate(
    checkpoint: Path | None, runs_path: Path | None, copies: int | None, test_steps: int | None,
    one_by_one: bool, as_json: bool, embedding: str | None, head: str | None, size: int | None,
    channels: str | None, mean: str | None, deviation: str | None, **options: Any,
) -> None:  # fmt: skip
    """Measure the accuracy of CHECKPOINT on many tasks, with its 95 % interval.

    CHECKPOINT is the folder of a training, or its model.safetensors or checkpoint.safetensors. Of
    waves, optimizers and policies, errors, losses and gains are measured, on --episodes tasks.
    With --embedding frozen features of your own are measured in its place, on --data-folder.
    """
    how: dict[str, Any] = {"head": head, "size": size, "channels": channels}
    how |= {"mean": mean, "deviation": deviation}
    if (checkpoint is None) == (embedding is None):
        raise click.UsageError("name either a CHECKPOINT or an --embedding")
    changes = {"copies": copies, "test_steps": test_steps, "one_by_one": one_by_one or None}
    changes = {name: value for name, value in changes.items() if value is not None}
    with failing_well(options.pop("device")):
        if checkpoint is None:
            check_left_out({**changes, "runs": runs_path}, " with --embedding")
            report(_frozen(*frozen_features(str(embedding), **how), options), as_json)
            return
        check_left_out(how)
        learner, settings = learners.load(checkpoint, **changes)
        if isinstance(learner, Experiment):
            report(_measured(learner, settings, options["episodes"], options["seed"]), as_json)
            return
        if runs_path:
            episodes = one_shot_runs(runs_path, settings["size"])
            asked: dict[str, Any] = {"runs": str(runs_path)}
            for episode in episodes:
                learners.check_ways(settings, len(episode.support_y.unique()))
        else:
            asked = {name: options[name] or settings[name] for name in ("ways", "shots", "data")}
            asked |= {n: options[n] for n in ("queries", "episodes", "part", "within", "seed")}
            if asked["data"] == "folder" != settings["data"]:
                asked["part"] = "all"  # no class of it was trained on
            learners.check_ways(settings, asked["ways"])
            source = data.for_judging(
                settings, asked["part"], asked["data"], options["data_folder"], options["skip"]
            )
            drawing = {name: value for name, value in asked.items() if name != "data"}
            episodes = source.episodes(**drawing)
            asked |= {"queries": len(episodes[0].query_y) // asked["ways"]}
            asked |= source.measured(asked["part"])
        result = {"learner": settings["learner"], **asked, **changes}
        report({**result, **_measure(learner, episodes)}, as_json)


@meta_lib.command()
@click.argument("checkpoints", type=EXISTING, nargs=-1, required=True)
@EPISODE
@click.option("--queries", type=COUNT, default=5, show_default=True,
              help="Images of each class to be classified.")  # fmt: skip
@click.option("--episodes", type=click.IntRange(min=2), default=600, show_default=True,
              help="Number of tasks.")  # fmt: skip
@click.option("--within", is_flag=True, help="All classes of a task from one alphabet.")
@click.option("--data-folder", type=EXISTING, help="Where the data lies; left out, as in training.")
@SKIP
@click.option("--seed", type=SEED, default=1, show_default=True)
@OUTPUT
def compare(
    checkpoints: tuple[Path, ...], data_folder: Path | None, skip: bool, device: str | None,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Compare CHECKPOINTS with one another, and with learners that have learned nothing.

    All get the same tasks of the test part of the first one's data, in the size of their own
    training. Measured are the accuracy, the time that a task takes, and the memory.
    """
    with failing_well(device):
        named = comparison.names(checkpoints)
        trained = {name: (path, learners.load_learner(path)[1]) for name, path in named.items()}
        every = [settings for _, settings in trained.values()]
        for settings in every:
            learners.check_ways(settings, options["ways"])
        _check_same_parts(every)
        shape = every[0] | {"ways": options["ways"]}
        fewer = {"episodes": min(40, options["episodes"]), "seed": VALIDATION}

        @cache
        def drawn(part: str, size: int, channels: int) -> list[Episode]:
            settings = {**shape, "size": size, "channels": channels}
            source = data.for_judging(settings, part, folder=data_folder, skip=skip)
            return source.episodes(part, **options | (fewer if part == "validation" else {}))

        def tasks(part: str, settings: learners.Settings) -> list[Episode]:
            return drawn(part, *data.at_size(settings))

        rows = comparison.compare(trained, tasks, shape)
        trials = sum(len(episode.query_y) for episode in tasks("test", shape))
        asked = {"learner": "all", **options, "trials": trials, **UNASKED}
        report({**asked, "learners": rows}, as_json)


def _train(
    name: str, out: Path, every: int, episodes: int, as_json: bool, data_folder: Path | None,
    skip: bool, device: str | None, **options: Any,
) -> None:  # fmt: skip
    if options.get("pairs", 0) % 2:
        raise click.BadParameter("must be an even number", param_hint="--pairs")
    with failing_well(device), distributed.processes():
        folder = str(data_folder.resolve()) if data_folder else None
        settings = {"learner": name, **options, "data_folder": folder}
        source = data.for_training(settings, out, skip)
        shape = (settings["ways"], settings["shots"], settings["queries"])
        if source.known:
            settings["data_set"] = source.known
        # No class is left to be judged by where all were trained on.
        fresh = settings["part"] == "train" and source.held_out != "nothing"
        held = source.episodes("validation", *shape, settings["seed"], episodes) if fresh else []
        image_set = source.part(settings["part"])
        check_episode(image_set, *shape)
        if settings["turns"]:
            image_set = quarter_turns(image_set)
        learner = learners.build(settings)
        losses = learner.train(image_set, *learners.begin(learner, settings, out, every))
        if distributed.is_first():
            result = {"learner": name, "model": str(out / "model.safetensors"), "loss": losses[-1]}
            result |= source.measured("validation")
            if source.held_out and not fresh:
                result["held_out"] = "nothing"
            found = _measure(learner, held) if fresh else {**UNASKED, "trials": 0}
            report({**result, "part": "validation" if fresh else None, **found}, as_json)


def _train_experiment(
    name: str,
    out: Path,
    every: int,
    episodes: int,
    as_json: bool,
    device: str | None,
    **options: Any,
) -> None:
    with failing_well(device), distributed.processes():
        settings = {"learner": name, **options}
        experiment = experiments.build(settings)
        losses = experiment.train(*learners.begin(experiment, settings, out, every))
        if distributed.is_first():
            result = {"model": str(out / "model.safetensors"), "loss": losses[-1]}
            report({**_measured(experiment, settings, episodes, VALIDATION), **result}, as_json)


def _measured(experiment: Experiment, settings: dict, tasks: int, seed: int) -> dict:
    result = {"learner": settings["learner"], "episodes": tasks, "seed": seed, "trials": tasks}
    return {**result, **UNASKED, **experiment.measure(tasks, seed)}


def _frozen(metric: Metric, settings: learners.Settings, options: dict[str, Any]) -> dict:
    """Return how frozen features fare; they were trained on no part of the data."""
    asked: dict[str, Any] = {"ways": options["ways"] or 5, "shots": options["shots"] or 1}
    asked |= {name: options[name] for name in ("queries", "episodes", "within", "seed")}
    nowhere = {**settings, "data": None, "split": None, "data_folder": None}
    kind = options["data"] or "folder"
    source = data.for_judging(nowhere, "all", kind, options["data_folder"], options["skip"])
    episodes = data.of_features(source, metric.embed).episodes("all", **asked)
    known = metric._replace(embed=nn.Flatten())
    right = [(answers.classify(known, e) == e.query_y).tolist() for e in episodes]
    return {"learner": settings["learner"], **asked, "data": kind, "part": "all", **judged(right)}


def _measure(learner: learners.Learner, episodes: list[Episode]) -> dict:
    return judged([(learner.classify(e) == e.query_y).tolist() for e in episodes])


def _check_same_parts(trained: list[learners.Settings]) -> None:
    if len({settings.get("split", "alphabets") for settings in trained}) > 1:
        raise click.UsageError("the checkpoints must have been trained with the same --split")
    dealt = [json.dumps(s["data_set"]["parts"]) for s in trained if "data_set" in s]
    if len(set(dealt)) > 1:
        raise click.UsageError(
            "the checkpoints must have been trained on the same classes and images of the folder, "
            "but what one was trained on, another is to be tested on"
        )


meta_lib.add_command(classify)
meta_lib.add_command(export)
