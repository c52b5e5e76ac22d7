"""The commands for one's own images: classify them, and export the network that does.

Part 5, "Your own images".
"""

import csv
import io
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from meta_lib.command_line import answers, data, exporting, frozen, learners, report
from meta_lib.command_line.answers import Metric, Support
from meta_lib.command_line.learners import Learner, Settings
from meta_lib.command_line.options import (
    EXISTING,
    FILE,
    FOLDER,
    OUTPUT,
    POSITIVE,
    SHARE,
    SKIP,
    numbers,
)
from meta_lib.command_line.output import UNASKED, failing_well, judged
from meta_lib.command_line.output import report as say
from meta_lib.machinery.runs import write_whole
from meta_lib.tasks.episodes import Episode
from meta_lib.tasks.folders import Pictures, entries, labelled, unlabelled

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
@click.option("--embedding",
              help="In the place of CHECKPOINT: module:function, from images to vectors, or a "
              ".pt2 file.")  # fmt: skip
@click.option("--head", type=click.Choice(answers.HEADS),
              help="What is made of the features; left out, as CHECKPOINT was trained, and for "
              "--embedding prototypes.")  # fmt: skip
@click.option("--size", type=click.IntRange(min=4), default=224, show_default=True,
              help="For --embedding: height and width of its images.")  # fmt: skip
@click.option("--channels", type=click.Choice(["1", "3"]), default="3", show_default=True,
              help="For --embedding: grey ink, or colours.")  # fmt: skip
@click.option("--mean", default="0", show_default=True,
              help="For --embedding: what is taken from each channel, 0.485,0.456,0.406 for "
              "many.")  # fmt: skip
@click.option("--deviation", default="1", show_default=True,
              help="For --embedding: what each channel is divided by, 0.229,0.224,0.225 for "
              "many.")  # fmt: skip
@OUTPUT
def classify(
    checkpoint: Path | None, support: Path, query: Path, clean: bool, skip: bool,
    threshold: float | None, farthest: float | None, saved: Path | None, table: Path | None,
    page: Path | None, device: str | None, as_json: bool, **network: Any,
) -> None:  # fmt: skip
    """Classify your own images with CHECKPOINT, from a few labelled ones.

    Images may be of any size and colour; they are made square, and grey unless the training was in
    colour. Each answer comes with its probability, the distance, and the labelled image of its
    class that is nearest.
    """
    with failing_well(device):
        learner, metric, settings = _network(checkpoint, **network)
        size, channels = data.at_size(settings)
        read = {"size": size, "clean": clean, "channels": channels}
        unread: list[str] | None = [] if skip else None
        known = _support(support, metric, read, unread)
        learners.check_ways(settings, len(known.classes))
        found, truth = _queries(query, known.classes, read, unread)
        data.say_passed_over(unread or [])
        files = [
            file.name if truth is None else f"{truth[i]}/{file.name}"
            for i, file in enumerate(found.files)
        ]
        about: dict[str, Any] = {}
        if metric is None:
            if (threshold, farthest, saved) != (None, None, None):
                raise ValueError(
                    f"threshold, farthest and save must be left out for {settings['learner']}, "
                    "which compares no embeddings"
                )
            lines = _without_metric(learner, known, files, found.images)
        else:
            asked = answers.ask(known, answers.embedded(metric, found.images), metric)
            lines = answers.lines(asked, known, files, threshold, farthest)
            about = asked.about
        result = {"learner": settings["learner"], **_judge(lines, truth, known.classes), **about}
        if saved and metric:
            answers.save(saved, known, metric, read)
        if table:
            _write(table, _as_table(lines))
        if page:
            title = f"{query} by {checkpoint or network['embedding']}"
            nearest = dict(zip(known.files, known.images, strict=True))
            shown = (lines, found.files, found.images, nearest, known.classes)
            _write(page, report.page(title, _facts(result, lines), *shown))
        say({**result, "predictions": lines}, as_json)


@click.command()
@click.argument("checkpoint", type=EXISTING)
@click.option("--to", type=FILE, required=True, help="The file, NAME.pt2.")
@OUTPUT
def export(checkpoint: Path, to: Path, device: str | None, as_json: bool) -> None:
    """Export the embedding of CHECKPOINT for PyTorch alone, and check that it is the same.

    The file is read by torch.export.load, without this library, and by classify --embedding.
    """
    with failing_well(device):
        if to.suffix != ".pt2":
            raise ValueError(f"to must end with .pt2, torch.export's kind of file, but was {to}")
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
    checkpoint: Path | None, embedding: str | None, head: str | None, size: int, channels: str,
    mean: str, deviation: str,
) -> tuple[Learner | None, Metric | None, Settings]:  # fmt: skip
    """Return what answers, and the settings that say how its images are read."""
    if (checkpoint is None) == (embedding is None):
        raise click.UsageError("name either a CHECKPOINT or an --embedding")
    if checkpoint is None:
        shift, scale = (numbers(n, v) for n, v in (("mean", mean), ("deviation", deviation)))
        if any(len(each) not in (1, int(channels)) for each in (shift, scale)) or 0 in scale:
            raise ValueError(
                f"mean and deviation must be one number, or {channels}, and no deviation 0"
            )
        metric = frozen.load(str(embedding), head or "prototypes", shift, scale)
        settings = {"learner": "frozen features", "size": size, "channels": int(channels)}
        return None, metric, settings
    learner, settings = learners.load_learner(checkpoint)
    if learner.embed is None or learner.measure is None:
        if head:
            raise ValueError(f"head must be left out for {settings['learner']}")
        return learner, None, settings
    own = "prototypes" if learner.by_means else "nearest"
    name = answers.name_of(learner.weights | learner.buffers)
    return learner, Metric(learner.embed, learner.measure, head or own, name), settings


def _support(
    path: Path, metric: Metric | None, read: dict[str, Any], unread: list[str] | None
) -> Support:
    if path.is_file():
        if metric is None:
            raise ValueError("support must be a folder for a learner that compares no embeddings")
        return answers.load(path, metric, read)
    return answers.support_of(labelled(path, unread=unread, **read), metric)


def _queries(
    folder: Path, classes: list[str], read: dict[str, Any], unread: list[str] | None
) -> tuple[Pictures, list[str] | None]:
    """Return the queries, and the class of each; None for a folder of images."""
    if not any(entry.is_dir() for entry in entries(folder)):
        return unlabelled(folder, unread=unread, **read), None
    groups = labelled(folder, unread=unread, **read)
    strange = [name for name in groups if name not in classes]
    if strange:
        raise click.UsageError(
            f"--query holds the class folder {strange[0]}, which --support lacks; "
            f"it has {', '.join(classes)}"
        )
    files = [file for group in groups.values() for file in group.files]
    images = torch.cat([group.images for group in groups.values()])
    truth = [name for name, group in groups.items() for _ in group.files]
    return Pictures(files, images), truth


def _without_metric(
    learner: Learner | None, known: Support, files: list[str], images: Tensor
) -> list[dict[str, Any]]:
    """Return the answers of a learner that adapts, of which nothing but the class is known."""
    if learner is None:
        return []
    nobody = torch.full((len(images),), -1, device=images.device)
    labels = known.labels.to(images.device)
    episode = Episode(known.images, labels, images, nobody)
    nothing = {"probability": None, "distance": None, "nearest": None}
    return [
        {"file": file, "class": known.classes[label], **nothing}
        for file, label in zip(files, learner.classify(episode).tolist(), strict=True)
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


def _facts(result: dict[str, Any], lines: list[dict[str, Any]]) -> list[str]:
    """Return what the page says first."""
    said = [f"{len(lines)} images, {result['unknown']} of them left unknown."]
    if result["accuracy"] is not None:
        within = "" if result["ci95"] is None else f" ± {100 * result['ci95']:.1f}"
        said += [
            f"Of the {result['trials']} that got a name, {100 * result['accuracy']:.1f}{within} % "
            "got the right one."
        ]
    if result.get("scale") is not None:
        said += [
            f"Left out, {result['left_out_right']} of {result['left_out']} labelled images are "
            f"named correctly; from them p was fitted, with a scale of {result['scale']:.3g}, and "
            f"95 % of them lie within {result['own_distance']:.3g} of their class."
        ]
    return said


def _as_table(lines: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(lines[0]))
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    # A file's name may hold bytes that are no letters in any encoding.
    write_whole(path, text.encode("utf-8", "backslashreplace"))
