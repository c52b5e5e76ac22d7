"""Pre-training: the features of an ordinary classifier, without any meta-learning.

A network learns to name all training classes at once, by cross-entropy, and its last layer, which
names classes that no new task has, is thrown away. A new class is the mean of its support images'
features, as in `prototypes`. It is the rival that meta-learning has to beat: Chen et al. (2019),
https://arxiv.org/abs/1904.04232; Tian et al. (2020), https://arxiv.org/abs/2003.11539. Part 5,
"How far from the papers"; and part 5, "Few-shot character recognition", section
"Three learners, trained".
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib.machinery import checks
from meta_lib.machinery.distributed import share
from meta_lib.machinery.features import embed
from meta_lib.machinery.modes import evaluating
from meta_lib.machinery.runs import Run
from meta_lib.tasks.draws import whole_below
from meta_lib.tasks.episodes import ImageSet
from meta_lib.training import fit


class Batch(NamedTuple):
    """x (batch, channels, height, width) and the number of each image's class, y (batch,)."""

    x: Tensor
    y: Tensor


def train(
    network: nn.Module,
    image_set: ImageSet,
    iterations: int,
    generator: Generator,
    batch: int = 64,
    beta: float = 1e-3,
    run: Run | None = None,
    redraw: Callable[[Tensor], Tensor] | None = None,
) -> list[float]:
    """Train the network in place, with a last layer of its own, to name the classes of the set.

    Returns the losses. Each iteration draws `batch` classes, each as likely as any other, and one
    image of each. The last layer is dropped at the end. `run` and `redraw` are as in
    `siamese.train`.

    Raises TypeError or ValueError unless `batch` is at least 1; else as `features.embed` and
    `training.minimise` do.
    """
    checks.whole_number("batch", batch)
    classes = list(image_set.values())
    sizes = torch.tensor([len(images) for images in classes])
    with torch.no_grad(), evaluating(network):
        like = embed(network, classes[0][:1])
    head = nn.Linear(like.shape[1], len(classes)).to(like)
    # "head/…" is kept in checkpoints, which go on, and not in the model (`runs`).
    last = [(f"head/{name}", weight) for name, weight in head.named_parameters()]

    def loss() -> Tensor:
        labels = whole_below(torch.full((batch,), len(classes)), generator)
        numbers = whole_below(sizes[labels], generator)
        chosen = zip(labels.tolist(), numbers.tolist(), strict=True)
        x = torch.stack([classes[c][i] for c, i in chosen])
        if redraw is not None:
            x = redraw(x)
        x, y = share(Batch(x, labels.to(x.device)))
        return F.cross_entropy(head(embed(network, x)), y)

    return fit(network, loss, iterations, beta, "pre-training", run, last)
