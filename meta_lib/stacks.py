"""Stacks: one network for many tasks at once, each task with weights of its own.

MAML adapts one copy of a network for each task. Run one after the other, the copies are many small
operations; here each layer serves all tasks in one. Every tensor of a stack has a first dimension
of size tasks, the weights included. Used in part 3, "MAML".

    linear layer          one batched matrix product
    convolution           one grouped convolution, the tasks side by side as groups of channels
    max-pooling           on these channels too
    batch normalisation   torch's own on these channels: each task has its own statistics
    the first block       convolution, batch normalisation and ReLU in one matrix product
    any other layer       task by task

On the CPU tasks with many images go through the network one after the other all the same: an
operation on one of them keeps a core busy, and what it leaves is still in the cache for the next.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from meta_lib.layers import BatchNorm

Parameters = dict[str, Tensor]
"""The weights of a network by name, as `networks.parameters_of` returns them."""

LARGE = 25_000
"""From so many numbers in a task's inputs on, some 30 small images, a stack no longer pays on the
CPU; measured with `benchmarks/maml.py`'s network."""


def forward_stack(network: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    """Return what the network makes of each task's x (tasks, n, …) with that task's weights."""
    if len(x) > 1 and x[0].numel() >= LARGE and x.device.type == "cpu":
        return torch.cat([forward_stack(network, own, part) for own, part in _tasks(theta, x)])
    if not isinstance(network, nn.Sequential):
        return _one_by_one(network, theta, x)
    layers: list[tuple[Any, Parameters]] = [
        (layer, _weights_of(theta, name)) for name, layer in network.named_children()
    ]
    if _is_first_block(*(layer for layer, _ in layers[:3])):
        (convolution, weights), (norm, norm_weights), _, *layers = layers
        x = first_block(x, convolution, norm, weights["weight"], **norm_weights)
    for layer, weights in layers:
        if isinstance(layer, nn.Linear):
            x = multiply(x, **weights)
        elif isinstance(layer, nn.Conv2d) and _is_plain(layer):
            x = convolve(x, layer, **weights)
        elif isinstance(layer, BatchNorm):
            x = normalise(x, layer, **weights)
        elif isinstance(layer, nn.MaxPool2d):
            x = _apart(layer(_side_by_side(x)), len(x))
        elif isinstance(layer, nn.ReLU | nn.Tanh | nn.Sigmoid):
            x = layer(x)
        else:
            x = _one_by_one(layer, weights, x)
    return x


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x Wᵀ + b of each task: x (tasks, n, inputs), weight (tasks, outputs, inputs)."""
    return x @ weight.mT if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight.mT)


def convolve(x: Tensor, layer: nn.Conv2d, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return each task's convolution: x (tasks, n, channels, height, width)."""
    tasks = len(x)
    y = F.conv2d(
        _side_by_side(x),
        weight.movedim(2, 4).flatten(0, 1).movedim(3, 1),  # channels last in memory
        None if bias is None else bias.flatten(),
        layer.stride,
        layer.padding,
        layer.dilation,
        groups=tasks,
    )
    return _apart(y, tasks)


def normalise(x: Tensor, layer: BatchNorm, weight: Tensor, bias: Tensor) -> Tensor:
    """Return each task's batch normalisation of x (tasks, n, channels, height, width)."""
    y = F.batch_norm(
        _side_by_side(x), None, None, weight.flatten(), bias.flatten(), True, eps=layer.epsilon
    )
    return _apart(y, len(x))


def first_block(
    x: Tensor,
    convolution: nn.Conv2d,
    norm: BatchNorm,
    filters: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> Tensor:
    """Return the ReLU of the normalised convolution of x (tasks, n, channels, height, width).

    A convolution multiplies each patch p of an image by the filters, W p. If the patches have mean
    m and covariance C, the products have mean W m and variance diag(W C Wᵀ). So batch normalisation
    is known before anything is multiplied, and is worked into the filters:

        γ (W p - W m) / √(diag(W C Wᵀ) + ε) + β  =  W' (p - m) + β,   W' = γ W / √(…)

    This saves passes over the largest layer, forwards and backwards; in deeper layers the patches
    are too long for it to pay.
    """
    kernels, strides, paddings = convolution.kernel_size, convolution.stride, convolution.padding
    assert not isinstance(paddings, str)  # `_is_plain` has seen to it
    patches = F.unfold(
        x.flatten(0, 1), kernels, padding=paddings, stride=strides
    ).unflatten(0, x.shape[:2])  # (tasks, n, weights of a filter, places)  # fmt: skip
    P = patches.transpose(2, 3).flatten(1, 2)  # (tasks, samples, weights of a filter)
    P = P - P.mean(dim=1, keepdim=True)
    C = P.mT @ P / P.shape[1]
    W = filters.flatten(2)  # (tasks, filters, weights of a filter)
    variance = ((W @ C) * W).sum(dim=2, keepdim=True)
    W = weight.flatten(2) * torch.rsqrt(variance + norm.epsilon) * W
    # As one more column of W beside ones in P, β costs no pass of its own over y.
    y = F.pad(P, (0, 1), value=1.0) @ torch.cat([W, bias.flatten(2)], dim=2).mT
    y = F.relu_(y)
    height, width = (
        (size + 2 * pad - kernel) // stride + 1
        for size, pad, kernel, stride in zip(x.shape[3:], paddings, kernels, strides, strict=True)
    )
    return y.view(*x.shape[:2], height, width, -1).permute(0, 1, 4, 2, 3)


def _side_by_side(x: Tensor) -> Tensor:
    """(tasks, n, channels, …) → (n, tasks · channels, …), with the channels last in memory."""
    return x.permute(1, 3, 4, 0, 2).flatten(3).permute(0, 3, 1, 2)


def _apart(x: Tensor, tasks: int) -> Tensor:
    return x.unflatten(1, (tasks, -1)).transpose(0, 1)


def _is_plain(layer: nn.Conv2d) -> bool:
    return (
        layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    )


def _is_first_block(*layers: Any) -> bool:
    if [type(layer) for layer in layers] != [nn.Conv2d, BatchNorm, nn.ReLU]:
        return False
    convolution = layers[0]
    short = convolution.weight[0].numel() <= 32 and convolution.bias is None
    return short and _is_plain(convolution) and convolution.dilation == (1, 1)


def _weights_of(theta: Parameters, layer: str) -> Parameters:
    start = f"{layer}."
    return {n.removeprefix(start): weight for n, weight in theta.items() if n.startswith(start)}


def _one_by_one(network: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    if not theta:
        return network(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return torch.stack(
        [
            functional_call(network, {name: weight[0] for name, weight in own.items()}, (part[0],))
            for own, part in _tasks(theta, x)
        ]
    )


def _tasks(theta: Parameters, x: Tensor) -> Iterator[tuple[Parameters, Tensor]]:
    """Yield each task's weights and inputs, as a stack of one."""
    for part, *own in zip(x.split(1), *(weight.split(1) for weight in theta.values()), strict=True):
        yield dict(zip(theta, own, strict=True)), part
