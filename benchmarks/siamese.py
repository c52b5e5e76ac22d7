"""One training step of a Siamese network on 128 pairs: all at once, and pair by pair.

Batch normalisation makes a pair's features depend on the batch, which a loop over pairs cannot
have. So both variants use running statistics (`eval()`), and compute the same gradient. Then
`sample_pairs`, against a loop that draws one pair after the other from the same distribution; it
draws other pairs, so there is nothing to be equal.
"""

import copy

import torch
from timing import Run, Times, arguments, compare, head, in_turns, row
from torch import Generator, Tensor

from meta_lib.networks import conv_network
from meta_lib.siamese import Pairs, contrastive_loss, euclidean_distance, pair_loss, sample_pairs
from meta_lib.tasks.episodes import ImageSet
from meta_lib.tasks.glyphs import glyphs

PAIRS = 128


def variants() -> dict[str, Run]:
    """Return both variants of a training step, with the same weights and pairs."""
    torch.manual_seed(0)
    pairs = sample_pairs(glyphs(20), PAIRS, Generator().manual_seed(0))
    network = conv_network(64, running_statistics=True)
    network(pairs.x1)  # so that the running statistics are of images
    network.eval()

    def at_once(network) -> Tensor:
        return pair_loss(network, pairs)

    def one_by_one(network) -> Tensor:
        total = 0
        for x1, x2, different in zip(*pairs, strict=True):
            distance = euclidean_distance(network(x1[None]), network(x2[None]))
            total = total + contrastive_loss(distance, different[None]).sum() / PAIRS
        return total

    def step(loss) -> Run:
        trained = copy.deepcopy(network)
        adam = torch.optim.Adam(trained.parameters(), lr=1e-3)

        def run() -> list[Tensor]:
            adam.zero_grad()
            loss(trained).backward()
            adam.step()
            return [weight.grad for weight in trained.parameters()]

        return run

    return {"meta_lib": step(at_once), "plain loop": step(one_by_one)}


def sample_one_by_one(image_set: ImageSet, pairs: int, generator: Generator) -> Pairs:
    """Draw pairs as `sample_pairs` does, one after the other."""

    def below(size: int) -> int:
        return int(torch.randint(size, (), generator=generator))

    classes, x1, x2 = list(image_set.values()), [], []
    for pair in range(pairs):
        if pair < pairs // 2:
            images = classes[below(len(classes))]
            first, second = images[torch.randperm(len(images), generator=generator)[:2]]
        else:
            one, two = torch.randperm(len(classes), generator=generator)[:2].tolist()
            first = classes[one][below(len(classes[one]))]
            second = classes[two][below(len(classes[two]))]
        x1.append(first)
        x2.append(second)
    different = (torch.arange(pairs) >= pairs // 2).to(x1[0])
    return Pairs(torch.stack(x1), torch.stack(x2), different)


def main() -> None:
    """Print the table."""
    asked = arguments(__doc__)

    def cells(times: Times) -> tuple[str, str]:
        ours, loop = times.values()
        return f"{1e3 * ours:.1f} ms", f"{loop / ours:.1f} ×"

    head("", "relative difference", "meta_lib", "plain loop")
    difference, times = compare(variants, asked.seconds)
    row("training step", f"{difference:.0e}", *cells(times))

    image_set, generator = glyphs(20), Generator().manual_seed(0)
    samplers = {
        "meta_lib": lambda: sample_pairs(image_set, PAIRS, generator),
        "plain loop": lambda: sample_one_by_one(image_set, PAIRS, generator),
    }
    row("drawing the pairs", "", *cells(in_turns(samplers, asked.seconds)))


if __name__ == "__main__":
    main()
