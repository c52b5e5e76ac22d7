"""Unseen characters in the plane of a Siamese network: part 3, "Siamese networks"."""

from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor, nn

from meta_lib import siamese
from meta_lib.figures import siamese as pictures
from meta_lib.moving import MovingFigure, floats
from meta_lib.networks import conv_network
from meta_lib.tasks.episodes import ImageSet

MEASURES = {"Euclidean": siamese.euclidean_distance, "cosine": siamese.cosine_distance}
ITERATIONS = 100


def flat_network(
    image_set: ImageSet, margin: float, distance: siamese.Distance, seed: int = 0
) -> nn.Module:
    """Train a Siamese network with two features, which can be drawn as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the same first weights for all
        network = conv_network(2, filters=24, blocks=3, running_statistics=True)
    draws = torch.Generator().manual_seed(6)  # and the same pairs
    measure = siamese.Contrastive(distance, margin)
    siamese.train(network, image_set, ITERATIONS, draws, pairs=64, beta=5e-3, measure=measure)
    return network


class SiamesePlane(MovingFigure):
    """Drawings of unseen characters, embedded; a pair of them, its loss and gradients; the answers.

    Drawings are counted through all characters: with 20 of each, number 23 is the fourth drawing of
    the second character. `first` and `second` are the pair, `support` is the first of each
    character's support drawings. The network shown is the one whose margin is nearest.
    """

    parts = ("contrastive.js",)
    shared = ("margin", "measure", "shots", "ways", "support", "first", "second")
    margin = traitlets.Float(1.0, min=0.01).tag(sync=True)
    measure = traitlets.Enum(list(MEASURES), "Euclidean").tag(sync=True)
    shots = traitlets.Int(1).tag(sync=True)
    ways = traitlets.Int(5).tag(sync=True)
    support = traitlets.Int(11).tag(sync=True)
    first = traitlets.Int(7).tag(sync=True)
    second = traitlets.Int(80).tag(sync=True)
    drawings = traitlets.Int().tag(sync=True)
    trained: traitlets.List[Any] = traitlets.List().tag(sync=True)
    features = traitlets.Bytes().tag(sync=True)
    images = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        networks: dict[tuple[str, float], nn.Module],
        unseen: ImageSet,
        familiar: ImageSet,
        **traits: Any,
    ):
        """Embed up to six `unseen` characters by `networks`, named (measure, margin).

        `familiar` are the characters to meta-train with anew.
        """
        self._unseen = torch.stack(list(unseen.values()))
        self._familiar, self._seed = familiar, 0
        self._embedded = {name: self._embed(network) for name, network in networks.items()}
        ink = (255 * self._unseen).round().to(torch.uint8)
        super().__init__(
            drawings=self._unseen.shape[1], images=ink.cpu().numpy().tobytes(),
            **self._tables(), **traits,
        )  # fmt: skip

    @torch.no_grad()
    def _embed(self, network: nn.Module) -> np.ndarray:
        features = network(self._unseen.flatten(0, 1)).unflatten(0, self._unseen.shape[:2])
        return features.cpu().numpy()

    def _tables(self) -> dict:
        features = floats(np.stack(list(self._embedded.values())))
        return {"trained": [list(name) for name in self._embedded], "features": features}

    def train(self) -> None:
        """Meta-train a network with the chosen measure and margin, from new first weights."""
        measure, margin, self.progress = self.measure, self.margin, 0.0
        self._seed += 1

        def counted(*pair: Tensor) -> Tensor:
            # It is asked once in each iteration, so it knows how far the training is.
            self.progress = min(1.0, self.progress + 1 / ITERATIONS)
            return MEASURES[measure](*pair)

        network = flat_network(self._familiar, margin, counted, self._seed)
        self._embedded[measure, margin] = self._embed(network)
        with self.hold_sync():
            for name, table in self._tables().items():
                self.set_trait(name, table)

    def still(self) -> Figure:
        """Return the characters in the plane, with the pair joined."""
        of_measure = [name for name in self._embedded if name[0] == self.measure]
        shown = min(of_measure, key=lambda name: abs(np.log(name[1] / self.margin)))
        features = self._embedded[shown][: self.ways]
        pair = [divmod(number % (self.ways * self.drawings), self.drawings) for number in
                (self.first, self.second)]  # fmt: skip
        support = (self.support + np.arange(self.shots)) % self.drawings
        return pictures.pair_of_characters(features, pair, support, self.margin, self.measure)
