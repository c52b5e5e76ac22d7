"""Image folders: a user's own images, and how an image file becomes ink on paper.

Every image set of the book is grey with ink 1 on paper 0. Pictures come otherwise: in colour, of
any shape, light on dark, on paper that a camera saw as grey. `read_ink` makes them alike, and with
`clean` it evens out the light and cuts a sign out of its sheet. Used in part 5, "Few-shot
character recognition" and "Your own images".
"""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import placed
from meta_lib.tasks.episodes import ImageSet

# Named one by one, because Pillow's list has kinds that start other programs.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 50_000_000
CLEAN_SIDE = 512
PAPER_SIDE = 48
FILLED = 0.65


class NotAnImage(ValueError):
    """A file that should be an image is something else, or is damaged."""


def image_folder(path: str | os.PathLike, size: int = 28, clean: bool = False) -> ImageSet:
    """Return {folder name: images (samples, 1, size, size)}: one folder a class, ordered by name.

    Every file in a class's folder must be an image that `read_ink` can read, of any size and
    colour. Hidden files, and files beside the class folders, are passed over.

    Raises FileNotFoundError or NotADirectoryError if there is no folder `path`, TypeError or
    ValueError unless `size` is a whole number of at least 4, and, naming the folder or file,
    ValueError if there are no class folders or one of them is empty, NotAnImage if a file is none.
    """
    checks.whole_number("size", size, at_least=4)
    classes = [entry for entry in entries(Path(path)) if entry.is_dir()]
    if not classes:
        raise ValueError(f"{path} must hold one folder of images for each class, but holds none")
    return {folder.name: flat_folder(folder, size, clean)[1] for folder in classes}


def flat_folder(
    path: str | os.PathLike, size: int = 28, clean: bool = False
) -> tuple[list[str], Tensor]:
    """Return the names and images (samples, 1, size, size) of a folder's files, ordered by name.

    For images without classes, such as queries. Raises as `image_folder` does.
    """
    checks.whole_number("size", size, at_least=4)
    files = entries(Path(path))
    if not files:
        raise ValueError(f"{path} must hold images, but is empty")
    for file in files:
        if file.is_dir():
            raise ValueError(f"{path} must hold nothing but images, but holds a folder {file.name}")
    images = [read_ink(file.read_bytes(), size, str(file), clean=clean) for file in files]
    return [file.name for file in files], placed(torch.from_numpy(np.stack(images))[:, None])


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
    shadow is no ink; and the picture is cut so that the ink's longer side is 65 % of the square.

    Raises NotAnImage, with the `name`, if the bytes are not a whole image in one of the formats,
    or hold more than `max_pixels`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise ValueError(f"it has more than {max_pixels:,} pixels")
                grey = _grey(ImageOps.exif_transpose(image))
        if clean:
            grey = _cleaned(grey)
        pixels = np.asarray(grey)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        paper = int(np.median(border))
        square = ImageOps.pad(grey, (size, size), Image.Resampling.BILINEAR, color=paper)
    except Exception as error:  # Pillow's decoders raise errors of every kind on damaged files.
        raise NotAnImage(f"{name} cannot be read as an image ({error})") from error
    shades = np.asarray(square, dtype=np.float64)
    if paper < 128:
        shades, paper = 255 - shades, 255 - paper
    return (1 - shades / paper).clip(min=0)


def _cleaned(grey: Image.Image) -> Image.Image:
    """Return dark ink on white paper under even light, cut out of its sheet with a margin."""
    grey.thumbnail((CLEAN_SIDE, CLEAN_SIDE))
    shades = np.asarray(grey)
    if np.median(np.concatenate([shades[0], shades[-1], shades[:, 0], shades[:, -1]])) < 128:
        shades = 255 - shades
    # The lightest shade nearby is looked for on a small copy: a wide filter on many pixels is slow.
    small = Image.fromarray(shades).resize((PAPER_SIDE, PAPER_SIDE), Image.Resampling.BOX)
    lightest = small.filter(ImageFilter.MaxFilter(PAPER_SIDE // 8 * 2 + 1))
    paper = lightest.filter(ImageFilter.BoxBlur(PAPER_SIDE // 8)).resize(grey.size)
    ink = (1 - shades / np.maximum(np.asarray(paper), 1)).clip(min=0)
    rows, columns = np.nonzero(ink >= 0.4 * ink.max())
    tall, wide = ((found.min(), found.max() + 1) for found in (rows, columns))
    longer = max(tall[1] - tall[0], wide[1] - wide[0])
    margin = round(longer * (1 / FILLED - 1) / 2)
    cut = np.pad(ink, margin)[tall[0] : tall[1] + 2 * margin, wide[0] : wide[1] + 2 * margin]
    return Image.fromarray((255 * (1 - cut)).round().astype(np.uint8))


def _grey(image: Image.Image) -> Image.Image:
    # Pillow's own conversion of deeper pixels to 8 bits makes nearly all of them white.
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; 8 or 16 are allowed")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L")


def entries(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, ordered by name."""
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} must be a folder of images, but is a file")
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
