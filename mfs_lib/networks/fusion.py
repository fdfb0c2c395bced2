"""The fusion mask: where the swapped face replaces the target (MobileFaceSwap, section 3.1).

Sizes for the release at 224 (U = bilinear x2, corners aligned; leaky ReLU 0.1):

| layer | layers                                                       | output         |
|-------|--------------------------------------------------------------|----------------|
| input | deepest encoder features, detached                           | 512 x 7 x 7    |
| 0     | U, depthwise 3x3 + bias, pointwise 512-128 + bias, BN, act.  | 128 x 14 x 14  |
| 1     | the same, 128-64                                             | 64 x 28 x 28   |
| 2     | the same, 64-32                                              | 32 x 56 x 56   |
| 3     | the same, 32-8                                               | 8 x 112 x 112  |
| 4     | the same, 8-2                                                | 2 x 224 x 224  |
| 5     | 3x3, 2-1 + bias, sigmoid                                     | 1 x 224 x 224  |

84,209 parameters (82,762 in kernels) and 41,445,376 multiply-accumulates at 224; the paper says 0.083 M and 0.005 G.

`upsampling="once"` is a cheap head with the same parameters that comes near the paper's figure: all layers stay at the
deepest features' size (no U), and the finished map is enlarged 32 times before the sigmoid. 4,055,338 multiply-accumulates.

The paper's ablation without this module has a `FullMask` in its place: no parameters, no multiply-accumulates.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.networks.common import SLOPE, Upsample2x
from mfs_lib.networks.depthwise import Backend, upsample_depthwise

MaskUpsampling = Literal["each", "once"]
"""Where the mask grows: before each of the head's layers (release) or once, at the end."""


def _layer(inputs: int, outputs: int, upsampling: MaskUpsampling) -> nn.Sequential:
    return nn.Sequential(
        Upsample2x() if upsampling == "each" else nn.Identity(),
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs),
        nn.Conv2d(inputs, outputs, 1),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(SLOPE),
    )


def _run_layer(layer: nn.Sequential, x: Tensor, backend: Backend) -> Tensor:
    """The same layer with a fast backend; the depthwise bias moves through the pointwise weights into their bias."""
    depthwise, pointwise = cast(nn.Conv2d, layer[1]), cast(nn.Conv2d, layer[2])
    bias = cast(Tensor, pointwise.bias) + pointwise.weight.flatten(1) @ cast(Tensor, depthwise.bias)
    x = upsample_depthwise(x, depthwise.weight.transpose(0, 1), backend=backend)
    return cast(Tensor, layer[3:](functional.conv2d(x, pointwise.weight, bias)))


class FusionMask(nn.Module):
    """Mask head: deep features -> how much of each pixel comes from the swapped face.

    `upsampling` says where the mask grows. `backend` chooses between equal computations (see `depthwise`); it may be
    assigned at any time, and makes no difference to a head that grows once.
    """

    def __init__(
        self,
        *,
        inputs: int = 512,
        channels: tuple[int, ...] = (128, 64, 32, 8, 2),
        upsampling: MaskUpsampling = "each",
        backend: Backend = "reference",
    ) -> None:
        super().__init__()
        self.upsampling: MaskUpsampling = upsampling
        self.backend: Backend = backend
        self.factor = 2 ** len(channels)
        pairs = zip((inputs, *channels[:-1]), channels, strict=True)
        layers = (_layer(i, o, upsampling) for i, o in pairs)
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """`features` (B,C,h,w) -> mask (B,1,32h,32w) in (0,1)."""
        if self.upsampling == "once":
            small = cast(Tensor, self.layers(features))
            # Corners are not aligned here: at a 32-fold enlargement that would shift the rim by half a coarse pixel.
            return torch.sigmoid(functional.interpolate(small, scale_factor=self.factor, mode="bilinear"))
        if self.backend == "reference":
            return torch.sigmoid(cast(Tensor, self.layers(features)))
        x = features
        *layers, last = self.layers
        for layer in layers:
            x = _run_layer(cast(nn.Sequential, layer), x, self.backend)
        return torch.sigmoid(cast(Tensor, last(x)))


class FullMask(nn.Module):
    """No fusion (an ablation of the paper): the mask is 1 everywhere, so the composite is the network's own image."""

    def __init__(self, *, factor: int = 32) -> None:
        super().__init__()
        self.backend: Backend = "reference"  # nothing to compute, and so no difference
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """`features` (B,C,h,w) -> ones (B,1,32h,32w)."""
        batch, _, height, width = features.shape
        return features.new_ones(batch, 1, self.factor * height, self.factor * width)
