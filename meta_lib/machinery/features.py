"""What an embedding network must give: one vector of numbers for each image.

Used in part 3, "Siamese networks".
"""

from collections.abc import Callable

import torch
from torch import Tensor

Embed = Callable[[Tensor], Tensor]
"""From images (n, channels, height, width) to feature vectors (n, features): a network, or any
function."""
IMAGES_AT_ONCE, PIXELS_AT_ONCE = 256, 2**18


def at_once(side: int) -> int:
    """Return how many images of side × side pixels to embed at once: all would fill the memory.

    Between its layers a network holds many more numbers than its images have.
    """
    return max(1, min(IMAGES_AT_ONCE, PIXELS_AT_ONCE // side**2))


def embed(network: Embed, images: Tensor) -> Tensor:
    """Return the features (n, features) that the network gives n images, in 32 bits or more.

    Features of 16 bits are made longer, because a difference of two of them keeps few digits.

    Raises TypeError unless they are a tensor of floating numbers, ValueError for another shape.
    """
    features = network(images)
    if not isinstance(features, Tensor):
        raise TypeError(
            "network must return a tensor, the features of the images, but returned "
            f"{type(features).__name__}. Wrap it in a function that picks the features out."
        )
    if not features.is_floating_point():
        raise TypeError(
            f"network must return floating numbers, but returned numbers of {features.dtype}"
        )
    if features.shape[:1] != images.shape[:1] or features.ndim != 2:
        raise ValueError(
            f"network must return ({len(images)}, features), one vector for each image, but "
            f"returned {tuple(features.shape)}. Flatten or average what is more."
        )
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
