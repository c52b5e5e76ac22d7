"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn by 20 people.

Lake, Salakhutdinov & Tenenbaum (2015), https://doi.org/10.1126/science.aab3050. Read from a
folder, or downloaded once from the authors' repository. Used in part 5.
"""

import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pooch
import torch
from PIL import Image, UnidentifiedImageError

from meta_lib import checks
from meta_lib.tasks.draws import placed
from meta_lib.tasks.episodes import ImageSet

URL = "https://github.com/brendenlake/omniglot/raw/master/python/"
MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
LAYOUT = re.compile(r"(?P<alphabet>[^/]+)/(?P<character>character\d+)/\d+_\d+\.png$")
MAX_IMAGE_BYTES = 1_000_000


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
    damaged or laid out differently, ValueError for a part that cannot be downloaded, and
    ConnectionError if the download fails. Nothing half-written is left behind.
    """
    checks.whole_number("size", size, at_least=4)
    folder = folder or os.environ.get("META_LIB_DATA")
    source = _find(part, Path(folder)) if folder else _download(part)
    images: dict[str, list[np.ndarray]] = {}
    for name, content in _files(source):
        if match := LAYOUT.search(name):
            key = f"{match['alphabet']}/{match['character']}"
            images.setdefault(key, []).append(_decode(content, size, source, name))
    if not images:
        raise NotOmniglot(
            f"{source} holds no file named like ALPHABET/characterNN/CCCC_DD.png, "
            "so it is not Omniglot in its official layout"
        )
    return {
        key: placed(torch.from_numpy(np.stack(drawings))[:, None])
        for key, drawings in images.items()
    }


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
    try:
        return Path(
            pooch.retrieve(
                f"{URL}{part}.zip",
                known_hash=f"md5:{MD5[part]}",
                fname=f"{part}.zip",
                path=pooch.os_cache("meta_lib"),
                progressbar=True,
            )
        )
    except ValueError as error:
        raise NotOmniglot(
            f"What {URL}{part}.zip gave is not the official archive ({error}). It was not kept."
        ) from error
    except OSError as error:
        raise ConnectionError(
            f"Omniglot could not be downloaded from {URL}{part}.zip ({error}). Connect and try "
            "again; or set META_LIB_DATA to a folder that holds the archive; or stay with the "
            "embedded glyphs, which need no network."
        ) from error


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each PNG in a zip archive or folder, ordered by name."""
    if source.is_dir():
        for path in sorted(source.rglob("*.png")):
            yield path.relative_to(source.parent).as_posix(), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            # Read straight from the archive: nothing is unpacked, so nothing can be overwritten.
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                if info.filename.endswith(".png"):
                    if info.file_size > MAX_IMAGE_BYTES:
                        raise NotOmniglot(
                            f"{source}: {info.filename} would unpack to {info.file_size:,} bytes; "
                            f"an Omniglot drawing has less than {MAX_IMAGE_BYTES:,}"
                        )
                    yield info.filename, archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise NotOmniglot(
            f"{source} is damaged or not a zip archive ({error}). Delete it, so that it is "
            "fetched anew, or replace it by the official archive."
        ) from error


def _decode(content: bytes, size: int, source: Path, name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            small = image.convert("L").resize((size, size), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise NotOmniglot(f"{source}: {name} cannot be read as an image ({error})") from error
    return 1 - np.asarray(small, dtype=np.float64) / 255
