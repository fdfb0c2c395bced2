"""Exact rewrites of layers: batch normalisation into the convolution before it, a bias through a pointwise layer.

For a convolution with kernel w and bias b, followed by a normalisation with statistics (mean m, variance v) and affine
(gamma, beta), the one convolution with

    w' = w * g        b' = (b - m) * g + beta        where g = gamma / sqrt(v + eps), for each output channel

is the same function. A depthwise bias d before a pointwise layer p is p's bias `sum_i p[o,i] d[i]`: a 1x1 layer pads
nothing, so this holds up to the border.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError


def folded_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel (O,I,k,k) and bias (O,) of `conv` and `norm` as one convolution, with the norm's running statistics.

    Raises InputError for a normalisation that has none (it would differ from batch to batch).
    """
    if norm.running_mean is None or norm.running_var is None:
        raise InputError("a batch normalisation without running statistics can't be folded: train it with them")
    gain = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        gain = norm.weight * gain
    bias = torch.zeros_like(norm.running_mean) if conv.bias is None else conv.bias
    shift = (bias - norm.running_mean) * gain
    return (conv.weight * gain[:, None, None, None]).detach(), (shift + norm.bias if norm.affine else shift).detach()


def through_pointwise(pointwise: Tensor, bias: Tensor) -> Tensor:
    """The bias (O,) that a depthwise `bias` (I,) becomes behind the pointwise kernel (O,I,1,1)."""
    return (pointwise.flatten(1) @ bias).detach()


def joined_separable(depthwise: Tensor, pointwise: Tensor) -> Tensor:
    """One full kernel (O,I,k,k) for a depthwise kernel (I,1,k,k) and the pointwise (O,I,1,1) behind it."""
    return pointwise * depthwise.transpose(0, 1)
