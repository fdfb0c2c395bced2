"""The two heads of the mobile network, image and mask, as plain convolutions: normalisation and biases are folded.

Both read features and end at the crop's size (U = bilinear x2, corners aligned; sizes at 224):

| head  | layers                                                                                           |
|-------|--------------------------------------------------------------------------------------------------|
| image | 1x1 to 8 at 112, U, act., 3x3 8-3 act., 3x3 3-3, sigmoid(2 x)                                      |
| mask  | 4 x {U, depthwise 3x3, pointwise, act.} to 8 at 112, U, 3x3 8-2 act., 3x3 2-1, sigmoid             |

Three rewrites, all exact. A 1x1 convolution and U commute, so the image's comes first, on a quarter of the pixels. The
last separable layer of the mask is one small full convolution. And (1 + tanh x) / 2 = sigmoid(2 x), with the 2 in the
kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.deploy.folding import folded_norm, joined_separable, through_pointwise
from mfs_lib.errors import ConfigError
from mfs_lib.networks.common import SLOPE, upsample2x
from mfs_lib.networks.fusion import FullMask, FusionMask


class Kernel(NamedTuple):
    """A convolution's kernel (O,I,k,k) and bias (O,)."""

    weight: Tensor
    bias: Tensor


def act(x: Tensor) -> Tensor:
    """Leaky ReLU with the slope that all of MobileFaceSwap uses."""
    return functional.leaky_relu(x, SLOPE)


def conv(kernel: Kernel, *, stride: int = 1) -> nn.Conv2d:
    """A convolution that holds this kernel; it keeps the size, or with stride 2 and a kernel of 4 halves it."""
    outputs, inputs, size, _ = kernel.weight.shape
    layer = nn.Conv2d(inputs, outputs, size, stride=stride, padding=(size - 1) // 2)
    layer.weight = nn.Parameter(kernel.weight.detach().clone(), requires_grad=False)
    layer.bias = nn.Parameter(kernel.bias.detach().clone(), requires_grad=False)
    return layer


def image_kernels(final: nn.Sequential) -> tuple[Kernel, Kernel, Kernel]:
    """The three convolutions of the final block (see `networks.idn.final_layers`), ready for a sigmoid."""
    squeeze = Kernel(*folded_norm(cast(nn.Conv2d, final[1]), cast(nn.BatchNorm2d, final[2])))
    middle = Kernel(*folded_norm(cast(nn.Conv2d, final[4]), cast(nn.BatchNorm2d, final[5])))
    last = cast(nn.Conv2d, final[7])
    return squeeze, middle, Kernel(2 * last.weight.detach(), 2 * cast(Tensor, last.bias).detach())


class ImageHead(nn.Module):
    """Decoder features -> the network's own image."""

    def __init__(self, final: nn.Sequential) -> None:
        super().__init__()
        self.squeeze, self.middle, self.last = (conv(kernel) for kernel in image_kernels(final))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,3,2h,2w) in [0,1]."""
        x = act(upsample2x(self.squeeze(x)))
        return torch.sigmoid(cast(Tensor, self.last(act(self.middle(x)))))


class SeparableLayer(nn.Module):
    """U (unless `grow` is False), a depthwise 3x3 and a pointwise layer with bias, activation."""

    def __init__(self, layer: nn.Sequential, *, grow: bool) -> None:
        super().__init__()
        depthwise, pointwise = cast(nn.Conv2d, layer[1]), cast(nn.Conv2d, layer[2])
        weight, bias = folded_norm(pointwise, cast(nn.BatchNorm2d, layer[3]))
        channels = depthwise.in_channels
        self.grow = grow
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.depthwise.weight = nn.Parameter(depthwise.weight.detach().clone(), requires_grad=False)
        self.pointwise = conv(Kernel(weight, bias + through_pointwise(weight, cast(Tensor, depthwise.bias))))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,C',2h,2w), or the same size."""
        x = upsample2x(x) if self.grow else x
        return act(self.pointwise(self.depthwise(x)))


def joined_last(layer: nn.Sequential) -> Kernel:
    """The mask head's last separable layer as one full convolution."""
    folded = SeparableLayer(layer, grow=True)
    weight = joined_separable(folded.depthwise.weight, folded.pointwise.weight)
    return Kernel(weight.detach(), cast(Tensor, folded.pointwise.bias).detach())


class MaskHead(nn.Module):
    """Deepest features -> mask, growing with each layer as the release's does."""

    def __init__(self, fusion: FusionMask) -> None:
        super().__init__()
        *layers, last = cast(Sequence[nn.Sequential], list(fusion.layers))[:-1]
        self.layers = nn.Sequential(*(SeparableLayer(layer, grow=True) for layer in layers))
        self.joined = conv(joined_last(last))
        final = cast(nn.Conv2d, fusion.layers[-1])
        self.last = conv(Kernel(final.weight, cast(Tensor, final.bias)))

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,1,32h,32w) in (0,1)."""
        x = upsample2x(self.layers(features))
        return torch.sigmoid(cast(Tensor, self.last(act(self.joined(x)))))


class HalfMaskHead(MaskHead):
    """The same layers without the last growth: the mask is found at half the size and enlarged. *Not* the same function.

    The last two kernels then reach twice as far, so the rim is softer. A variant, for what it saves.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,1,32h,32w) in (0,1)."""
        small = cast(Tensor, self.last(act(self.joined(self.layers(features)))))
        return torch.sigmoid(upsample2x(small))


class LateMaskHead(nn.Module):
    """The cheap head that grows once, at the end (`upsampling="once"`)."""

    def __init__(self, fusion: FusionMask) -> None:
        super().__init__()
        layers = cast(Sequence[nn.Sequential], list(fusion.layers))[:-1]
        self.factor = fusion.factor
        self.layers = nn.Sequential(*(SeparableLayer(layer, grow=False) for layer in layers))
        final = cast(nn.Conv2d, fusion.layers[-1])
        self.last = conv(Kernel(final.weight, cast(Tensor, final.bias)))

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,1,32h,32w) in (0,1)."""
        small = self.last(self.layers(features))
        return torch.sigmoid(functional.interpolate(small, scale_factor=float(self.factor), mode="bilinear"))


def mask_head(fusion: FusionMask | FullMask, *, half: bool = False) -> nn.Module:
    """The folded head for any of the network's mask heads; `half` for the variant `HalfMaskHead`.

    Raises ConfigError where there is no last growth to leave out.
    """
    growing = isinstance(fusion, FusionMask) and fusion.upsampling == "each"
    if half and not growing:
        raise ConfigError("a half-size mask is a variant of the mask head that grows with each layer")
    if isinstance(fusion, FullMask):
        return FullMask(factor=fusion.factor)
    if not growing:
        return LateMaskHead(fusion)
    return HalfMaskHead(fusion) if half else MaskHead(fusion)
