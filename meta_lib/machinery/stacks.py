"""Stacks: one network for many tasks at once, each task with weights of its own.

MAML adapts one copy of a network for each task. Every tensor of a stack has a first dimension of
size tasks, the weights included, and there is one rule: the result is what the tasks get one by
one. That is how a network of any kind is run (`calls`). But small networks, one after the other,
are many small operations; so a plain chain of the layers below, and of no others, is run for all
tasks at once. Used in part 3, "MAML".

    linear layer          one batched matrix product
    convolution           one grouped convolution, the tasks side by side as groups of channels
    max-pooling           on these channels too
    batch normalisation   the book's, on these channels: each task has its own statistics
    the first block       convolution, batch normalisation and ReLU in one matrix product
    ReLU, tanh, sigmoid, flattening and averaging, which look at each image alone

On the CPU tasks with many images go through the chain one after the other all the same: an
operation on one of them keeps a core busy, and what it leaves is still in the cache for the next.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as any_module

from meta_lib.machinery.calls import Parameters, call_each
from meta_lib.machinery.layers import BatchNorm, normalised

Chain = list[tuple[Any, Parameters]]
"""The layers of a network in order, each with the weights that it gets, by their names in it."""

LARGE = 25_000
"""From so many numbers in a task's inputs on, some 30 small images, a stack no longer pays on the
CPU; measured with `benchmarks/maml.py`'s network."""

OF_NUMBERS = {nn.ReLU, nn.Tanh, nn.Sigmoid}
OF_IMAGES = {nn.Conv2d, BatchNorm, nn.MaxPool2d, nn.AdaptiveAvgPool2d}
KNOWN = {*OF_NUMBERS, *OF_IMAGES, nn.Linear, nn.Flatten}
"""The layers of a chain: these types themselves, and none derived from them."""


def forward_one(network: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    """Return what the network makes of one task's x (n, …) with its weights.

    Raises as `calls.call_each` does.
    """
    layers = chain(network, theta)
    if layers is None:
        return call_each(network, [(theta, x)])[0]
    for layer, weights in layers:
        if type(layer) is nn.Linear:
            x = F.linear(x, **weights)
        elif type(layer) is nn.Conv2d:
            bias = weights.get("bias")
            x = F.conv2d(
                x, weights["weight"], bias, layer.stride, layer.padding, layer.dilation
            )
        elif type(layer) is BatchNorm:
            x = normalised(x, **weights, epsilon=layer.epsilon)
        else:
            x = layer(x)
    return x


def forward_stack(network: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    """Return what the network makes of each task's x (tasks, n, …) with that task's weights.

    Dropout and the like draw anew for each task, in the order of the tasks.

    Raises ValueError if x holds another number of tasks than the weights; else as
    `calls.call_each` does.
    """
    tasks = {len(weight) for weight in theta.values()}
    if tasks != {len(x)}:
        of = " or ".join(map(str, sorted(tasks)))
        raise ValueError(f"x must hold as many tasks as the weights, {of}, but held {len(x)}")
    layers = chain(network, theta)
    if layers is None or not _fits(layers, x):
        return torch.stack(call_each(network, _tasks(theta, x)))
    if len(x) > 1 and x[0].numel() >= LARGE and x.device.type == "cpu":
        return torch.cat([_through(*task) for task in _one_by_one(layers, x)])
    return _through(layers, x)


def chain(network: nn.Module, theta: Parameters) -> Chain | None:
    """Return the layers of a network that is a plain chain of `KNOWN` ones, or None.

    Plain is an nn.Sequential, or one within another, in which nothing is hooked, replaced or
    shared, and whose weights are all in θ.
    """
    layers = None if any_module._has_any_global_hook() else _layers(network, "")
    found: Chain = []
    parts: list[object] = []
    for prefix, layer in layers or ():
        weights: Parameters = {}
        for name, weight in layer._parameters.items():
            if weight is not None:
                if prefix + name not in theta:
                    return None
                weights[name] = theta[prefix + name]
                parts.append(weight)
        found.append((layer, weights))
        parts.append(layer)
    once = len(set(map(id, parts))) == len(parts)
    return found if once and len(parts) == len(found) + len(theta) else None


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x W⊤ + b of each task: x (tasks, n, inputs), weight (tasks, outputs, inputs)."""
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
    # F.batch_norm would refuse a single value for each channel, which a task alone may have.
    y = torch.batch_norm(
        _side_by_side(x), weight.flatten(), bias.flatten(), None, None, True, 0.0, layer.epsilon,
        torch.backends.cudnn.enabled,
    )  # fmt: skip
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
    m and covariance C, the products have mean W m and variance diag(W C W⊤). So batch normalisation
    is known before anything is multiplied, and is worked into the filters:

        γ (W p - W m) / √(diag(W C W⊤) + ε) + β  =  W' (p - m) + β,   W' = γ W / √(…)

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


def _through(layers: Chain, x: Tensor) -> Tensor:
    if _is_first_block(*(layer for layer, _ in layers[:3])):
        (convolution, weights), (norm, norm_weights), _, *layers = layers
        x = first_block(x, convolution, norm, weights["weight"], **norm_weights)
    for layer, weights in layers:
        if type(layer) is nn.Linear:
            x = multiply(x, **weights)
        elif type(layer) is nn.Conv2d:
            x = convolve(x, layer, **weights)
        elif type(layer) is BatchNorm:
            x = normalise(x, layer, **weights)
        elif type(layer) in OF_NUMBERS:
            x = layer(x)
        elif type(layer) is nn.MaxPool2d:
            x = _apart(layer(_side_by_side(x)), len(x))
        else:
            x = layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return x


def _fits(layers: Chain, x: Tensor) -> bool:
    """Say whether every layer gets what it serves for all tasks: images, or rows of numbers."""
    dimensions = x.ndim
    for layer, _ in layers:
        needed = 5 if type(layer) in OF_IMAGES else 3 if type(layer) is nn.Linear else dimensions
        if dimensions != needed or dimensions < 3:
            return False
        if type(layer) is nn.Flatten:
            dimensions = 3
    return x.numel() > 0


def _one_by_one(layers: Chain, x: Tensor) -> Iterator[tuple[Chain, Tensor]]:
    """Yield each task as a stack of one."""
    for task, part in enumerate(x.split(1)):
        one = slice(task, task + 1)
        yield [(layer, {n: w[one] for n, w in own.items()}) for layer, own in layers], part


def _tasks(theta: Parameters, x: Tensor) -> Iterator[tuple[Parameters, Tensor]]:
    """Yield each task's weights and inputs."""
    for part, *own in zip(x, *theta.values(), strict=True):
        yield dict(zip(theta, own, strict=True)), part


def _layers(module: nn.Module, prefix: str) -> list[tuple[str, nn.Module]] | None:
    """Return the layers with the starts of their weights' names, or None if one is not plain."""
    if type(module) is nn.Sequential and _is_untouched(module) and not module._parameters:
        layers: list[tuple[str, nn.Module]] = []
        for name, child in module._modules.items():
            inside = None if child is None else _layers(child, f"{prefix}{name}.")
            if inside is None:
                return None
            layers += inside
        return layers
    return [(prefix, module)] if _is_plain(module) and _is_untouched(module) else None


def _is_untouched(module: nn.Module) -> bool:
    """Say whether nothing is hooked to the module, added to it, or in the place of its methods."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._buffers
        or (module._modules and type(module) is not nn.Sequential)
        or "forward" in vars(module)
    )


def _is_plain(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        plain = layer.groups == 1 and zeros
    elif type(layer) is nn.Flatten:
        plain = (layer.start_dim, layer.end_dim) == (1, -1)
    elif type(layer) is nn.MaxPool2d:
        plain = not layer.return_indices
    else:
        plain = type(layer) in KNOWN
    return plain and layer._parameters.keys() <= {"weight", "bias"}


def _is_first_block(*layers: Any) -> bool:
    if [type(layer) for layer in layers] != [nn.Conv2d, BatchNorm, nn.ReLU]:
        return False
    convolution = layers[0]
    short = convolution.weight[0].numel() <= 32 and convolution.bias is None
    return short and convolution.dilation == (1, 1)


def _side_by_side(x: Tensor) -> Tensor:
    """(tasks, n, channels, …) → (n, tasks · channels, …), with the channels last in memory."""
    return x.permute(1, 3, 4, 0, 2).flatten(3).permute(0, 3, 1, 2)


def _apart(x: Tensor, tasks: int) -> Tensor:
    return x.unflatten(1, (tasks, -1)).transpose(0, 1)
