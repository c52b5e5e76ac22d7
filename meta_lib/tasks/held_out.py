"""A folder of one's own in three parts: what is held out for an honest number, and known again.

How a folder is dealt out follows from how many classes and images it has, and how many the tasks
ask for. With many classes, validation and test are other classes. With few, they are other images
of the same classes; with few images, nothing is held out, and no accuracy can be told. A checkpoint
keeps what was dealt where, so that a class that is added or renamed later moves nothing without
being noticed. Part 5, "Your own images".
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Generator

from meta_lib.machinery import checks
from meta_lib.tasks.episodes import Episode, ImageSet, check_episode, of_classes
from meta_lib.tasks.folders import Pictures, composed, images_of
from meta_lib.tasks.parts import PARTS, deal

Known = dict[str, Any]
"""What a checkpoint keeps of a folder, as JSON can hold it: what was `held_out` ("classes",
"images" or "nothing"), of each of the `parts` how many images each class has in it, and a `digest`
of the names of classes and files. Where the folder lies is no part of it."""


QUERIES = 5
"""How many images of each class a task is judged by, where nobody says otherwise."""


class Dealt(NamedTuple):
    """A folder's three parts by name, and what a checkpoint keeps of them."""

    parts: dict[str, ImageSet]
    known: Known


def deal_folder(found: Mapping[str, Pictures], ways: int, shots: int, queries: int) -> Dealt:
    """Deal a folder out to meta-training, validation and test, for tasks of this shape.

    Classes are held out, as `parts.deal` does, where each part then has `ways` of them; else
    images, a quarter of each class for validation and a quarter for test, or fewer where training
    would be left with less than `shots + queries`; else nothing. The same folder is always dealt
    out in the same way.

    Raises TypeError or ValueError unless `ways` is at least 2, or where the tasks ask for more
    classes or images than there are.
    """
    checks.whole_number("ways", ways, at_least=2)
    whole = images_of(found)
    check_episode(whole, ways, shots, queries)
    by_classes = deal(whole)
    if _serves(by_classes, ways):
        return Dealt(by_classes, identity("classes", by_classes, found))
    spare = {name: len(images) - shots - queries for name, images in whole.items()}
    if min(spare.values()) < 2:
        parts: dict[str, ImageSet] = {"train": whole, "validation": {}, "test": {}}
        return Dealt(parts, identity("nothing", parts, found))
    held = {name: min(len(whole[name]) // 4, spare[name] // 2) for name in whole}
    parts = _by_images(whole, held)
    return Dealt(parts, identity("images", parts, found))


def most_queries(found: Mapping[str, Pictures], ways: int, shots: int) -> int:
    """Return how many queries of each class to train with: 5, or fewer in a folder of few images.

    So few that two images of each class can be held out, if no classes can; at least 1.
    """
    whole = images_of(found)
    held = 0 if _serves(deal(whole), ways) else 2
    return max(1, min(QUERIES, min(map(len, whole.values())) - shots - held))


def _serves(parts: Mapping[str, ImageSet], ways: int) -> bool:
    return all(len(part) >= ways for part in parts.values())


def deal_again(found: Mapping[str, Pictures], known: Known) -> Dealt:
    """Deal a folder out as a checkpoint says that it was.

    A class that the checkpoint does not know is in no part. Raises ValueError, with what has
    changed, where a class is missing or, if images were held out, where any image is another.
    """
    changes = changed(known, identity("", {}, found))
    names = {name for part in known["parts"].values() for name in part}
    if names - found.keys() or (known["held_out"] != "classes" and changes):
        raise ValueError(
            f"the folder is not the one that was trained on: {'; '.join(changes)}. Give the old "
            "one, or ask for the part all, which makes no difference between them."
        )
    whole = {name: found[name].images for name in sorted(names)}
    if known["held_out"] == "images":
        held = known["parts"]["test"]
        return Dealt(_by_images(whole, held), known)
    parts = {part: {name: whole[name] for name in known["parts"][part]} for part in PARTS}
    return Dealt(parts, known)


def identity(held_out: str, parts: Mapping[str, ImageSet], found: Mapping[str, Pictures]) -> Known:
    """Return what a checkpoint keeps of a folder that was dealt out so."""
    files = {
        name: sorted(composed(file.name) for file in pictures.files)
        for name, pictures in found.items()
    }
    return {
        "held_out": held_out,
        "classes": {name: len(names) for name, names in files.items()},
        "parts": {p: {name: len(x) for name, x in of.items()} for p, of in parts.items()},
        "digest": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
    }


def changed(before: Known, now: Known) -> list[str]:
    """Return in words what differs between two folders; nothing if they are one."""
    if before["digest"] == now["digest"]:
        return []
    old, new = before["classes"], now["classes"]
    said = [f"the class {name!r} is missing" for name in old.keys() - new.keys()]
    said += [f"the class {name!r} is new" for name in new.keys() - old.keys()]
    said += [
        f"the class {name!r} had {old[name]} images, and has {new[name]}"
        for name in old.keys() & new.keys()
        if old[name] != new[name]
    ]
    return sorted(said) or ["images have other names"]


def other_images(
    known: ImageSet, fresh: ImageSet, ways: int, shots: int, queries: int, generator: Generator
) -> Callable[[], Episode]:
    """Return a function that draws tasks with support images of `known` and queries of `fresh`.

    For the same classes in both: what is known of a class is what was trained on, what is asked is
    what was held out. Raises as `episodes.check_episode` does.
    """
    check_episode(known, ways, shots, 0)
    check_episode(fresh, ways, queries, 0)

    def draw() -> Episode:
        names = list(known)
        chosen = [names[i] for i in torch.randperm(len(names), generator=generator)[:ways]]
        support = [_some(known[name], shots, generator) for name in chosen]
        query = [_some(fresh[name], queries, generator) for name in chosen]
        return of_classes(support, query)

    return draw


def _some(images: torch.Tensor, count: int, generator: Generator) -> torch.Tensor:
    return images[torch.randperm(len(images), generator=generator)[:count]]


def _by_images(whole: ImageSet, held: Mapping[str, int]) -> dict[str, ImageSet]:
    """Deal the images of each class out: `held` of them for validation, as many for test."""
    parts: dict[str, ImageSet] = {part: {} for part in PARTS}
    for name, images in whole.items():
        order = torch.randperm(len(images), generator=Generator().manual_seed(0))
        sizes = [len(images) - 2 * held[name], held[name], held[name]]
        for part, chosen in zip(PARTS, order.split(sizes), strict=True):
            parts[part][name] = images[chosen.sort().values]
    return parts
