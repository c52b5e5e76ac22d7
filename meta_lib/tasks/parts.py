"""Data sets in three parts, for meta-training, validation and test, that share no class.

What is chosen by looking is chosen on the validation part; the test part is looked at once.
Explained in part 2, "Meta-learning and machine learning".
"""

import os

from torch import Generator

from meta_lib.tasks.episodes import ImageSet, groups, split_classes
from meta_lib.tasks.folders import image_folder
from meta_lib.tasks.glyphs import glyphs, in_colour
from meta_lib.tasks.omniglot import omniglot

DATA_SETS = ("glyphs", "omniglot", "folder")
PARTS = ("train", "validation", "test")
SPLITS = ("alphabets", "characters")

GLYPHS = {"train": (400, 0), "validation": (100, 1), "test": (100, 2)}
"""Number of classes and seed of each part of the glyphs."""


def load_part(
    data: str,
    part: str,
    size: int = 28,
    folder: str | os.PathLike | None = None,
    split: str = "alphabets",
    channels: int = 1,
) -> ImageSet:
    """Return one part of a data set, or with the part "all" the whole of it.

    `data` is "glyphs", which need no folder; "omniglot", from `folder` or from where
    `tasks.omniglot` finds it; or "folder", a user's own images in `folder`, one folder a class.
    Omniglot is dealt out by alphabets and a user's images by classes, always in the same way: 64 %
    for meta-training, 16 % for validation, 20 % for test. With the `split` "characters" Omniglot's
    characters are dealt out one by one, as in MAML's paper: that is easier, as a new character is
    then of an alphabet that was trained on. With 3 `channels` glyphs and a user's images are in
    colour.

    Raises ValueError for another data set, part or split, "folder" without a folder, the split
    "characters" of anything but Omniglot, or colours of Omniglot; else as the data set's own
    function does.
    """
    if data not in DATA_SETS:
        raise ValueError(f"data must be one of {', '.join(DATA_SETS)}, but was {data!r}")
    if part not in (*PARTS, "all"):
        raise ValueError(f"part must be one of {', '.join(PARTS)} or all, but was {part!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, but was {split!r}")
    if split == "characters" and data != "omniglot":
        raise ValueError(f"split must be alphabets for {data}; only omniglot has both")
    if data == "omniglot" and channels != 1:
        raise ValueError(f"channels must be 1 for omniglot, which has no colours, not {channels}")
    if data == "glyphs":
        wanted = PARTS if part == "all" else (part,)
        return {
            f"{one} {name}": images
            for one in wanted
            for name, images in _glyphs(*GLYPHS[one], size, channels).items()
        }
    if data == "omniglot":
        whole = omniglot(size=size, folder=folder)
    elif folder is None:
        raise ValueError("folder must name the folder of the images, one folder a class")
    else:
        whole = image_folder(folder, size, channels=channels)
    return whole if part == "all" else deal(whole, together=split == "alphabets")[part]


def _glyphs(classes: int, seed: int, size: int, channels: int) -> ImageSet:
    drawn = glyphs(classes, size=size, seed=seed)
    return drawn if channels == 1 else in_colour(drawn, seed)


def deal(image_set: ImageSet, together: bool = True) -> dict[str, ImageSet]:
    """Return the three parts by name; classes called "group/…" stay with the others of the group.

    Unless they stay `together`, each class is dealt out by itself. The same set is always dealt out
    in the same way.
    """
    alone = {name: {name: images} for name, images in image_set.items()}
    apart = groups(image_set) if together else alone
    names = sorted(apart)
    validation, test = round(0.16 * len(names)), round(0.2 * len(names))
    sizes = (len(names) - validation - test, validation, test)
    in_order = {name: apart[name] for name in names}
    shuffled = split_classes(in_order, *sizes, generator=Generator().manual_seed(0))
    return {
        part: {name: images for group in chosen.values() for name, images in group.items()}
        for part, chosen in zip(PARTS, shuffled, strict=True)
    }
