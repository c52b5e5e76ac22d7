"""Exporting: an embedding as one file, to be used without this library, by PyTorch alone.

Part 5, "Your own images".
"""

from pathlib import Path

import torch
from torch import nn

from meta_lib.machinery.device import device
from meta_lib.tasks.draws import uniform

BATCHES = (1, 2, 5)


def export(network: nn.Module, path: Path, size: int, channels: int) -> float:
    """Write the network by `torch.export`, read it back, and return the largest difference.

    The file takes any number of images (n, channels, size, size), and is loaded by
    `torch.export.load(path).module()`. The difference is that of the features of random images,
    in batches of several sizes, as a share of the largest feature.

    Raises OSError if the file cannot be written.
    """
    network = network.to(device()).eval()
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return uniform(count, channels, size, size, generator=generator)

    batch = {0: torch.export.Dim("images", min=1, max=2**16)}
    with torch.no_grad():
        program = torch.export.export(network, (images(3),), dynamic_shapes=(batch,))
        torch.export.save(program, path)
        again, largest = torch.export.load(path).module(), 0.0
        for count in BATCHES:
            x = images(count)
            expected = network(x)
            apart = (again(x) - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
            largest = max(largest, apart.item())
    return largest
