"""Snapshots: a folder of picture files such as a reader might bring, made from invented signs.

Each sign is a glyph, drawn with blue ink by many hands on paper that is not quite white, under
light that falls from one side, and seen by a camera that adds noise: colour pictures, wider than
high, with the sign not in the middle. Or it is scratched into clay, which is brown, uneven and
specked, with the edge of the table in the picture. Used in part 5, "Your own images".
"""

import os
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.glyphs import glyphs

SIGN = 80
PAPER, INK = (236, 232, 222), (40, 48, 96)
CLAY, SCRATCH, TABLE, SPECK = (172, 112, 78), (92, 54, 36), (70, 74, 80), (60, 40, 30)
NOISE = 4
UNEVEN, SPECKS = 8.0, 8
"""How much the clay's shade varies from place to place, and how many specks lie on it."""


def write_snapshots(
    folder: str | os.PathLike,
    names: Iterable[str],
    photos: int = 20,
    margin: int = 20,
    shadow: float = 0.15,
    seed: int = 0,
    clay: bool = False,
) -> None:
    """Write `photos` pictures of a sign for each name, each by another hand: folder/name/00.png, ….

    A picture is 80 + `margin` pixels high and 80 + 2 `margin` wide, and the sign's sheet of 80 × 80
    lies somewhere in it. From one side to the other the light falls off by the share `shadow`.
    The same seed makes the same signs and pictures. With `clay` they are scratches on pots.

    Raises TypeError or ValueError unless `photos` is a whole number of at least 1, `margin` one of
    at least 0, and `shadow` a number from 0 to 1.
    """
    names = list(names)
    checks.whole_number("photos", photos)
    checks.whole_number("margin", margin, at_least=0)
    if not 0 <= shadow <= 1:
        raise ValueError(f"shadow must be from 0 to 1, but was {shadow}")
    generator = Generator().manual_seed(seed)
    drawings = glyphs(len(names), photos, SIGN, seed).values()
    for name, drawn in zip(names, drawings, strict=True):
        place = Path(folder) / name
        place.mkdir(parents=True, exist_ok=True)
        for number, sheet in enumerate(drawn):
            picture = _snapshot(sheet[0].cpu().double(), margin, shadow, generator, clay)
            picture.save(place / f"{number:02}.png", compress_level=1)


def _snapshot(
    sheet: Tensor, margin: int, shadow: float, generator: Generator, clay: bool
) -> Image.Image:
    height, width = SIGN + margin, SIGN + 2 * margin
    top, left = (
        int(torch.randint(room + 1, (), generator=generator)) for room in (margin, 2 * margin)
    )
    ink = torch.zeros(height, width, 1, dtype=torch.float64)
    ink[top : top + SIGN, left : left + SIGN, 0] = sheet
    ground, pen = (CLAY, SCRATCH) if clay else (PAPER, INK)
    paper, pen = (torch.tensor(colour, dtype=torch.float64) for colour in (ground, pen))
    light = 1 - shadow * torch.linspace(0, 1, width, dtype=torch.float64)[:, None]
    if torch.rand((), generator=generator) < 0.5:
        light = light.flip(0)
    noise = NOISE * torch.randn(height, width, 3, generator=generator, dtype=torch.float64)
    surface = paper + ink * (pen - paper)
    if clay:
        surface = _weathered(surface, generator)
    colours = surface * light + noise
    return Image.fromarray(colours.round().clamp(0, 255).byte().numpy())


def _weathered(surface: Tensor, generator: Generator) -> Tensor:
    """Make the surface (height, width, 3) uneven and specked, and put the table beside it."""
    height, width, _ = surface.shape
    coarse = torch.randn(1, 1, height // 8, width // 8, generator=generator, dtype=torch.float64)
    uneven = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    worn = surface + UNEVEN * uneven[0, 0, :, :, None]
    speck, table = (torch.tensor(colour, dtype=torch.float64) for colour in (SPECK, TABLE))
    rows = torch.randint(height - 2, (SPECKS,), generator=generator).tolist()
    columns = torch.randint(width - 2, (SPECKS,), generator=generator).tolist()
    for row, column in zip(rows, columns, strict=True):
        worn[row : row + 2, column : column + 2] = speck
    edge = int(torch.randint(3, 10, (), generator=generator))
    worn[height - edge :] = table
    return worn
