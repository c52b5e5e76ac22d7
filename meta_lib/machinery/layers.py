"""Batch normalisation, twice: by the batch alone, and with running statistics.

Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167. Used in part 3, "MAML".
"""

import torch
from torch import Tensor, nn

from meta_lib.machinery import distributed


class BatchNorm(nn.Module):
    """Batch normalisation by the batch's own mean and variance, for (n, channels, height, width).

    Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167. Written out because torch's own layer
    has silently wrong second derivatives where torch.func.grad runs under vmap
    (https://github.com/pytorch/functorch/issues/534). The library does not combine the two; a
    reader's own meta-gradient may.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Return x with mean 0 and variance 1 in each channel, then scaled and shifted."""
        return normalised(x, self.weight, self.bias, self.epsilon)


def normalised(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Return γ (x - mean) / √(variance + ε) + β of each channel of x (n, channels, …)."""
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    return weight * (x - mean) * torch.rsqrt(variance + epsilon) + bias


class RunningBatchNorm(nn.BatchNorm2d):
    """torch's batch normalisation with running statistics, for a batch shared out to processes.

    In training every process uses the mean and variance of the whole batch, as one process would
    (`distributed`), so all must call it together. With one process it is torch's own layer.
    """

    # torch's own layer may be without them.
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised, by the batch's statistics in training, else by the running ones."""
        if not self.training or distributed.count() == 1:
            return super().forward(x)
        mean = distributed.mean_over_processes(x.mean(dim=(0, 2, 3), keepdim=True))
        squares = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
        variance = distributed.mean_over_processes(squares)
        samples = distributed.count() * x.numel() // x.shape[1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            rate = self.momentum or 1 / self.num_batches_tracked.item()
            self.running_mean.lerp_(mean.flatten(), rate)
            self.running_var.lerp_(variance.flatten() * samples / (samples - 1), rate)
        normal = (x - mean) * torch.rsqrt(variance + self.eps)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]
