"""The command line: train a learner, evaluate it, classify one's own images.

`python -m meta_lib --help` tells how. Explained in part 5, "Few-shot character recognition".
Results go to standard output, as text or with --json as one JSON object; progress goes to standard
error. The exit code is 0, or 1 if it failed, or 2 if it was asked for in a wrong way.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from meta_lib.command_line import comparison, data, experiments, learners
from meta_lib.command_line.experiments import Experiment
from meta_lib.command_line.options import (
    COUNT,
    DECAY,
    EMBEDDING,
    EPISODE,
    EPISODES,
    EXISTING,
    FOLDER,
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
from meta_lib.evaluation import estimate
from meta_lib.machinery import distributed
from meta_lib.machinery.device import device
from meta_lib.machinery.runs import NotACheckpoint
from meta_lib.tasks.episodes import Episode, check_episode
from meta_lib.tasks.folders import NotAnImage, entries, flat_folder, image_folder
from meta_lib.tasks.hands import quarter_turns
from meta_lib.tasks.omniglot import NotOmniglot, one_shot_runs
from meta_lib.tasks.parts import DATA_SETS, PARTS

UNASKED = {"accuracy": None, "error_percent": None, "ci95": None}
"""What every result holds, where there are no answers to be judged."""
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
    _train("pretrained", queries=5, **options)


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
@click.argument("checkpoint", type=EXISTING)
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
@OUTPUT
def evaluate(
    checkpoint: Path, runs_path: Path | None, copies: int | None, test_steps: int | None,
    one_by_one: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Measure the accuracy of CHECKPOINT on many tasks, with its 95 % interval.

    CHECKPOINT is the folder of a training, or its model.safetensors or checkpoint.safetensors. Of
    waves, optimizers and policies, errors, losses and gains are measured, on --episodes tasks.
    """
    changes = {"copies": copies, "test_steps": test_steps, "one_by_one": one_by_one or None}
    changes = {name: value for name, value in changes.items() if value is not None}
    with _failing_well(options.pop("device")):
        learner, settings = learners.load(checkpoint, **changes)
        if isinstance(learner, Experiment):
            _report(_measured(learner, settings, options["episodes"], options["seed"]), as_json)
            return
        if runs_path:
            episodes = one_shot_runs(runs_path, settings["size"])
            asked: dict[str, Any] = {"runs": str(runs_path)}
            for episode in episodes:
                _check_ways(settings, len(episode.support_y.unique()))
        else:
            asked = {name: options[name] or settings[name] for name in ("ways", "shots", "data")}
            asked |= {n: options[n] for n in ("queries", "episodes", "part", "within", "seed")}
            if asked["data"] == "folder" != settings["data"]:
                asked["part"] = "all"  # no class of it was trained on
            _check_ways(settings, asked["ways"])
            source = data.for_judging(
                settings, asked["part"], asked["data"], options["data_folder"], options["skip"]
            )
            drawing = {name: value for name, value in asked.items() if name != "data"}
            episodes = source.episodes(**drawing)
            asked |= {"queries": len(episodes[0].query_y) // asked["ways"]}
            asked |= {"held_out": source.held_out} if source.held_out else {}
        result = {"learner": settings["learner"], **asked, **changes}
        _report({**result, **_measure(learner, episodes)}, as_json)


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
    with _failing_well(device):
        named = comparison.names(checkpoints)
        trained = [learners.load_learner(path)[1] for path in named.values()]
        for settings in trained:
            _check_ways(settings, options["ways"])
        _check_same_parts(trained)
        shape = trained[0] | {"ways": options["ways"]}
        fewer = {"episodes": min(40, options["episodes"]), "seed": VALIDATION}

        @cache
        def drawn(part: str, size: int, channels: int) -> list[Episode]:
            settings = {**shape, "size": size, "channels": channels}
            source = data.for_judging(settings, part, folder=data_folder, skip=skip)
            return source.episodes(part, **options | (fewer if part == "validation" else {}))

        def tasks(part: str, settings: learners.Settings) -> list[Episode]:
            return drawn(part, *data.at_size(settings))

        rows = comparison.compare(named, tasks, shape)
        trials = sum(len(episode.query_y) for episode in tasks("test", shape))
        asked = {"learner": "all", **options, "trials": trials, **UNASKED}
        _report({**asked, "learners": rows}, as_json)


@meta_lib.command()
@click.argument("checkpoint", type=EXISTING)
@click.option("--support", type=FOLDER, required=True,
              help="Folder of the labelled images, one folder a class.")  # fmt: skip
@click.option("--query", type=FOLDER, required=True,
              help="Folder of the images to be classified; with one folder a class, named as in "
              "the support folder, the answers are judged too.")  # fmt: skip
@click.option("--clean", is_flag=True,
              help="For photographs: even out the light, and cut each sign out of its "
              "sheet.")  # fmt: skip
@OUTPUT
def classify(
    checkpoint: Path, support: Path, query: Path, clean: bool, device: str | None, as_json: bool
) -> None:
    """Classify your own images with CHECKPOINT, from a few labelled ones.

    Images may be of any size and colour; they are made grey and square as in training.
    """
    with _failing_well(device):
        learner, settings = learners.load_learner(checkpoint)
        read = {"size": settings["size"], "clean": clean}
        known = image_folder(support, **read)
        _check_ways(settings, len(known))
        files, images, labels = _queries(query, list(known), read)
        shots = torch.tensor([len(group) for group in known.values()])
        support_y = torch.arange(len(known)).repeat_interleave(shots).to(images.device)
        unknown = torch.full((len(images),), -1, device=images.device)
        query_y = unknown if labels is None else labels
        episode = Episode(torch.cat(list(known.values())), support_y, images, query_y)
        answers = learner.classify(episode).tolist()
        names = [list(known)[answer] for answer in answers]
        judged = {"trials": len(names), **UNASKED}
        if labels is not None:
            judged = _judged([[a == y for a, y in zip(answers, labels.tolist(), strict=True)]])
        listed = [{"file": f, "class": name} for f, name in zip(files, names, strict=True)]
        _report({"learner": settings["learner"], **judged, "predictions": listed}, as_json)


def _train(
    name: str, out: Path, every: int, episodes: int, as_json: bool, data_folder: Path | None,
    skip: bool, device: str | None, **options: Any,
) -> None:  # fmt: skip
    if options.get("pairs", 0) % 2:
        raise click.BadParameter("must be an even number", param_hint="--pairs")
    with _failing_well(device), distributed.processes():
        folder = str(data_folder.resolve()) if data_folder else None
        settings = {"learner": name, **options, "data_folder": folder}
        shape = (settings["ways"], settings["shots"], settings["queries"])
        source = data.for_training(settings, out, skip)
        if source.known:
            settings["data_set"] = source.known
        # No class is left to be judged by where all were trained on.
        fresh = settings["part"] == "train" and source.held_out != "nothing"
        judged = source.episodes("validation", *shape, settings["seed"], episodes) if fresh else []
        image_set = source.part(settings["part"])
        check_episode(image_set, *shape)
        if settings["turns"]:
            image_set = quarter_turns(image_set)
        learner = learners.build(settings)
        losses = learner.train(image_set, *learners.begin(learner, settings, out, every))
        if distributed.is_first():
            result = {"learner": name, "model": str(out / "model.safetensors"), "loss": losses[-1]}
            if source.held_out:
                result["held_out"] = source.held_out if fresh else "nothing"
            found = _measure(learner, judged) if fresh else {**UNASKED, "trials": 0}
            _report({**result, "part": "validation" if fresh else None, **found}, as_json)


def _train_experiment(
    name: str,
    out: Path,
    every: int,
    episodes: int,
    as_json: bool,
    device: str | None,
    **options: Any,
) -> None:
    with _failing_well(device), distributed.processes():
        settings = {"learner": name, **options}
        experiment = experiments.build(settings)
        losses = experiment.train(*learners.begin(experiment, settings, out, every))
        if distributed.is_first():
            result = {"model": str(out / "model.safetensors"), "loss": losses[-1]}
            _report({**_measured(experiment, settings, episodes, VALIDATION), **result}, as_json)


def _measured(experiment: Experiment, settings: dict, tasks: int, seed: int) -> dict:
    result = {"learner": settings["learner"], "episodes": tasks, "seed": seed, "trials": tasks}
    return {**result, **UNASKED, **experiment.measure(tasks, seed)}


def _measure(learner: learners.Learner, episodes: list[Episode]) -> dict:
    return _judged([(learner.classify(e) == e.query_y).tolist() for e in episodes])


def _judged(right: list[list[bool]]) -> dict:
    """Return accuracy, error and interval; the trials of each episode are right or wrong.

    The interval is over the episodes, or with one episode over its trials. How many were right in
    each episode is kept too, so that two learners can be compared task by task.
    """
    trials = sum(map(len, right))
    values = right[0] if len(right) == 1 else [sum(one) / len(one) for one in right]
    accuracy = sum(map(sum, right)) / trials
    return {
        "accuracy": accuracy,
        "error_percent": 100 * (1 - accuracy),
        "trials": trials,
        "ci95": estimate([float(v) for v in values]).interval if len(values) > 1 else None,
        "right_by_task": [sum(one) for one in right],
    }


def _queries(
    folder: Path, classes: list[str], read: dict
) -> tuple[list[str], Tensor, Tensor | None]:
    """Return names, images and labels of the queries; labels are None for a folder of images."""
    if not any(entry.is_dir() for entry in entries(folder)):
        return *flat_folder(folder, **read), None
    groups = image_folder(folder, **read)
    unknown = [name for name in groups if name not in classes]
    if unknown:
        raise click.UsageError(
            f"--query holds the class folder {unknown[0]}, which --support lacks; "
            f"it has {', '.join(classes)}"
        )
    files = [f"{name}/{file.name}" for name in groups for file in entries(folder / name)]
    labels = [classes.index(name) for name, images in groups.items() for _ in images]
    images = torch.cat(list(groups.values()))
    return files, images, torch.tensor(labels, device=images.device)


def _check_ways(settings: dict, ways: int) -> None:
    if settings["learner"] in learners.FIXED_WAYS and ways != settings["ways"]:
        raise click.UsageError(
            f"this {settings['learner']} was trained for {settings['ways']} classes in a task, "
            f"and cannot tell {ways} apart; train one with --ways {ways}, or use siamese or "
            "protonet, which take any number"
        )


def _check_same_parts(trained: list[learners.Settings]) -> None:
    if len({settings.get("split", "alphabets") for settings in trained}) > 1:
        raise click.UsageError("the checkpoints must have been trained with the same --split")
    dealt = [json.dumps(s["data_set"]["parts"]) for s in trained if "data_set" in s]
    if len(set(dealt)) > 1:
        raise click.UsageError(
            "the checkpoints must have been trained on the same classes and images of the folder, "
            "but what one was trained on, another is to be tested on"
        )


def _report(result: dict, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result))
        return
    for line in result.pop("predictions", []):
        click.echo(f"{line['file']}: {line['class']}")
    if result["accuracy"] is not None:
        within = "" if result["ci95"] is None else f" ± {100 * result['ci95']:.1f}"
        click.echo(
            f"{result['learner']}: accuracy {100 * result['accuracy']:.1f}{within} %, "
            f"error {result['error_percent']:.1f} %, {result['trials']} trials"
        )
    if "held_out" in result:
        click.echo(f"measured {data.HELD_OUT[result['held_out']]}")
    for name, row in result.get("learners", {}).items():
        click.echo(
            f"{name}: accuracy {100 * row['accuracy']:.1f} ± {100 * row['ci95']:.1f} %, "
            f"{row['task_ms']:.0f} ms a task, {row['peak_mib']:.0f} MiB, "
            f"{row['parameters']:,} weights"
        )
    for shots, errors in result.get("mse_by_shots_and_steps", {}).items():
        by_step = ", ".join(f"{_shown(errors[step])} after {step}" for step in (0, 1, 5, 10))
        click.echo(f"waves, {shots} points: mean squared error {by_step} steps")
    for name, race in result.get("losses", {}).items():
        steps = race.pop("steps")
        ends = ", ".join(f"{who} {_shown(found['end'])}" for who, found in race.items())
        click.echo(f"{name}: loss after {steps} steps: {ends}")
    for number, found in enumerate(result.get("gains", []), start=1):
        click.echo(f"policy {number}: gain {_shown(found)}")
    if "model" in result:
        click.echo(f"model: {result['model']}")


def _shown(found: dict) -> str:
    return "not finite" if found["mean"] is None else f"{found['mean']:.3g}"


@contextmanager
def _failing_well(named_device: str | None) -> Iterator[None]:
    """Choose the device, and turn what goes wrong into a message and an exit code."""
    try:
        if named_device:
            os.environ["META_LIB_DEVICE"] = named_device
        device()
        yield
    except (NotACheckpoint, NotAnImage, NotOmniglot, OSError, FloatingPointError) as error:
        raise click.ClickException(str(error)) from error
    except (MemoryError, OverflowError, RuntimeError) as error:  # what does not fit into memory
        raise click.ClickException(f"PyTorch cannot compute this: {error}") from error
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt as error:
        raise click.ClickException(
            "stopped; to go on from the last checkpoint give the same command again"
        ) from error
