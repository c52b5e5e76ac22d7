"""The networks of the book, and how to call one with weights that it does not own.

Small on purpose: they mirror section 5 of Finn, Abbeel & Levine (2017),
https://arxiv.org/abs/1703.03400. Explained in part 3, "MAML".
"""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from meta_lib.machinery import checks
from meta_lib.machinery.calls import Parameters
from meta_lib.machinery.device import device
from meta_lib.machinery.layers import BatchNorm, RunningBatchNorm
from meta_lib.machinery.stacks import forward_one, forward_stack

Loss = Callable[[Parameters, Tensor, Tensor], Tensor]
"""From weights θ, inputs x and targets y to one number, L(θ); for a stack to one a task."""


def mlp(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a fully connected network; mlp(1, 40, 40, 1) is the paper's for sinusoids.

    Raises TypeError or ValueError unless there are at least two sizes, each at least 1.
    """
    checks.whole_number("the number of sizes", len(sizes), at_least=2)
    for size in sizes:
        checks.whole_number("sizes", size)
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1]).to(device())


class Corrected(nn.Module):
    """An embedding that begins as the pixels: x + g(x), from images to (n, `pixels`).

    The last layer of g starts at 0, so that before any training the nearest image in the embedding
    is the nearest in its pixels. Part 1, "What meta-learning offers", section "Pixels and a
    correction". Raises as `mlp` does.
    """

    def __init__(self, pixels: int, hidden: int) -> None:
        super().__init__()
        self.correction = mlp(pixels, hidden, pixels)
        for weight in self.correction[-1].parameters():
            nn.init.zeros_(weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the pixels, corrected, (n, `pixels`)."""
        pixels = images.flatten(1)
        return pixels + self.correction(pixels)


def conv_network(
    outputs: int,
    filters: int = 64,
    blocks: int = 4,
    running_statistics: bool = False,
    channels: int = 1,
) -> nn.Sequential:
    """Return the paper's Omniglot network, from (n, channels, height, width) to (n, outputs).

    Each block halves the image: 3 × 3 convolution of stride 2, batch normalisation, ReLU; then
    the mean over what is left of the image, and a linear layer. Batch normalisation uses the
    statistics of the batch, as in the paper.

    With `running_statistics` it is a network for embeddings: it keeps an average of the statistics,
    which `eval()` uses, so that an image's output does not depend on its neighbours; and its last
    layer has no bias, which no distance between two outputs would see.

    Raises TypeError or ValueError unless the four sizes are whole numbers of at least 1.
    """
    checks.whole_number("outputs", outputs)
    checks.whole_number("filters", filters)
    checks.whole_number("blocks", blocks)
    checks.whole_number("channels", channels)
    norm = RunningBatchNorm if running_statistics else BatchNorm
    layers: list[nn.Module] = []
    for inputs in [channels] + (blocks - 1) * [filters]:
        # Batch normalisation would subtract a bias again.
        convolution = nn.Conv2d(inputs, filters, 3, stride=2, padding=1, bias=False)
        layers += [convolution, norm(filters), nn.ReLU()]
    last = nn.Linear(filters, outputs, bias=not running_statistics)
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), last]
    return nn.Sequential(*layers).to(device())


def pooled_network(
    filters: int = 64, outputs: int | None = None, size: int = 32, channels: int = 1
) -> nn.Sequential:
    """Return a stronger network, from (n, channels, size, size) to features or to `outputs`.

    Four blocks of a 3 × 3 convolution, batch normalisation, ReLU and max-pooling, with
    `filters` / 2, `filters`, 2 · `filters` and 2 · `filters` filters. Each looks at every pixel
    before it halves the image, where `conv_network` steps over every other one; and what is left of
    the image, (size / 16)² places, is kept and not averaged: of 32 × 32 pixels 2 × 2 places, which
    are 8 · `filters` features, and of 28 × 28 one. It costs some five times as much arithmetic.

    Without `outputs` it is a network for embeddings, (n, features), whose batch normalisation keeps
    running statistics. With them a linear layer follows, (n, outputs), and batch normalisation uses
    the statistics of the batch, as in MAML's network.

    Raises TypeError or ValueError unless `filters` is an even whole number of at least 2, `size`
    one of at least 16, `channels` one of at least 1, and `outputs` one of at least 1 or None.
    """
    checks.whole_number("filters", filters, at_least=2)
    checks.whole_number("channels", channels)
    checks.whole_number("size", size, at_least=16)
    if filters % 2:
        raise ValueError(
            f"filters must be even, because the first block has half of them, but was {filters}"
        )
    norm = RunningBatchNorm if outputs is None else BatchNorm
    widths = [channels, filters // 2, filters, 2 * filters, 2 * filters]
    layers: list[nn.Module] = []
    for inputs, outs in pairwise(widths):
        convolution = nn.Conv2d(inputs, outs, 3, padding=1, bias=False)
        layers += [convolution, norm(outs), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten()]
    if outputs is not None:
        checks.whole_number("outputs", outputs)
        layers += [nn.Linear(2 * filters * (size // 16) ** 2, outputs)]
    # Channels last in memory: faster on the CPU, most of all where pooling is.
    return nn.Sequential(*layers).to(
        device(),
        memory_format=torch.channels_last,  # type: ignore[call-overload]
    )


def by_cosine(network: nn.Sequential) -> nn.Sequential:
    """Return the network with its features brought to one length before its last, linear layer.

    The layer W then compares an image's features h with its rows by their direction. From W = 0 one
    inner step on the cross-entropy is, up to a term that all classes share, the prototypes' rule:
    row k becomes proportional to the mean of the h of class k, so that the logits are the mean
    cosines between the image and the support images of each class. MAML begun with learned features
    (part 5, "How far from the papers") then starts where the features alone stand. The length is
    √features, and the layers are the network's own.

    Raises TypeError unless the last of its layers is linear.
    """
    *body, last = network or [None]
    if not isinstance(last, nn.Linear):
        raise TypeError(f"network must end with a linear layer, but ends with {last}")
    return nn.Sequential(*body, nn.RMSNorm(last.in_features, elementwise_affine=False), last)


def parameters_of(network: nn.Module) -> Parameters:
    """Return a copy of the weights that the network learns, by name.

    Frozen weights, those that do not require a gradient, are not among them: wherever the network
    is called with the others, it uses its own.

    Raises ValueError if no weight is left, or one has no shape yet (in torch's lazy layers).
    """
    learned = {name: w for name, w in network.named_parameters() if w.requires_grad}
    lazy = [name for name, weight in network.named_parameters() if is_lazy(weight)]
    if lazy:
        raise ValueError(
            f"network must have weights with a shape, but {lazy[0]!r} has none yet; "
            "call the network once, on a batch of your inputs"
        )
    if not learned:
        raise ValueError("network must have a weight that requires a gradient, but had none")
    return {name: weight.detach().clone() for name, weight in learned.items()}


def expand(theta: Parameters, tasks: int) -> Parameters:
    """Return the weights once for each task: each gets a first dimension of size `tasks`."""
    return {name: weight.expand(tasks, *weight.shape) for name, weight in theta.items()}


def forward(network: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    """Return what the network makes of x with weights θ, for one task or for a stack of tasks.

    One task: weights as in the network, x (n, …), returns (n, outputs). A stack: each weight and x
    with a first dimension of size tasks, returns (tasks, n, outputs), and that is what the tasks
    would get one by one. The network may be any; it is in the mode that it has, and is not changed.
    Weights that θ does not hold are its own.

    Raises ValueError if θ is empty or holds another network's weights; else as
    `stacks.forward_stack` and `calls.call_each` do.
    """
    return (forward_stack if _is_stack(network, theta) else forward_one)(network, theta, x)


def forward_one_by_one(
    network: nn.Module, theta: Parameters, support_x: Tensor, query_x: Tensor
) -> Tensor:
    """Return what the network makes of each query (queries, …) beside the support set (n, …) alone.

    Where batch normalisation uses the batch's own statistics, an image's output depends on its
    neighbours: classified together, the queries of a task tell of one another. Here the batch is
    the support set and one query. The queries are a stack with the same weights θ, those of one
    task; returns (queries, outputs).
    """
    support = support_x.expand(len(query_x), *support_x.shape)
    batches = torch.cat([support, query_x[:, None]], dim=1)
    return forward(network, expand(theta, len(query_x)), batches)[:, -1]


def loss_of(network: nn.Module, criterion: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Return L(θ, x, y): the criterion between y and what the network with weights θ makes of x.

    The criterion returns one number, as torch.nn.functional's do and those of torch.nn. For a stack
    of tasks L is one number a task, (tasks,): what the criterion makes of that task alone.

    Raises ValueError if the criterion returns anything else; else as `forward` does.
    """

    def loss(theta: Parameters, x: Tensor, y: Tensor) -> Tensor:
        if not _is_stack(network, theta):
            return _one_number(criterion(forward_one(network, theta, x), y))
        predicted = forward_stack(network, theta, x)
        if criterion is F.mse_loss and predicted.shape == y.shape:
            return F.mse_loss(predicted, y, reduction="none").flatten(1).mean(dim=1)
        if criterion is F.cross_entropy and predicted.ndim == 3 and y.ndim == 2:
            return _cross_entropy(predicted, y)
        each = (criterion(*task) for task in zip(predicted, y, strict=True))
        return torch.stack([_one_number(value) for value in each])

    return loss


def _cross_entropy(predicted: Tensor, y: Tensor, ignored: int = -100) -> Tensor:
    """Return F.cross_entropy of each task: logits (tasks, n, ways), y (tasks, n), to (tasks,)."""
    each = F.cross_entropy(predicted.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
    return each.sum(dim=1) / (y != ignored).sum(dim=1)


def _one_number(value: Tensor) -> Tensor:
    checks.shape("the criterion's result", value, "(), one number", value.shape == ())
    return value


def flatten(theta: Parameters) -> Tensor:
    """Return all weights as one vector (coordinates,)."""
    return torch.cat([weight.reshape(-1) for weight in theta.values()])


def unflatten(vector: Tensor, like: Parameters) -> Parameters:
    """Return the vector (coordinates,) cut into weights with the names and shapes of `like`.

    Vectors of a stack of tasks, (tasks, coordinates), give weights with that first dimension.

    Raises ValueError if the vector has another number of coordinates.
    """
    sizes = [weight.numel() for weight in like.values()]
    checks.shape("vector", vector, f"(…, {sum(sizes)})", vector.shape[-1:] == (sum(sizes),))
    pieces = vector.split(sizes, dim=-1)
    return {
        name: piece.reshape(*vector.shape[:-1], *weight.shape)
        for (name, weight), piece in zip(like.items(), pieces, strict=True)
    }


def flat_loss(loss: Loss, like: Parameters) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the same loss of the weights as one vector, L(vector, x, y)."""

    def of_vector(vector: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return loss(unflatten(vector, like), x, y)

    return of_vector


def _is_stack(network: nn.Module, theta: Parameters) -> bool:
    for name, weight in theta.items():
        try:
            return weight.ndim > network.get_parameter(name).ndim
        except AttributeError:
            raise ValueError(
                f"theta must hold weights of the network, but it has none named {name!r}"
            ) from None
    raise ValueError("theta must hold at least one weight, but was empty")
