"""One-shot learning with the reader's own hand: the preface."""

from typing import Any

import safetensors.torch
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.figures import preface
from meta_lib.moving import MovingFigure
from meta_lib.moving.hand_network import FILE, embed

PAPER, SIDE = 63, 28
LONGEST, INK, WIDTH = 17.0, 0.9, 0.55
"""Measured on Omniglot at 28 × 28: a character's longer side, a stroke's shade and its breadth."""

EXAMPLES = [
    [[46, 14, 36, 8, 24, 11, 17, 22, 18, 36, 27, 44, 39, 43, 47, 33, 46, 14], [32, 2, 31, 60]],
    [[10, 12, 48, 10, 14, 50, 52, 49], [20, 31, 42, 29]],
    [[9, 10, 12, 28, 22, 37, 34, 37, 46, 27, 50, 9], [31, 6, 30, 56, 40, 60]],
    [[33, 31, 37, 27, 41, 32, 36, 39, 24, 37, 20, 28, 26, 15, 41, 13, 52, 25, 50, 46, 20, 53]],
    [[10, 54, 11, 24, 30, 8, 50, 25, 51, 54], [24, 54, 24, 38, 37, 38, 37, 54]],
    [[12, 8, 13, 56], [13, 30, 30, 12, 48, 8], [24, 22, 50, 56]],
    [[8, 20, 20, 10, 30, 21, 42, 10, 54, 20], [30, 21, 30, 56], [18, 42, 43, 41]],
    [[14, 10, 14, 40, 24, 52, 40, 48, 44, 36, 36, 27, 24, 32], [42, 8, 52, 18], [52, 8, 42, 18]],
]  # fmt: skip
"""Invented signs. A drawing is a list of strokes, a stroke a list x, y, x, y, … from 0 to 63."""

QUERY = [[14, 7, 12, 21, 17, 32, 29, 38, 43, 34, 52, 21, 53, 11], [36, 9, 31, 33, 26, 55, 33, 60]]


def picture(drawing: list[list[int]]) -> Tensor:
    """Return the drawing as ink on paper, (1, 28, 28), the size and shade of Omniglot's.

    Raises ValueError if there is nothing on the paper.
    """
    strokes = [
        torch.tensor(stroke, dtype=torch.float64).view(-1, 2) for stroke in drawing if stroke
    ]
    if not strokes:
        raise ValueError("the drawing must have at least one point")
    points = torch.cat(strokes)
    low, high = points.amin(dim=0), points.amax(dim=0)
    scale = min(LONGEST / max((high - low).max().item(), 1), SIDE / (PAPER + 1))
    placed = [(stroke - (low + high) / 2) * scale + (SIDE - 1) / 2 for stroke in strokes]
    starts = torch.cat([stroke[: max(1, len(stroke) - 1)] for stroke in placed])
    ends = torch.cat([stroke[min(1, len(stroke) - 1) :] for stroke in placed])
    rows, columns = torch.meshgrid(*2 * [torch.arange(SIDE)], indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1).view(-1, 1, 2)
    way = ends - starts
    along = ((pixels - starts) * way).sum(-1) / way.square().sum(-1).clamp(min=1e-9)
    nearest = starts + along.clamp(0, 1)[..., None] * way
    squares = (pixels - nearest).square().sum(-1).amin(dim=1)
    return (INK * torch.exp(-squares / (2 * WIDTH**2))).view(1, SIDE, SIDE)


class Hand(MovingFigure):
    """Symbols drawn once each, and a query: which is it?

    `support` has five drawings, of which the first `ways` count; `query` is the drawing to be
    named; `pad` says which of the six is on the drawing pad, 0 to 4 or 5 for the query.
    """

    parts = ("pad.js", "hand_network.js")
    shared = ("support", "query", "ways", "pad")
    support = traitlets.List(EXAMPLES[:5]).tag(sync=True)
    query = traitlets.List(QUERY).tag(sync=True)
    ways = traitlets.Int(5, min=3, max=5).tag(sync=True)
    pad = traitlets.Int(5, min=0, max=5).tag(sync=True)
    examples = traitlets.List(EXAMPLES).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(self, **traits: Any):
        super().__init__(weights=FILE.read_bytes(), **traits)

    def embeddings(self, drawings: list) -> Tensor:
        """Return what the network makes of the drawings, (drawings, features)."""
        weights = safetensors.torch.load(self.weights)
        images = torch.stack([picture(drawing) for drawing in drawings])
        return embed({name: tensor.to(images) for name, tensor in weights.items()}, images)

    def distances(self) -> dict[str, float]:
        """Return how far the query lies from each symbol; the nearest symbol is the answer.

        A symbol whose paper is empty is left out; without a query there are no distances.
        """
        drawn = {
            name: drawing
            for name, drawing in zip(preface.LETTERS[: self.ways], self.support, strict=False)
            if any(drawing)
        }
        if not any(self.query):
            return {}
        query, *symbols = self.embeddings([self.query, *drawn.values()])
        return {
            name: (query - symbol).norm().item()
            for name, symbol in zip(drawn, symbols, strict=True)
        }

    def still(self) -> Figure:
        """Return the symbols, the query, and how far each symbol is from it."""
        return preface.hand(self.support[: self.ways], self.query, self.distances())
