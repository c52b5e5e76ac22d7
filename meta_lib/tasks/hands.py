"""Other hands: more characters and more ways of drawing them, made from those that there are.

A few hundred characters are few to practise on. Turned by a quarter, a character looks like another
one, so it may count as a class of its own (Santoro et al. 2016,
https://proceedings.mlr.press/v48/santoro16.html). And every drawing can be drawn again, slanted,
shifted and bent, as another hand might have done it. Used in part 5, "How far from the papers".
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import normal, uniform
from meta_lib.tasks.episodes import ImageSet


def quarter_turns(image_set: ImageSet) -> ImageSet:
    """Return the set with each class four times, turned by 0, 1, 2 and 3 quarters: 4 classes.

    The groups are turned too: "Latin/character01" comes back as itself and, for one quarter, as
    "Latin turned 1/character01". Images are (samples, channels, side, side).
    """

    def turned(name: str, quarters: int) -> str:
        group, slash, rest = name.partition("/")
        return f"{group} turned {quarters}{slash}{rest}" if quarters else name

    return {
        turned(name, quarters): images.rot90(quarters, (2, 3))
        for name, images in image_set.items()
        for quarters in range(4)
    }


def other_hand(
    images: Tensor, generator: Generator, strength: float = 1.0, bend: float = 0.0
) -> Tensor:
    """Return each image (…, 1, side, side) a little turned, slanted, scaled, shifted and inked.

    With `strength` 1 an image is turned by 0.1 radians, slanted and scaled by 10 % and shifted by
    3 % of its side, each the standard deviation of a normal draw. With `bend` the sheet is warped
    as well: the points of a 5 × 5 grid are moved by `bend` / 2 of the side, those between them
    smoothly with them (Simard, Steinkraus & Platt 2003, https://doi.org/10.1109/ICDAR.2003.1227801).

    Raises TypeError or ValueError unless `strength` is positive, or for images of another shape.
    """
    checks.positive("strength", strength)
    expected = "(…, channels, height, width)"
    checks.shape("images", images, expected, images.ndim >= 4)
    sheets = images.flatten(0, -4)
    count = len(sheets)
    turn, slant = 0.1 * strength * normal(2, count, generator=generator)
    x_scale, y_scale = (0.1 * strength * normal(2, count, generator=generator)).exp()
    x_shift, y_shift = 0.06 * strength * normal(2, count, generator=generator)
    cos, sin = turn.cos(), turn.sin()
    rows = [x_scale * cos, slant - y_scale * sin, x_shift, x_scale * sin, y_scale * cos, y_shift]
    places = F.affine_grid(
        torch.stack(rows, dim=1).view(-1, 2, 3), list(sheets.shape), align_corners=False
    )
    if bend:
        moves = bend * normal(count, 2, 5, 5, generator=generator)
        size = sheets.shape[2:]
        smooth = F.interpolate(moves, size=size, mode="bicubic", align_corners=True)
        places = places + smooth.permute(0, 2, 3, 1)
    ink = uniform(count, 1, 1, 1, generator=generator, low=0.7, high=1.6)
    drawn = (ink * F.grid_sample(sheets, places, align_corners=False)).clamp(max=1)
    return drawn.view(images.shape)
