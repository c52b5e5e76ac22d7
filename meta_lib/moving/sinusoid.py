"""A network learns a wave from a few points, from three starts: part 3, "MAML"."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib import maml
from meta_lib.figures import maml as pictures
from meta_lib.moving import MovingFigure, floats
from meta_lib.networks import Parameters, flatten, forward, loss_of, mlp, parameters_of, unflatten
from meta_lib.tasks.draws import placed
from meta_lib.tasks.episodes import Episode
from meta_lib.tasks.sinusoids import Waves

ORDERS = ("second", "first")
CONTROLS = ("alpha", "steps", "shots", "beta", "order")
BLOCK = 10

# Whoever imports this keeps their random numbers.
with torch.random.fork_rng(devices=()):
    NETWORK = mlp(1, 40, 40, 1)
LOSS = loss_of(NETWORK, F.mse_loss)
SIZE = sum(weight.numel() for weight in NETWORK.parameters())


class Sinusoid(MovingFigure):
    """Inner steps from MAML's φ, from a pre-trained network and from a random start.

    `trained` holds, by β and order ("second" or "first"), what MAML's meta-training has found: φ
    and the meta-losses. `points` are of one wave; the first `shots` of them are the support set,
    and with more shots the others follow.

    `controls` are those that are shown, of `CONTROLS`, one idea a figure: with `beta` MAML's start
    and its meta-training are drawn, else all three starts and what the steps lower.
    """

    shared = ("alpha", "steps", "beta", "order", "wave", "support")
    controls: traitlets.List[str] = traitlets.List(
        traitlets.Enum(CONTROLS), ["shots", "steps"]
    ).tag(sync=True)
    alpha = traitlets.Float(0.01).tag(sync=True)
    steps = traitlets.Int(5).tag(sync=True)
    beta = traitlets.Float(0.02).tag(sync=True)
    order = traitlets.Enum(ORDERS, "second").tag(sync=True)
    wave: traitlets.List[float] = traitlets.List(help="amplitude and phase").tag(sync=True)
    support: traitlets.List[Any] = traitlets.List(help="the points [x, y]").tag(sync=True)
    pool: traitlets.List[float] = traitlets.List(help="x of all points").tag(sync=True)
    betas: traitlets.List[float] = traitlets.List(help="the β of the starts").tag(sync=True)
    starts = traitlets.Bytes(help="all φ, by β and order; pre-trained; random").tag(sync=True)
    curves = traitlets.Bytes(help="mean meta-losses of ten iterations each").tag(sync=True)

    def __init__(
        self,
        trained: dict[tuple[float, str], tuple[Parameters, list[float]]],
        pretrained: Parameters,
        random: Parameters,
        wave: Waves,
        points: Episode,
        shots: int = 5,
        **traits: Any,
    ):
        betas = sorted({beta for beta, _ in trained})
        found = [trained[beta, order] for beta in betas for order in ORDERS]
        vectors = [flatten(theta) for theta in (*(phi for phi, _ in found), pretrained, random)]
        # Four digits, because the points stand in the page's address.
        points = torch.cat([points.support_x[0], points.support_y[0]], dim=1).tolist()
        points = [[round(x, 4), round(y, 4)] for x, y in points]
        super().__init__(
            starts=floats(torch.stack(vectors)),
            curves=floats(torch.stack([blocks(curve) for _, curve in found])),
            betas=betas,
            wave=[tensor.item() for tensor in wave],
            support=points[:shots],
            pool=[x for x, _ in points],
            **traits,
        )

    @property
    def phi(self) -> Parameters:
        """The initialisation in use, by name: that of β and the order.

        What is set here takes its place, and has no curve of a meta-training.
        """
        starts = np.frombuffer(self.starts, "<f4").reshape(-1, SIZE)
        vector = torch.tensor(starts[self._chosen])
        return unflatten(placed(vector), parameters_of(NETWORK))

    @phi.setter
    def phi(self, phi: Parameters) -> None:
        starts = np.frombuffer(self.starts, "<f4").reshape(-1, SIZE).copy()
        curves = np.frombuffer(self.curves, "<f4").reshape(len(starts) - 2, -1).copy()
        starts[self._chosen], curves[self._chosen] = flatten(phi).detach().cpu().numpy(), np.nan
        with self.hold_sync():
            self.starts, self.curves = floats(starts), floats(curves)

    @property
    def _chosen(self) -> int:
        nearest = np.abs(np.log(self.betas) - np.log(self.beta)).argmin()
        return len(ORDERS) * int(nearest) + ORDERS.index(self.order)

    def still(self) -> Figure:
        """Return the network's curve before and after each inner step from φ."""
        x = placed(torch.linspace(-5, 5, 101, dtype=torch.float64))[:, None]
        amplitude, phase = self.wave
        wave = amplitude * torch.sin(x - phase)
        support_x, support_y = placed(torch.tensor(self.support, dtype=torch.float64)).split(1, 1)
        theta, fits, errors = self.phi, [], []
        for step in range(self.steps + 1):
            if step:
                theta, _ = maml.inner_step(LOSS, theta, support_x, support_y, self.alpha)
            fits.append(forward(NETWORK, theta, x).detach())
            errors.append(F.mse_loss(fits[-1], wave).item())
        drawn = (x, wave, support_x, support_y)
        x, wave, support_x, support_y = (tensor[:, 0].cpu().numpy() for tensor in drawn)
        fits = [fit[:, 0].cpu().numpy() for fit in fits]
        return pictures.fit(x, wave, support_x, support_y, fits, errors, self.alpha)


def blocks(curve: list[float]) -> Tensor:
    """Return the means over ten numbers each."""
    whole = len(curve) // BLOCK * BLOCK
    return torch.tensor(curve[:whole]).view(-1, BLOCK).mean(dim=1)
