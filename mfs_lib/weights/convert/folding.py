"""Batch normalisation at inference is a scale and a shift per channel: fold it into the layer before it."""

from __future__ import annotations

import torch
from torch import Tensor


def scale_and_shift(
    gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """(scale, shift), float64, with ``BN(x) = scale * x + shift`` per channel."""
    scale = gamma.double() / torch.sqrt(variance.double() + epsilon)
    return scale, beta.double() - mean.double() * scale


def fold(weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (O, ...) and bias (O,), float32, of a convolution or linear layer followed by ``scale * y + shift``."""
    folded = weight.double() * scale.reshape(-1, *[1] * (weight.ndim - 1))
    moved = shift if bias is None else bias.double() * scale + shift
    return folded.float().contiguous(), moved.float().contiguous()
