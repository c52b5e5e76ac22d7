"""A Siamese network learns its plane before the reader's eyes.

Part 3, "Siamese networks", section "Watch it learn".
"""

from functools import cache

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib import siamese
from meta_lib.figures import siamese as pictures
from meta_lib.moving import MovingFigure, learning
from meta_lib.moving.siamese_plane import MEASURES
from meta_lib.networks import Parameters, forward, mlp, parameters_of, unflatten
from meta_lib.tasks.draws import placed
from meta_lib.tasks.episodes import ImageSet
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.page_draws import PageGenerator
from meta_lib.training import minimise

SIDE, FAMILIAR, NEW, PAIRS = 14, 200, 6, 64

# Whoever imports this keeps their random numbers.
with torch.random.fork_rng(devices=()):
    NETWORK = torch.nn.Sequential(torch.nn.Flatten(), *mlp(SIDE * SIDE, 64, 2))
LIKE = parameters_of(NETWORK)


class LearnPlane(MovingFigure):
    """A Siamese network with two outputs, trained in the page, and where new characters lie.

    `margin`, `measure`, `similar` (the share of similar pairs) and `beta` may change while it
    learns; `shots` is how many drawings of each character the answers come from. The training goes
    on until iteration `goal`; with `seed` 0 it is the same one everywhere, and `train` of this
    module repeats it in Python. `own` are up to three symbols of the reader's, drawn as those of
    `moving.hand.Hand`, and `pad` says which of them is on the pad, from 1; with 0 the loss stands
    in its place. Where there is a kernel, `phi` is what the page has found when it rests.
    """

    parts = ("pad.js", "learning.js", "learn_siamese.js")
    shared = (
        "margin", "measure", "similar", "beta", "shots", "iterations", "seed", "goal", "own", "pad",
    )  # fmt: skip
    margin = traitlets.Float(1.0, min=0.01).tag(sync=True)
    measure = traitlets.Enum(list(MEASURES), "Euclidean").tag(sync=True)
    similar = traitlets.Float(0.5, min=0, max=1).tag(sync=True)
    beta = traitlets.Float(0.01, min=0).tag(sync=True)
    shots = traitlets.Int(1, min=1, max=5).tag(sync=True)
    iterations = traitlets.Int(600, min=1).tag(sync=True)
    seed = traitlets.Int(0, min=0).tag(sync=True)
    goal = traitlets.Int(0, min=0).tag(sync=True)
    own = traitlets.List(traitlets.List()).tag(sync=True)
    pad = traitlets.Int(0, min=0, max=3).tag(sync=True)
    found = traitlets.Bytes(help="φ of the page, 64 bits a weight").tag(sync=True)

    @property
    def phi(self) -> Parameters:
        """The weights that the page has found, by name; random weights before."""
        if not self.found:
            return learning.first_weights(LIKE, PageGenerator(self.seed))
        return unflatten(placed(torch.tensor(np.frombuffer(self.found, "<f8"))), LIKE)

    def still(self) -> Figure:
        """Return where the new characters lie at φ, and the distances of their pairs."""
        places = embed(self.phi)
        similar, different = distances(places, self.measure)
        return pictures.learnt_plane(places.cpu().numpy(), similar, different, self.margin)


@cache
def characters() -> tuple[ImageSet, ImageSet]:
    """Return the characters of the page: 200 to train on, and 6 that are new."""
    drawn = list(glyphs(FAMILIAR + NEW, size=SIDE, source=PageGenerator).items())
    return dict(drawn[:FAMILIAR]), dict(drawn[FAMILIAR:])


def embed(phi: Parameters) -> Tensor:
    """Return the places of the new characters' drawings in the plane, (6, 20, 2)."""
    images = torch.stack(list(characters()[1].values()))
    return forward(NETWORK, phi, images.flatten(0, 1)).unflatten(0, images.shape[:2]).detach()


def distances(places: Tensor, measure: str) -> tuple[Tensor, Tensor]:
    """Return the distances of all pairs of one character, and of all pairs of two.

    `places` are (characters, drawings, 2).
    """
    flat, character = places.flatten(0, 1), torch.arange(len(places)).repeat_interleave(20)
    one, other = torch.triu_indices(len(flat), len(flat), offset=1)
    D = MEASURES[measure](flat[one], flat[other])
    same = (character[one] == character[other]).to(D.device)
    return D[same], D[~same]


def accuracy(places: Tensor, measure: str, shots: int = 1) -> float:
    """Return the share of drawings whose nearest support drawing is of their character.

    As many drawings in a row as there are `shots` are a character's support, and each of the 20
    rows has its turn.
    """
    drawings = places.shape[1]
    flat, character = places.flatten(0, 1), torch.arange(len(places)).repeat_interleave(drawings)
    shares = []
    for first in range(drawings):
        support = (first + torch.arange(shots)) % drawings
        D = MEASURES[measure](flat[:, None, None], places[:, support]).amin(dim=-1)
        asked = (torch.arange(len(flat)) - first) % drawings >= shots
        shares.append((D.argmin(dim=1).cpu() == character)[asked].double().mean())
    return torch.stack(shares).mean().item()


def train(
    margin: float = 1.0,
    measure: str = "Euclidean",
    similar: float = 0.5,
    beta: float = 0.01,
    seed: int = 0,
    iterations: int = 600,
) -> tuple[Parameters, list[float]]:
    """Return what the page's training with these settings finds, φ, and the losses.

    The weights, the pairs and the iterations are the page's, the loss and its gradient those of
    `meta_lib.siamese` under torch. Raises as `siamese.sample_pairs`, `siamese.Contrastive` and
    `training.minimise` do.
    """
    generator, familiar = PageGenerator(seed), characters()[0]
    first = learning.first_weights(LIKE, generator)
    phi = {name: weight.requires_grad_() for name, weight in first.items()}
    costs = siamese.Contrastive(MEASURES[measure], margin)

    def batch_loss() -> Tensor:
        pairs = siamese.sample_pairs(familiar, PAIRS, generator, similar)
        features_1, features_2 = forward(NETWORK, phi, torch.cat([pairs.x1, pairs.x2])).chunk(2)
        return costs.loss(costs(features_1, features_2), pairs.different).mean()

    losses = minimise(phi.items(), batch_loss, iterations, beta, decay=True, label="Siamese")
    return {name: weight.detach() for name, weight in phi.items()}, losses
