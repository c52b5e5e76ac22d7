"""Exporting: an embedding as one file, to be used without this library.

By PyTorch alone, or as ONNX by any runtime, such as a telephone's. Part 5, "Your own images".
"""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from meta_lib.machinery.device import device
from meta_lib.tasks.draws import uniform

BATCHES = (1, 2, 5)
KINDS = (".pt2", ".onnx")


def export(network: nn.Module, path: Path, size: int, channels: int) -> float:
    """Write the network, read it back, and return the largest difference.

    The file takes any number of images (n, channels, size, size). Where its name ends with .pt2,
    it is loaded by `torch.export.load(path).module()`; with .onnx, by any runtime of ONNX. The
    difference is that of the features of random images, in batches of several sizes, as a share of
    the largest feature.

    Raises ValueError for another ending, or for .onnx without the packages onnx and onnxscript,
    and OSError if the file cannot be written.
    """
    check_kind(path)
    network = network.to(device()).eval()
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Tensor:
        return uniform(count, channels, size, size, generator=generator)

    write = _as_onnx if path.suffix == ".onnx" else _as_program
    with torch.no_grad():
        again, largest = write(network, images(3), path), 0.0
        for count in BATCHES:
            x = images(count)
            expected = network(x)
            apart = (again(x) - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
            largest = max(largest, apart.item())
    return largest


def check_kind(path: Path) -> None:
    """Raise ValueError unless a file of this name can be written here."""
    if path.suffix not in KINDS:
        raise ValueError(f"to must end with {' or '.join(KINDS)}, but was {path}")
    lacking = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if path.suffix == ".onnx" and lacking:
        raise ValueError(f"for .onnx install {' and '.join(lacking)}, or write a .pt2")


def _as_program(network: nn.Module, x: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    batch = {0: torch.export.Dim("images", min=1, max=2**16)}
    torch.export.save(torch.export.export(network, (x,), dynamic_shapes=(batch,)), path)
    return torch.export.load(path).module()


def _as_onnx(network: nn.Module, x: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    from onnx.reference import ReferenceEvaluator

    how: dict[str, Any] = {"input_names": ["images"], "output_names": ["features"], "dynamo": True}
    batch = ({0: torch.export.Dim("n", min=1, max=2**16)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, of its own calls
        torch.onnx.export(
            network, (x,), path, dynamic_shapes=batch, external_data=False, verbose=False, **how
        )
    runtime = ReferenceEvaluator(str(path))
    return lambda images: torch.from_numpy(
        runtime.run(None, {"images": images.cpu().numpy()})[0]
    ).to(images)
