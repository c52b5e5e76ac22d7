"""Frozen features: an embedding of one's own in the place of a trained checkpoint.

For photographs of everyday things a network that has seen millions of photographs is the better
start: torchvision's, timm's, CLIP's, or an exported one. Part 5, "Your own images". Tian et al.
(2020), https://arxiv.org/abs/2003.11539.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from meta_lib.command_line.answers import Metric
from meta_lib.machinery.device import device
from meta_lib.siamese import cosine_distance


def load(named: str, head: str, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Metric:
    """Return the metric of the features that are named: "module:function", or a .pt2 file.

    The function, or network, goes from images (n, channels, size, size) to vectors (n, features);
    each channel is shifted by its `mean` and divided by its `deviation` before. Features are
    compared by the cosine, and are not trained.

    Raises FileNotFoundError or ValueError for a name that leads to nothing that could be called.
    """
    function = _exported(Path(named)) if named.endswith(".pt2") else _imported(named)
    shift, scale = (torch.tensor(each).view(1, -1, 1, 1) for each in (mean, deviation))

    def embed(images: Tensor) -> Tensor:
        try:
            return function((images - shift.to(images)) / scale.to(images))
        except MemoryError:
            raise
        except Exception as error:  # of every kind: it is the user's own
            shape = " × ".join(map(str, images.shape[1:]))
            raise ValueError(
                f"embedding {named} does not take images of {shape} (channels × height × width), "
                f"by --channels and --size: {type(error).__name__}: {error}"
            ) from error

    if isinstance(function, nn.Module):
        function.to(device(), torch.get_default_dtype())
        if not named.endswith(".pt2"):
            function.eval()
    return Metric(embed, cosine_distance, head, f"{named} {mean} {deviation}")


def _imported(named: str) -> Callable[[Tensor], Tensor]:
    module, _, attribute = named.partition(":")
    if not module or not attribute:
        raise ValueError(f"embedding must be module:function or a .pt2 file, but was {named!r}")
    if "" not in sys.path:  # the folder that the command is given in
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"embedding {named!r} cannot be imported ({error})") from error
    if not callable(found):
        raise ValueError(f"embedding {named!r} must be a function or a network, but is {found!r}")
    return found


def _exported(file: Path) -> Callable[[Tensor], Tensor]:
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        return torch.export.load(file).module()
    except Exception as error:  # of every kind, for a file that is none
        raise ValueError(f"{file} is not an exported network ({error})") from error
