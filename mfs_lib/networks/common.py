"""Pieces shared by several networks: the activation, the two-fold upsampling and honest counting.

Every network of MobileFaceSwap uses a leaky ReLU of slope 0.1 and, where it grows, bilinear upsampling with
`align_corners=True` (the release; SimSwap uses False).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

SLOPE = 0.1
"""Negative slope of every leaky ReLU in MobileFaceSwap."""


def upsample2x(x: Tensor) -> Tensor:
    """Double height and width of `x` (B,C,H,W) bilinearly, corners aligned."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class Upsample2x(nn.Module):
    """`upsample2x` as a layer without parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,2H,2W)."""
        return upsample2x(x)


def count_parameters(module: nn.Module, *, weights_only: bool = False) -> int:
    """Number of trained values in `module`, running statistics never included.

    `weights_only=True` counts what the paper's Table 1 counts for its mobile network: the kernels of convolutions
    and matrices of linear layers, without biases and without the two vectors of each batch normalisation.
    """
    if not weights_only:
        return sum(parameter.numel() for parameter in module.parameters())
    kinds = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, kinds))


def count_macs(module: nn.Module, *inputs: object) -> int:
    """Multiply-accumulates of the convolutions and matrix products in `module(*inputs)`.

    Biases, normalisation, activations and upsampling are not counted (the count named "MAC" in the book). Inputs on
    the `meta` device, with the module there too, cost no arithmetic and give the same number.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return int(counter.get_total_flops()) // 2
