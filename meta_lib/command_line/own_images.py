"""The commands for one's own images: classify them, and export the network that does.

Part 5, "Your own images".
"""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor

from meta_lib import results
from meta_lib.command_line import answers, data, exporting, frozen, learners, report
from meta_lib.command_line.answers import Metric, Support
from meta_lib.command_line.learners import Learner, Settings
from meta_lib.command_line.options import (
    EXISTING,
    FEATURES,
    FILE,
    FOLDER,
    OUTPUT,
    POSITIVE,
    SHARE,
    SKIP,
    numbers,
)
from meta_lib.command_line.output import UNASKED, facts, failing_well, judged
from meta_lib.command_line.output import report as say
from meta_lib.machinery.runs import write_whole
from meta_lib.tasks.episodes import Episode
from meta_lib.tasks.folders import class_files, entries, in_blocks, labelled

STRONGEST = "siamese-pooled"
"""The recorded run that answers where no checkpoint is named."""
TOLERANCE = 1e-4
"""How far the features of an exported network may be from the network's own, as a share."""


@click.command()
@click.argument("checkpoint", type=EXISTING, required=False)
@click.option("--support", type=EXISTING, required=True,
              help="Folder of the labelled images, one folder a class, or a file that --save has "
              "written.")  # fmt: skip
@click.option("--query", type=FOLDER, required=True,
              help="Folder of the images to be classified; with one folder a class, named as in "
              "the support folder, the answers are judged too.")  # fmt: skip
@click.option("--clean", is_flag=True,
              help="For photographs: even out the light, and cut each sign out of its "
              "sheet.")  # fmt: skip
@SKIP
@click.option("--threshold", type=SHARE,
              help="The least probability that an answer must have; below it is "
              "unknown.")  # fmt: skip
@click.option(
    "--farthest",
    type=POSITIVE,
    help="The distance from which on an answer is unknown, sure or not.",
)
@click.option("--save", "saved", type=FILE,
              help="Write the embedded support set, to be given to --support next "
              "time.")  # fmt: skip
@click.option("--csv", "table", type=FILE, help="Write the answers as a table.")
@click.option("--report", "page", type=FILE,
              help="Write one HTML page with the pictures, the mistakes and who was taken for "
              "whom.")  # fmt: skip
@FEATURES
@OUTPUT
def classify(
    checkpoint: Path | None, support: Path, query: Path, clean: bool, skip: bool,
    threshold: float | None, farthest: float | None, saved: Path | None, table: Path | None,
    page: Path | None, device: str | None, as_json: bool, **network: Any,
) -> None:  # fmt: skip
    """Classify your own images with CHECKPOINT, from a few labelled ones.

    CHECKPOINT may be left out for the recorded siamese-pooled, which has practised on characters.
    Images may be of any size and colour; they are made square, and grey unless the training was in
    colour. Each answer comes with its probability, the distance, and the labelled image of its
    class that is nearest. MAML and the LSTM give the class alone; they answer some hundred small
    images at a time, which tell of one another as the queries of a task do.
    """
    with failing_well(device):
        if checkpoint is None and network["embedding"] is None:
            checkpoint = results.folder() / STRONGEST
        learner, metric, settings = _network(checkpoint, **network)
        size, channels = data.at_size(settings)
        read = {"size": size, "clean": clean, "channels": channels}
        unread: list[str] | None = [] if skip else None
        known = _support(support, metric, read, unread)
        learners.check_ways(settings, len(known.classes))
        if metric is None and (threshold, farthest, saved) != (None, None, None):
            raise ValueError(
                f"threshold, farthest and save must be left out for {settings['learner']}, "
                "which compares no embeddings"
            )
        if metric is not None:
            answer = partial(answers.embedded, metric)
        elif learner is not None:
            answer = partial(_labels, learner, known)
        asked = _queries(query, known.classes, answer, read, unread, bool(page))
        data.say_passed_over(unread or [])
        about: dict[str, Any] = {}
        if metric is None:
            lines = _without_metric(known, asked.names, asked.found)
        else:
            found = answers.ask(known, asked.found, metric)
            lines = answers.lines(found, known, asked.names, threshold, farthest)
            about = found.about
        result = {"learner": settings["learner"], **_judge(lines, asked.truth, known.classes)}
        result |= about
        if saved and metric:
            answers.save(saved, known, metric, read)
        if table:
            _write(table, _as_table(lines))
        if page:
            title = f"{query} by {checkpoint or network['embedding']}"
            nearest = dict(zip(known.files, known.images, strict=True))
            said = [f"{len(lines)} images.", *facts(result)]
            shown = (lines, asked.files, asked.shown, nearest, known.classes)
            _write(page, report.page(title, said, *shown))
        say({**result, "predictions": lines}, as_json)


@click.command()
@click.argument("checkpoint", type=EXISTING)
@click.option("--to", type=FILE, required=True, help="The file, NAME.pt2 or NAME.onnx.")
@OUTPUT
def export(checkpoint: Path, to: Path, device: str | None, as_json: bool) -> None:
    """Export the embedding of CHECKPOINT, to be used without this library, and check it.

    NAME.pt2 is read by torch.export.load and by classify --embedding, NAME.onnx by runtimes of
    ONNX.
    """
    with failing_well(device):
        exporting.check_kind(to)
        learner, settings = learners.load_learner(checkpoint)
        if learner.network is None:
            raise ValueError(f"{settings['learner']} has no embedding to export")
        apart = exporting.export(learner.network, to, *data.at_size(settings))
        if not apart < TOLERANCE:
            to.unlink()
            raise FloatingPointError(f"the exported network differs by {apart:.1e}; not kept")
        result = {"learner": settings["learner"], "model": str(to), "difference": apart}
        say({**result, **UNASKED, "trials": 0}, as_json)


def _network(
    checkpoint: Path | None, embedding: str | None, **how: Any
) -> tuple[Learner | None, Metric | None, Settings]:
    """Return what answers, and the settings that say how its images are read."""
    if checkpoint is None:
        return None, *frozen_features(str(embedding), **how)
    if embedding:
        raise click.UsageError("name either a CHECKPOINT or an --embedding")
    head = how.pop("head")
    check_left_out(how)
    learner, settings = learners.load_learner(checkpoint)
    if learner.embed is None or learner.measure is None:
        if head:
            raise ValueError(f"head must be left out for {settings['learner']}")
        return learner, None, settings
    own = "prototypes" if learner.by_means else "nearest"
    name = answers.name_of(learner.weights | learner.buffers)
    return learner, Metric(learner.embed, learner.measure, head or own, name), settings


def check_left_out(how: dict[str, Any], where: str = " without --embedding") -> None:
    """Refuse what is only of use with frozen features, or only with a checkpoint."""
    for name, value in how.items():
        if value is not None:
            raise ValueError(f"{name} must be left out{where}")


def frozen_features(
    embedding: str, head: str | None, size: int | None, channels: str | None, mean: str | None,
    deviation: str | None,
) -> tuple[Metric, Settings]:  # fmt: skip
    """Return the metric of features of the user's own, and how their images are read."""
    size, channels = size or 224, channels or "3"
    shift, scale = numbers("mean", mean or "0"), numbers("deviation", deviation or "1")
    if any(len(each) not in (1, int(channels)) for each in (shift, scale)) or 0 in scale:
        raise ValueError(
            f"mean and deviation must be one number, or {channels}, and no deviation 0"
        )
    metric = frozen.load(embedding, head or "prototypes", shift, scale)
    return metric, {"learner": "frozen features", "size": size, "channels": int(channels)}


def _support(
    path: Path, metric: Metric | None, read: dict[str, Any], unread: list[str] | None
) -> Support:
    if path.is_file():
        if metric is None:
            raise ValueError("support must be a folder for a learner that compares no embeddings")
        return answers.load(path, metric, read)
    return answers.support_of(labelled(path, unread=unread, **read), metric)


class Queries(NamedTuple):
    """What is asked: files and their names, the classes where they are known, and what was read.

    `found` are the features of the images, or without a metric their labels; `shown` pictures for a
    page.
    """

    files: list[Path]
    names: list[str]
    truth: list[str] | None
    found: Tensor
    shown: list[str]


def _queries(
    folder: Path, classes: list[str], answer: Callable[[Tensor], Tensor], read: dict[str, Any],
    unread: list[str] | None, with_pictures: bool,
) -> Queries:  # fmt: skip
    """Read the queries and answer them in blocks: no more of the images are in the memory."""
    groups = {"": entries(folder)}
    by_class = any(entry.is_dir() for entry in groups[""])
    if by_class:
        groups = class_files(folder)
        strange = [name for name in groups if name not in classes]
        if strange:
            raise click.UsageError(
                f"--query holds the class folder {strange[0]}, which --support lacks; "
                f"it has {', '.join(classes)}"
            )
    of = {file: name for name, group in groups.items() for file in group}
    files, found, shown = [], [], []
    for pictures in in_blocks(list(of), unread=unread, **read):
        files += pictures.files
        if pictures.files:
            found += [answer(pictures.images)]
        if with_pictures:
            shown += [report.picture(image) for image in pictures.images]
    if not files:
        raise ValueError(f"{folder} must hold images, but holds none that can be read")
    names = [f"{of[file]}/{file.name}" if by_class else file.name for file in files]
    truth = [of[file] for file in files] if by_class else None
    return Queries(files, names, truth, torch.cat(found), shown)


def _labels(learner: Learner, known: Support, images: Tensor) -> Tensor:
    """Return the labels of a block of images, for which a learner adapts anew."""
    nobody = torch.full((len(images),), -1, device=images.device)
    labels = known.labels.to(images.device)
    return learner.classify(Episode(known.images, labels, images, nobody))


def _without_metric(known: Support, files: list[str], labels: Tensor) -> list[dict[str, Any]]:
    """Return the answers of a learner that adapts, of which nothing but the class is known."""
    nothing = {"probability": None, "distance": None, "nearest": None}
    return [
        {"file": file, "class": known.classes[label], **nothing}
        for file, label in zip(files, labels.tolist(), strict=True)
    ]


def _judge(
    lines: list[dict[str, Any]], truth: list[str] | None, classes: list[str]
) -> dict[str, Any]:
    """Return how many answers are right, of those that are not unknown, and note what is true."""
    given = [line["class"] in classes for line in lines]
    counts = {"unknown": given.count(False)}
    if truth is None:
        return {**counts, "trials": len(lines), **UNASKED}
    for line, name in zip(lines, truth, strict=True):
        line["truth"] = name
    right = [
        line["class"] == line["truth"] for line, kept in zip(lines, given, strict=True) if kept
    ]
    return {**counts, **(judged([right]) if right else {"trials": 0, **UNASKED})}


def _as_table(lines: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(lines[0]))
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    # A file's name may hold bytes that are no letters in any encoding.
    write_whole(path, text.encode("utf-8", "backslashreplace"))
