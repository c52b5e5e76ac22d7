"""Where a command's images come from: which parts, whether it is the same folder, which tasks.

Part 5, "Your own images" and "Few-shot character recognition".
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
from torch import Generator

from meta_lib.command_line.learners import Settings
from meta_lib.confidence import embed_all
from meta_lib.machinery import runs
from meta_lib.machinery.features import Embed
from meta_lib.tasks.episodes import Episode, ImageSet, task_source
from meta_lib.tasks.folders import Pictures, images_of, labelled
from meta_lib.tasks.held_out import (
    QUERIES,
    Known,
    changed,
    deal_again,
    deal_folder,
    identity,
    most_queries,
    other_images,
)
from meta_lib.tasks.parts import load_part

HELD_OUT = {
    "classes": "on {} classes that were held out of the training; the ± counts no others",
    "images": "on {1} images that were held out, of the classes that were trained on; the ± counts "
    "no others",
    "nothing": "nowhere: nothing was held out (which takes two images of each class more than "
    "--shots and --queries, and not --part all)",
}
"""What an accuracy was measured on, in words: so many classes, so many images."""


class Source(NamedTuple):
    """A data set by parts: `part` gives the images of one, or of "all".

    Of a folder, `known` is what a checkpoint keeps of it.
    """

    part: Callable[[str], ImageSet]
    known: Known | None = None

    @property
    def held_out(self) -> str | None:
        """What of a folder was held out of the training: "classes", "images" or "nothing"."""
        return self.known["held_out"] if self.known else None

    def measured(self, part: str) -> dict:
        """Return what a result says of a folder's part: how it was held out, and how much it is."""
        if self.known is None:
            return {}
        counts = self.known["parts"].get(part, {})
        return {"held_out": self.held_out, "of": [len(counts), sum(counts.values())]}

    def episodes(
        self, part: str, ways: int, shots: int, queries: int, seed: int, episodes: int,
        within: bool = False,
    ) -> list[Episode]:  # fmt: skip
        """Draw the tasks of a part, always the same ones.

        Where images were held out of a folder, each task is asked of them, with training images as
        its support set, and with fewer queries where there are fewer. Raises ValueError where
        nothing was held out; else as `task_source` and `held_out.other_images` do.
        """
        generator = Generator().manual_seed(seed)
        if part in ("train", "all") or self.held_out in ("classes", None):
            task = task_source(self.part(part), ways, shots, queries, generator)
            return [task(within) for _ in range(episodes)]
        if self.held_out == "nothing":
            raise ValueError(
                "nothing was held out of this training, because the folder has too few images, so "
                "there is no part to measure on but all, where an accuracy says nothing; give "
                "other images by --data-folder and --part all"
            )
        fresh = self.part(part)
        queries = min(queries, *map(len, fresh.values()))
        draw = other_images(self.part("train"), fresh, ways, shots, queries, generator)
        return [draw() for _ in range(episodes)]


def of_features(source: Source, embed: Embed) -> Source:
    """Return the data set with embedded images, (n, features, 1, 1), in the place of images."""

    def part(name: str) -> ImageSet:
        found = source.part(name).items()
        return {name: embed_all(embed, images)[:, :, None, None] for name, images in found}

    return Source(part, source.known)


def for_training(settings: Settings, out: Path, skip: bool = False) -> Source:
    """Return the data set that these settings ask for, to be trained on in the folder `out`.

    Where the settings leave the `queries` open, they are noted there: 5, or what a folder allows.

    Raises ValueError if a training has begun there with another data set, and says what has
    changed; else as the data sets do.
    """
    if settings["data"] != "folder":
        settings["queries"] = settings["queries"] or QUERIES
        return Source(_parts_of(settings))
    found, checkpoint = _read(settings, skip), out / runs.CHECKPOINT
    before = runs.read_model(checkpoint).config.get("data_set") if checkpoint.exists() else None
    if before and (changes := changed(before, identity("", {}, found))):
        raise ValueError(
            f"the folder of images is not the one that {checkpoint} was made with: "
            f"{'; '.join(changes)}. Give the old one to go on, or another --out to begin anew."
        )
    if settings["queries"] is None:
        settings["queries"] = most_queries(found, settings["ways"], settings["shots"])
    dealt = deal_folder(found, *(settings[name] for name in ("ways", "shots", "queries")))
    return Source(_of_folder(found, dealt.parts), dealt.known)


def for_judging(
    settings: Settings,
    part: str,
    data: str | None = None,
    folder: Path | None = None,
    skip: bool = False,
) -> Source:
    """Return what to judge a trained learner by: the data of its training, or other data.

    A folder is dealt out as it was for the training. One that the learner was not trained on is one
    part, whatever is asked for: no class of it was seen. Raises ValueError, with what has changed,
    if it is another folder than in training; else as the data sets do.
    """
    own = data in (None, settings["data"])
    known = settings.get("data_set") if own else None
    wanted = settings if own else {**settings, "data": data, "data_folder": None, "split": None}
    wanted = {**wanted, "data_folder": folder or wanted["data_folder"]}
    if own and settings.get("part") == "all" and part != "all":
        click.echo(
            f"note: this {settings['learner']} was trained on all classes of its data, those of "
            f"the part {part} among them",
            err=True,
        )
    # Checkpoints from before a folder was known again are dealt out as they were then.
    if wanted["data"] != "folder" or own and known is None:
        return Source(_parts_of(wanted))
    found = _read(wanted, skip)
    whole = images_of(found)
    if known is None:
        return Source(lambda part: whole)
    changes = tuple(changed(known, identity("", {}, found)))
    for change in changes:
        click.echo(f"note: since the training {change}", err=True)
    if part == "all":
        return Source(lambda part: whole)
    return Source(_of_folder(found, deal_again(found, known).parts), known)


def at_size(settings: Settings) -> tuple[int, int]:
    """Return the size and the channels of the images that a learner was trained on."""
    return settings["size"], settings.get("channels", 1)


def say_passed_over(unread: list[str]) -> None:
    """Tell on standard error which files could not be read."""
    for line in unread:
        click.echo(f"passed over: {line}", err=True)


def _read(settings: Settings, skip: bool) -> dict[str, Pictures]:
    folder: str | os.PathLike | None = settings["data_folder"]
    if folder is None:
        raise ValueError("folder must name the folder of the images, one folder a class")
    unread: list[str] = []
    size, channels = at_size(settings)
    found = labelled(folder, size, channels=channels, unread=unread if skip else None)
    say_passed_over(unread)
    return found


def _of_folder(found: dict[str, Pictures], parts: dict[str, ImageSet]) -> Callable[[str], ImageSet]:
    whole = images_of(found)
    return lambda part: whole if part == "all" else parts[part]


def _parts_of(settings: Settings) -> Callable[[str], ImageSet]:
    # Checkpoints from before there were two splits do not name theirs.
    size, channels = at_size(settings)
    folder, split = settings["data_folder"], settings.get("split") or "alphabets"
    return lambda part: load_part(settings["data"], part, size, folder, split, channels)
