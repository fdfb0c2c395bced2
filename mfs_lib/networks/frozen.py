"""Layers of networks whose parameters never learn, but through which gradients flow to the image."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class _FixedSlope(torch.autograd.Function):
    """PReLU with a constant slope: its backward pass is two vectorised sweeps and skips the slope's own gradient.

    PyTorch's general backward took a third of a recogniser's whole forward and backward pass on the CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return functional.prelu(x, slope)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, slope = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, x, 0)  # the gradient where x > 0, else 0
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return torch.lerp(passed, gradient, slope.reshape(shape)), None


class FrozenPReLU(nn.PReLU):
    """``nn.PReLU`` that differentiates faster once its slopes are frozen (first derivatives only)."""

    def forward(self, x: Tensor) -> Tensor:
        """x where x > 0, else slope × x, per channel; (B, C, ...) to the same shape."""
        if x.requires_grad and not self.weight.requires_grad:
            result: Tensor = _FixedSlope.apply(x, self.weight)  # type: ignore[no-untyped-call]
            return result
        return functional.prelu(x, self.weight)


class ChannelAffine(nn.Module):
    """Per-channel scale and shift: what batch normalisation is at inference."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return torch.addcmul(self.shift[:, None, None], x, self.scale[:, None, None])


def without_blas(network: nn.Module) -> None:
    """Let a network's 1x1 convolutions run in oneDNN, on processors; what they compute stays the same.

    With one thread and a small batch PyTorch takes the BLAS for them instead, and MKL knows only Intel's processors: on
    others it made up half of a student's training step. A 1x1 convolution has nothing to dilate, but with a dilation
    PyTorch leaves it to oneDNN.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.padding == (0, 0):
            layer.dilation = (2, 2)
