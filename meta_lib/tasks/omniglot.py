"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn by 20 people.

Lake, Salakhutdinov & Tenenbaum (2015), https://doi.org/10.1126/science.aab3050. Read from a
folder, or downloaded once from the authors' repository; and the authors' one-shot classification
runs, by which published error rates are measured. Used in part 5,
"Few-shot character recognition", section "The same notebook with real handwriting".
"""

import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PureWindowsPath

import numpy as np
import pooch
import requests
import torch
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import placed
from meta_lib.tasks.episodes import Episode, ImageSet
from meta_lib.tasks.folders import read_ink

URL = "https://github.com/brendenlake/omniglot/raw/master/python/"
MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
LAYOUT = re.compile(r"(?P<alphabet>[^/]+)/(?P<character>character\d+)/\d+_\d+\.png$")
RUN = re.compile(
    r"(?P<run>(?:.*/)?run\d{1,9})/"
    r"(?P<file>training/class\d+\.png|test/item\d+\.png|class_labels\.txt)$"
)
MAX_FILES, MAX_FILE_BYTES, MAX_BYTES, MAX_PIXELS = 100_000, 1_000_000, 200_000_000, 1_000_000
"""Far above all of Omniglot: 32,460 drawings of 105 × 105 pixels in less than 1 kB each."""


class NotOmniglot(ValueError):
    """What was found where Omniglot should be is something else, or is damaged."""


def omniglot(
    part: str = "images_background", size: int = 28, folder: str | os.PathLike | None = None
) -> ImageSet:
    """Return {"Alphabet/characterNN": images (drawers, 1, size, size)}; ink is 1, paper is 0.

    `part` is "images_background", "images_evaluation" or another archive of the official layout.
    It is read from `folder` or, if that is None, from the folder that the environment variable
    META_LIB_DATA names: there, PART.zip or the unpacked folder PART. Where neither is set the
    official archive is downloaded once, checked, and kept in the user's cache folder.

    Raises FileNotFoundError if the folder does not hold `part`, NotOmniglot if what it holds is
    damaged, laid out differently or far too large, ValueError for a part that cannot be downloaded,
    ConnectionError if the download fails, and OSError if the cache folder cannot be written.
    Nothing half-written is left behind.
    """
    checks.whole_number("size", size, at_least=4)
    folder = folder or os.environ.get("META_LIB_DATA")
    source = _find(part, Path(folder)) if folder else _download(part)
    images: dict[str, list[np.ndarray]] = {}
    for name, content in _files(source, ".png"):
        if match := LAYOUT.search(name):
            key = f"{match['alphabet']}/{match['character']}"
            images.setdefault(key, []).append(_decode(content, size, source, name))
    if not images:
        raise NotOmniglot(
            f"{source} holds no file named like ALPHABET/characterNN/CCCC_DD.png, "
            "so it is not Omniglot in its official layout"
        )
    return {key: _stacked(drawings) for key, drawings in images.items()}


def one_shot_runs(path: str | os.PathLike, size: int = 28) -> list[Episode]:
    """Return the official one-shot classification runs in an archive or folder, in their order.

    `path` is all_runs.zip or its unpacked folder, with any number of runs in it: the training
    images runNN/training/classNN.png, which are the support set, one a class; the test images
    runNN/test/itemNN.png, the queries; and runNN/class_labels.txt, which says in each line which
    test image is of which training image's class. Officially there are 20 runs of 20 classes and
    20 queries, each within one alphabet. Images are (1, size, size), ink 1 and paper 0.

    Raises FileNotFoundError if there is no `path`, and NotOmniglot if what it holds is damaged,
    laid out differently or far too large. Nothing is unpacked.
    """
    checks.whole_number("size", size, at_least=4)
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"there is no archive or folder {source}")
    drawings: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    labels: dict[str, str] = defaultdict(str)
    for name, content in _files(source, ".png", ".txt"):
        if not (match := RUN.match(name)):
            continue
        if match["file"] == "class_labels.txt":
            labels[match["run"]] = content.decode(errors="replace")
        else:
            drawings[match["run"]][match["file"]] = _decode(content, size, source, name)
    if not drawings:
        raise NotOmniglot(
            f"{source} holds no file named like runNN/training/classNN.png, "
            "so it is not the one-shot runs in their official layout"
        )
    in_order = sorted({*drawings, *labels}, key=lambda run: int(run.rpartition("run")[2]))
    return [_one_shot_run(run, drawings[run], labels[run], source) for run in in_order]


def _one_shot_run(run: str, drawings: dict[str, np.ndarray], labels: str, source: Path) -> Episode:
    training = sorted(name for name in drawings if name.startswith("training/"))
    test = sorted(name for name in drawings if name.startswith("test/"))
    # Each line is "runNN/test/itemNN.png runNN/training/classNN.png", an item and its class.
    words = [name.removeprefix(f"{Path(run).name}/") for name in labels.split()]
    items, classes = words[::2], words[1::2]
    one_class_each = test and sorted(items) == test and len(items) == len(classes)
    if not (one_class_each and {*classes} <= {*training}):
        raise NotOmniglot(
            f"{source}: {run}/class_labels.txt must give each image of {run}/test the name of one "
            f"image of {run}/training, but it is missing or does not"
        )
    class_of = dict(zip(items, classes, strict=True))
    support, query = (_stacked([drawings[name] for name in names]) for names in (training, test))
    ways = torch.arange(len(training), device=support.device)
    return Episode(support, ways, query, ways[[training.index(class_of[item]) for item in test]])


def _stacked(drawings: list[np.ndarray]) -> Tensor:
    return placed(torch.from_numpy(np.stack(drawings))[:, None])


def _find(part: str, folder: Path) -> Path:
    for source in (folder / f"{part}.zip", folder / part):
        if source.exists():
            return source
    raise FileNotFoundError(
        f"{folder} holds neither {part}.zip nor a folder {part}. Name a folder that does (argument "
        "folder, or the variable META_LIB_DATA), or unset both to download the official archive."
    )


def _download(part: str) -> Path:
    if part not in MD5:
        raise ValueError(f"part must be one of {', '.join(MD5)} to be downloaded, but was {part!r}")
    cache = pooch.os_cache("meta_lib")
    try:
        return Path(
            pooch.retrieve(
                f"{URL}{part}.zip",
                known_hash=f"md5:{MD5[part]}",
                fname=f"{part}.zip",
                path=cache,
                progressbar=True,
            )
        )
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"Omniglot could not be downloaded from {URL}{part}.zip ({error}). Connect and try "
            "again; or set META_LIB_DATA to a folder that holds the archive; or stay with the "
            "embedded glyphs, which need no network."
        ) from error
    except ValueError as error:
        raise NotOmniglot(
            f"What {URL}{part}.zip gave is not the official archive ({error}). It was not kept."
        ) from error
    except OSError as error:
        raise OSError(
            f"Omniglot could not be kept in the cache folder {cache} ({error}). Make room there, "
            f"and see that it may be written; or put {URL}{part}.zip into another folder and set "
            "META_LIB_DATA to that one; or stay with the embedded glyphs, which need no disk."
        ) from error


def _files(source: Path, *endings: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a zip archive's or folder's files with these endings, by name."""
    if source.is_dir():
        folder = source.resolve()
        paths = sorted(p for p in folder.rglob("*") if p.name.endswith(endings) and p.is_file())
        names = [path.relative_to(folder.parent).as_posix() for path in paths]
        _check(source, names, [path.stat().st_size for path in paths])
        yield from zip(names, (path.read_bytes() for path in paths), strict=True)
        return
    try:
        with source.open("rb") as file, zipfile.ZipFile(file) as archive:
            # Read straight from the archive: nothing is unpacked, so nothing can be overwritten.
            for name in archive.namelist():
                way = PureWindowsPath(name)  # knows all ways out: /, \\, C: and steps up
                if way.anchor or ".." in way.parts:
                    raise NotOmniglot(f"{source}: {name} is a place outside the archive")
            wanted = [info for info in archive.infolist() if info.filename.endswith(endings)]
            wanted.sort(key=lambda info: info.filename)
            _check(source, [i.filename for i in wanted], [i.file_size for i in wanted])
            yield from ((info.filename, _content(archive, info)) for info in wanted)
    except (PermissionError, NotOmniglot):
        raise
    except Exception as error:  # zipfile raises errors of every kind on damaged archives.
        raise NotOmniglot(
            f"{source} is damaged or not a zip archive ({error}). Delete it, so that it is "
            "fetched anew, or replace it by the official archive."
        ) from error


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # Where the size is a lie, zipfile unpacks more than it returns: without a limit all there is,
    # and of bzip2 and LZMA even with one.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{info.filename} is neither stored nor deflated")
    with archive.open(info) as file:
        return file.read(MAX_FILE_BYTES)


def _check(source: Path, names: list[str], sizes: list[int]) -> None:
    """Refuse what no archive of Omniglot holds; `names` are in order."""
    if len(names) > MAX_FILES or sum(sizes) > MAX_BYTES:
        raise NotOmniglot(
            f"{source} holds {len(names):,} files, which would unpack to {sum(sizes):,} bytes; all "
            f"of Omniglot has less than {MAX_FILES:,} files and {MAX_BYTES:,} bytes"
        )
    for name, following in pairwise(names):
        if name == following:
            raise NotOmniglot(f"{source} holds {name} twice")
    for name, size in zip(names, sizes, strict=True):
        if size > MAX_FILE_BYTES:
            raise NotOmniglot(
                f"{source}: {name} would unpack to {size:,} bytes; "
                f"a file of Omniglot has less than {MAX_FILE_BYTES:,}"
            )


def _decode(content: bytes, size: int, source: Path, name: str) -> np.ndarray:
    try:
        return read_ink(content, size, name, formats=["PNG"], max_pixels=MAX_PIXELS)
    except ValueError as error:
        raise NotOmniglot(f"{source}: {error}") from error
