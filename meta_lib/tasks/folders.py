"""Image folders: a user's own images, and how an image file becomes ink on paper.

The book's image sets are grey with ink 1 on paper 0. Pictures come otherwise: in colour, of any
shape, light on dark, on paper that a camera saw as grey. `read_ink` makes them alike, and with
`clean` it evens out the light and cuts a sign out of its sheet; `read_colours` keeps the colours as
they are. Used in part 5, "Few-shot character recognition" and "Your own images".
"""

import io
import os
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.machinery.features import at_once
from meta_lib.tasks.draws import placed
from meta_lib.tasks.episodes import ImageSet

# Named one by one, because Pillow's list has kinds that start other programs.
FORMATS: tuple[str, ...] = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
if find_spec("pillow_heif"):  # the photographs of some telephones
    from pillow_heif import register_heif_opener

    register_heif_opener()
    FORMATS = (*FORMATS, "HEIF")
LEFT_BEHIND = {
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "__macosx", "$recycle.bin",
    "system volume information",
}  # fmt: skip
"""What systems leave in folders, in small letters; the hidden ones besides."""
MAX_PIXELS = 50_000_000
CLEAN_SIDE = 512
PAPER_SIDE = 48
FILLED = 0.65


class NotAnImage(ValueError):
    """A file that should be an image is something else, or is damaged."""


class Pictures(NamedTuple):
    """The files of a folder, ordered by name, and their images (files, channels, size, size)."""

    files: list[Path]
    images: Tensor


def image_folder(
    path: str | os.PathLike, size: int = 28, clean: bool = False, channels: int = 1
) -> ImageSet:
    """Return {folder name: images (samples, channels, size, size)}, one folder a class, by name.

    With one channel the images are grey, as `read_ink` reads them; with 3 they are in colour, as
    `read_colours` does. Raises as `labelled` does.
    """
    return images_of(labelled(path, size, clean, channels))


def images_of(found: Mapping[str, Pictures]) -> ImageSet:
    """Return the images of each class, without their files."""
    return {name: pictures.images for name, pictures in found.items()}


def labelled(
    path: str | os.PathLike,
    size: int = 28,
    clean: bool = False,
    channels: int = 1,
    unread: list[str] | None = None,
) -> dict[str, Pictures]:
    """Return {folder name: pictures}: one folder a class, ordered by name.

    All that is in a class's folder must be images, of any size and colour. Hidden files, what
    systems leave behind, and files beside the class folders are passed over. Names are in Unicode's
    composed form (NFC), so that a folder is the same on every system. Where a list `unread` is
    given, a file that cannot be read is passed over, and what is wrong with it is put there.

    Raises FileNotFoundError or NotADirectoryError if there is no folder `path`, TypeError or
    ValueError unless `size` is a whole number of at least 4 and `channels` 1 or 3 (with `clean`,
    1), and, naming the folder or file, ValueError if there are no class folders, two of one name,
    or one without images, NotAnImage if files are none: all of them in one list.
    """
    _check_reading(size, clean, channels)
    wrong: list[str] = []
    found = {
        name: _pictures(files, size, clean, channels, wrong)
        for name, files in class_files(path).items()
    }
    _settle(wrong, unread)
    for name, pictures in found.items():
        _some(Path(path) / name, pictures)
    return found


def class_files(path: str | os.PathLike) -> dict[str, list[Path]]:
    """Return {folder name: what is in it}, as `labelled` orders them, unread.

    Raises FileNotFoundError, NotADirectoryError or ValueError as that does.
    """
    folders = [entry for entry in entries(Path(path)) if entry.is_dir()]
    if not folders:
        raise ValueError(f"{path} must hold one folder of images for each class, but holds none")
    names = [composed(folder.name) for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path} must hold each class once, but holds two folders {name!r}")
    found = {name: entries(folder) for name, folder in zip(names, folders, strict=True)}
    for folder, files in zip(folders, found.values(), strict=True):
        if not files:
            raise ValueError(f"{folder} must hold images, but is empty")
    return found


def flat_folder(
    path: str | os.PathLike, size: int = 28, clean: bool = False
) -> tuple[list[str], Tensor]:
    """Return the names and images (samples, 1, size, size) of a folder's files, ordered by name.

    For images without classes, such as queries. Raises as `unlabelled` does.
    """
    found = unlabelled(path, size, clean)
    return [file.name for file in found.files], found.images


def unlabelled(
    path: str | os.PathLike,
    size: int = 28,
    clean: bool = False,
    channels: int = 1,
    unread: list[str] | None = None,
) -> Pictures:
    """Return the pictures of a folder without class folders. Raises as `labelled` does."""
    _check_reading(size, clean, channels)
    wrong: list[str] = []
    files = entries(Path(path))
    found = _pictures(files, size, clean, channels, wrong)
    _settle(wrong, unread)
    if not files:
        raise ValueError(f"{path} must hold images, but is empty")
    _some(Path(path), found)
    return found


def in_blocks(
    files: Sequence[Path],
    size: int = 28,
    clean: bool = False,
    channels: int = 1,
    unread: list[str] | None = None,
) -> Iterator[Pictures]:
    """Yield the pictures of files, as many as are embedded at once (`features.at_once`).

    Raises as `labelled` does, for files that are no images after the last one, all in one list.
    """
    _check_reading(size, clean, channels)
    wrong: list[str] = []
    count = at_once(size)
    for start in range(0, len(files), count):
        yield _pictures(files[start : start + count], size, clean, channels, wrong)
    _settle(wrong, unread)


def _check_reading(size: int, clean: bool, channels: int) -> None:
    checks.whole_number("size", size, at_least=4)
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, but was {channels}")
    if clean and channels != 1:
        raise ValueError("clean must be left out with 3 channels: it cuts out ink, which is grey")


def _pictures(
    files: Sequence[Path], size: int, clean: bool, channels: int, wrong: list[str]
) -> Pictures:
    """Return what can be read, and put what is wrong with the others into the list."""
    read, images = [], []
    for file in files:
        try:
            content = _content(file)
            if channels == 3:
                image = read_colours(content, size, str(file))
            else:
                image = read_ink(content, size, str(file), clean=clean)[None]
        except NotAnImage as error:
            wrong.append(str(error))
        else:
            read.append(file)
            images.append(torch.from_numpy(image).to(torch.get_default_dtype()))
    none = torch.empty(0, channels, size, size)
    return Pictures(read, placed(torch.stack(images) if images else none))


def _content(file: Path) -> bytes:
    """Return the bytes of a file; what has none to be read, or no end of them, is no image."""
    if file.is_dir():
        raise NotAnImage(f"{file} cannot be read as an image (it is a folder)")
    if file.exists() and not file.is_file():
        raise NotAnImage(f"{file} cannot be read as an image (it is no ordinary file)")
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotAnImage(f"{file} cannot be read as an image ({error.strerror})") from error


def _settle(wrong: list[str], unread: list[str] | None) -> None:
    """Note what could not be read where that is asked for, else raise it, all in one list."""
    if unread is not None:
        unread += wrong
    elif wrong:
        many = f"{len(wrong)} files cannot be read:\n  " if len(wrong) > 1 else ""
        raise NotAnImage(many + "\n  ".join(wrong))


def _some(folder: Path, found: Pictures) -> None:
    if not found.files:
        raise ValueError(f"{folder} must hold images, but holds none that can be read")


def read_ink(
    content: bytes,
    size: int,
    name: str,
    formats: list[str] | tuple[str, ...] = FORMATS,
    clean: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Return the image in an image file's bytes as ink on paper, (size, size), from 0 to 1.

    The image is made grey, what is transparent becoming white; then it is shrunk or enlarged until
    its longer side fits, and made square with paper, so that nothing is distorted. The paper's
    shade is the median along the image's border. Where that is dark, the image is light ink on dark
    paper, and is turned into its negative first. Ink is then how much darker a pixel is than the
    paper, as a share: 0 on the paper or lighter, 1 for black.

    With `clean` the paper's shade is found at each place, as the lightest around it, so that a
    shadow is no ink; ink is what differs most from the border, darker or lighter; and the picture
    is cut so that the ink's longer side is 65 % of the square.

    Raises NotAnImage, with the `name`, if the bytes are not a whole image in one of the formats,
    hold more than `max_pixels`, or are so long and thin that less than a pixel's width is left.
    """
    with _opened(content, name, formats, max_pixels) as image:
        grey = _cleaned(_grey(image)) if clean else _grey(image)
        _check_sides(grey, size)
        pixels = np.asarray(grey)
        paper = int(np.median(_border(pixels)))
        square = ImageOps.pad(grey, (size, size), Image.Resampling.BILINEAR, color=paper)
    shades = np.asarray(square, dtype=np.float64)
    if paper < 128:
        shades, paper = 255 - shades, 255 - paper
    return (1 - shades / paper).clip(min=0)


def read_colours(content: bytes, size: int, name: str) -> np.ndarray:
    """Return the image in an image file's bytes in its colours, (3, size, size), from 0 to 1.

    It is made square as `read_ink` does, with the median colour of its border. Raises as that does.
    """
    with _opened(content, name, FORMATS, MAX_PIXELS) as image:
        colours = _on_white(image)
        if not colours.mode.startswith("RGB"):
            # Deeper pixels, which Pillow would make white, are read or refused as grey ones are.
            deep = image.mode.startswith(("I", "F"))
            colours = (_grey(image) if deep else colours).convert("RGB")
        _check_sides(colours, size)
        border = tuple(np.median(_border(np.asarray(colours)), axis=0).astype(int).tolist())
        square = ImageOps.pad(colours, (size, size), Image.Resampling.BILINEAR, color=border)
    return np.asarray(square, dtype=np.float64).transpose(2, 0, 1) / 255


@contextmanager
def _opened(
    content: bytes, name: str, formats: list[str] | tuple[str, ...], max_pixels: int
) -> Iterator[Image.Image]:
    """Open an image as its camera was held; whatever is wrong with it becomes NotAnImage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise ValueError(f"it has more than {max_pixels:,} pixels")
                yield ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's decoders raise errors of every kind on damaged files.
        reason = str(error)
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(formats)}"
            if name.lower().endswith((".heic", ".heif")) and "HEIF" not in formats:
                reason += "; install pillow-heif for photographs of this kind, or save it as JPEG"
        raise NotAnImage(f"{name} cannot be read as an image ({reason})") from error


def _border(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _check_sides(image: Image.Image, size: int) -> None:
    """Refuse what is so long and thin that in the square not one pixel's width would be left."""
    if size * min(image.size) < max(image.size):
        raise ValueError(
            f"its sides of {image.width} and {image.height} pixels are too unequal for a square of "
            f"{size}: cut out what is to be seen"
        )


def _cleaned(grey: Image.Image) -> Image.Image:
    """Return dark ink on white paper under even light, cut out of its sheet with a margin."""
    # A long and thin picture must keep what is on its short side.
    longest = max(CLEAN_SIDE, PAPER_SIDE * max(grey.size) // min(grey.size))
    grey.thumbnail((longest, longest))
    shades = np.asarray(grey)
    # Ink is what differs most: brown clay is as dark as it is light, and its scratches are darker.
    darkest, lightest = np.quantile(shades, (0.02, 0.98))
    if lightest + darkest > 2 * np.median(_border(shades)):
        shades = 255 - shades
    # The lightest shade nearby is looked for on a small copy: a wide filter on many pixels is slow.
    small = Image.fromarray(shades).resize((PAPER_SIDE, PAPER_SIDE), Image.Resampling.BOX)
    around = small.filter(ImageFilter.MaxFilter(PAPER_SIDE // 8 * 2 + 1))
    paper = around.filter(ImageFilter.BoxBlur(PAPER_SIDE // 8)).resize(grey.size)
    ink = (1 - shades / np.maximum(np.asarray(paper), 1)).clip(min=0)
    rows, columns = np.nonzero(ink >= 0.4 * ink.max())
    tall, wide = ((found.min(), found.max() + 1) for found in (rows, columns))
    longer = max(tall[1] - tall[0], wide[1] - wide[0])
    margin = round(longer * (1 / FILLED - 1) / 2)
    cut = np.pad(ink, margin)[tall[0] : tall[1] + 2 * margin, wide[0] : wide[1] + 2 * margin]
    return Image.fromarray((255 * (1 - cut)).round().astype(np.uint8))


def _grey(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        # Pillow's own conversion of deeper pixels to 8 bits makes nearly all of them white. And a
        # file of 16 bits may hold 12 of them only.
        deep = np.asarray(image)
        bits = max(8, int(deep.max()).bit_length())
        return Image.fromarray((deep >> bits - 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; 8 or 16 are allowed")
    return _on_white(image).convert("L")


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I;16")


def _on_white(image: Image.Image) -> Image.Image:
    """Return the image with white where it is transparent."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def composed(name: str) -> str:
    """Return a name in Unicode's composed form: some systems take an accent apart, others do not.

    Part 5, "Your own images".
    """
    return unicodedata.normalize("NFC", name)


def entries(folder: Path) -> list[Path]:
    """Return what is in a folder, ordered by name, but nothing hidden or left by a system."""
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} must be a folder of images, but is a file")
    found = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    wanted = [entry for entry in found if entry.name.lower() not in LEFT_BEHIND]
    return sorted(wanted, key=lambda entry: composed(entry.name))
