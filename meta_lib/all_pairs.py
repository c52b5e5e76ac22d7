"""All pairs of a batch: a stronger training for the same Siamese network.

The contrastive loss sees one pair a drawing, and most pairs of different characters lie beyond its
margin and teach nothing. A batch of N classes with K drawings each holds NK (NK - 1) / 2 pairs, and
embedding it costs no more than embedding NK drawings. Each similar pair (i, p) is then asked to
stand out among all dissimilar pairs (i, n) of the same drawing:

    L_ip = -log( exp(-s D_ip) / (exp(-s D_ip) + Σₙ exp(-s D_in)) )

The softmax weighs a dissimilar pair by how near it is, so the hard ones are found by themselves,
all the more where a batch comes from one alphabet. Part 5, "How far from the papers". The loss is
that of Sohn (2016), https://papers.nips.cc/paper/2016/hash/6b180037abbebea991d8b1232f8a8ca9-Abstract.html,
with the cosine distance D and a scale s.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from meta_lib.machinery import checks
from meta_lib.machinery.features import Embed, embed
from meta_lib.machinery.modes import evaluating
from meta_lib.machinery.runs import Run
from meta_lib.tasks.episodes import Episode
from meta_lib.tasks.hands import other_hand
from meta_lib.training import fit


def softmax_loss(features: Tensor, labels: Tensor, scale: float = 24.0) -> Tensor:
    """Return L_ip, averaged over all similar pairs (i, p) of a batch: one number.

    `features` is (n, features) and `labels` (n,). D = 1 - cos ends at 2, so the scale s decides how
    certain the softmax can be. Which pairs there are is a value: labels on a GPU are waited for,
    labels on the CPU, which may be those of features anywhere, are not.

    Raises TypeError or ValueError unless `scale` is positive and there is a label for each of the
    features, with at least one similar and one dissimilar pair.
    """
    checks.positive("scale", scale)
    expected = f"({len(features)},), one label for each of the features"
    checks.shape("labels", labels, expected, labels.shape == features.shape[:1])
    same = labels[:, None] == labels
    similar = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if not similar.any() or same.all():
        raise ValueError(
            "labels must hold two of one class and two of different ones, "
            f"but were {labels.tolist()}"
        )
    directions = F.normalize(features, dim=1)
    near = -scale * (1 - directions @ directions.T)
    dissimilar = near.masked_fill(same.to(near.device), -torch.inf).logsumexp(dim=1, keepdim=True)
    # -log(a / (a + b)) = log(1 + b / a)
    return F.softplus(dissimilar - near)[similar].mean()


def train(
    network: nn.Module,
    sample: Callable[[], Episode],
    iterations: int,
    beta: float = 1e-3,
    scale: float = 24.0,
    run: Run | None = None,
) -> list[float]:
    """Train the network in place on a fresh batch in each iteration, and return the losses.

    `sample` returns a stack of episodes, as `tasks.episodes.sample_episodes` does. Each is one
    batch, support and query alike; all drawings share one batch normalisation. `run` says where
    checkpoints and the log go (`runs`).

    Raises as `features.embed`, `softmax_loss` and `training.minimise` do.
    """

    def loss() -> Tensor:
        episodes = sample()
        x = torch.cat([episodes.support_x, episodes.query_x], dim=1)
        labels = torch.cat([episodes.support_y, episodes.query_y], dim=1)
        features = embed(network, x.flatten(0, 1)).unflatten(0, labels.shape)
        batches = zip(features, labels, strict=True)
        return torch.stack([softmax_loss(*batch, scale) for batch in batches]).mean()

    return fit(network, loss, iterations, beta, "all pairs", run)


@torch.no_grad()
def embed_copies(network: Embed, x: Tensor, copies: int, strength: float = 0.6) -> Tensor:
    """Return the mean direction of each image's embedding and of `copies` redrawn copies'.

    From x (n, 1, height, width) to vectors (n, features) of length 1 or less. One drawing's
    accidents weigh less then. The copies are those of `tasks.hands.other_hand` with this
    `strength`, the same at each call. The network answers in evaluation mode and is left in its own
    (`modes`).

    Raises TypeError or ValueError unless `copies` is a whole number of at least 0; else as
    `features.embed` does.
    """
    checks.whole_number("copies", copies, at_least=0)
    generator = Generator().manual_seed(0)
    drawn = [x, *(other_hand(x, generator, strength) for _ in range(copies))]
    with evaluating(network):
        directions = [F.normalize(embed(network, each), dim=1) for each in drawn]
    return torch.stack(directions).mean(dim=0)
