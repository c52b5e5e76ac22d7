"""Glyphs: characters of alphabets that do not exist, as many as wanted, drawn from a seed.

A class is one to four pen strokes, each a smooth curve through the unit square. Every drawer
draws it differently: the curve's points shift, the sheet is turned, sheared and scaled, and the
pen is thicker or thinner. So few-shot recognition has an endless data set without a download.
The idea of characters as pen strokes with a drawer's variation is Lake, Salakhutdinov &
Tenenbaum's (2015), https://doi.org/10.1126/science.aab3050. Explained in part 1,
"What meta-learning offers", section "Many small tasks, then a real one".
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import Source, normal, placed, seeded, uniform, whole_below
from meta_lib.tasks.episodes import ImageSet
from meta_lib.tasks.page_draws import PageGenerator

TEXTURE = 0.06
"""How much the shades of paper and ink vary from place to place, in colour."""
MAX_STROKES = 4
POINTS_ON_STROKE = 40


def glyphs(
    classes: int,
    drawers: int = 20,
    size: int = 28,
    seed: int = 0,
    source: Callable[[int], Source] = seeded,
) -> ImageSet:
    """Return `classes` characters, each drawn by `drawers` hands: images (drawers, 1, size, size).

    Ink is 1, paper is 0. The same seed gives the same glyphs, and the first classes of a large
    set are those of a smaller one. `source` makes a generator from a seed, a new one for each
    class.

    Raises TypeError or ValueError unless `classes` and `drawers` are whole numbers of at least 1,
    and `size` of at least 4.
    """
    checks.whole_number("classes", classes)
    checks.whole_number("drawers", drawers)
    checks.whole_number("size", size, at_least=4)
    return {
        f"glyph {index}": _draw(drawers, size, source(1_000_003 * seed + index))
        for index in range(classes)
    }


def in_colour(image_set: ImageSet, seed: int = 0) -> ImageSet:
    """Return ink on paper (samples, 1, side, side) in colours, (samples, 3, side, side).

    Each image gets a paper and an ink of its own, one light and one dark, and both a texture: as
    if each had been drawn on another material. So the colour tells nothing of the class. The same
    seed gives the same colours. Part 5, "Your own images".
    """
    generator = Generator().manual_seed(seed)
    return {name: _coloured(images, generator) for name, images in image_set.items()}


def _coloured(images: Tensor, generator: Generator) -> Tensor:
    count, side = len(images), images.shape[-1]
    light, dark = (
        uniform(count, 3, 1, 1, generator=generator, low=low, high=low + 0.45) for low in (0.5, 0.0)
    )
    on_dark = (uniform(count, 1, 1, 1, generator=generator) < 0.25).to(images)
    paper, ink = light.lerp(dark, on_dark), dark.lerp(light, on_dark)
    coarse = normal(count, 1, -(-side // 4), -(-side // 4), generator=generator)
    grain = F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    fine = normal(count, 1, side, side, generator=generator)
    return (paper.lerp(ink, images) + TEXTURE * (grain + fine / 3)).clamp(0, 1)


def _draw(drawers: int, size: int, generator: Source) -> Tensor:
    strokes = _strokes(generator)
    jitter = 0.04 * normal(drawers, *strokes.shape, generator=generator)
    curves = _curve(strokes + jitter)
    points = _shake_sheet(curves.reshape(drawers, -1, 2), generator)
    thickness = 0.045 * torch.exp(0.2 * normal(drawers, 1, 1, generator=generator))
    return _ink(points, thickness, size)


def _strokes(generator: Source) -> Tensor:
    """Return the control points of a new character, (strokes, 4, 2)."""
    if isinstance(generator, PageGenerator):
        count = 1 + int(whole_below(torch.tensor(MAX_STROKES), generator))
    else:
        count = int(torch.randint(1, MAX_STROKES + 1, (), generator=generator))
    controls = uniform(count, 4, 2, generator=generator)
    # Half of the strokes set out where the one before ended, as in real scripts.
    joined = uniform(count - 1, generator=generator) < 0.5
    for stroke in range(1, count):
        if joined[stroke - 1]:
            controls[stroke, 0] = controls[stroke - 1, 3]
    return _fit(controls)


def _fit(controls: Tensor) -> Tensor:
    """Scale and shift the curves so that they fill the middle of the sheet, whatever their form."""
    points = _curve(controls).reshape(-1, 2)
    low, high = points.amin(dim=0), points.amax(dim=0)
    return 0.5 + 0.64 * (controls - (low + high) / 2) / (high - low).amax()


def _curve(controls: Tensor) -> Tensor:
    """Return points along the Bézier curves with these controls (…, 4, 2), as (…, points, 2)."""
    t = placed(torch.linspace(0, 1, POINTS_ON_STROKE, dtype=torch.float64))
    bernstein = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], dim=1)
    return bernstein @ controls


def _shake_sheet(points: Tensor, generator: Source) -> Tensor:
    """Turn, shear, scale and shift each drawer's sheet; points are (drawers, points, 2)."""
    angle, shear, *scales = normal(4, len(points), generator=generator)
    angle, shear = math.radians(12) * angle, 0.15 * shear
    scale_x, scale_y = (torch.exp(0.1 * scale) for scale in scales)
    cos, sin = torch.cos(angle), torch.sin(angle)
    along_x = torch.stack([cos, sin], dim=1) * scale_x[:, None]
    along_y = torch.stack([shear * cos - sin, shear * sin + cos], dim=1) * scale_y[:, None]
    matrix = torch.stack([along_x, along_y], dim=2)
    shift = 0.05 * normal(len(points), 1, 2, generator=generator)
    return (points - 0.5) @ matrix.mT + 0.5 + shift


def _ink(points: Tensor, thickness: Tensor, size: int) -> Tensor:
    """Return images (drawers, 1, size, size): dark where a pixel is near to a point of a stroke."""
    centres = placed((torch.arange(size) + 0.5) / size)
    pixels = torch.cartesian_prod(centres, centres).flip(1)
    distance = torch.cdist(pixels, points).amin(dim=2, keepdim=True)
    edge = 0.5 / size
    ink = torch.sigmoid((thickness - distance) / edge)
    return ink.reshape(-1, 1, size, size)
