"""Both heads together, in the form that vector units of 16 lanes run fastest: few thin maps at full resolution.

CPU runtimes store feature maps in blocks of 8 or 16 channels, so that a map of 3, 2 or 8 channels costs as much as one of
16, and the heads have nothing else at full resolution. Two exact rewrites:

* **One upsampling for both.** Image (8 channels) and mask (8) grow together, as one block of 16.
* **Phases.** After that nothing lives at full resolution. A pixel (2 i + p, 2 j + q) is *phase* (p, q) of the block
  (i, j); a 3x3 convolution at full resolution whose outputs are kept as phases is a convolution of size 4, stride 2 and
  four times the outputs; one from phases to phases is a 3x3 convolution of the blocks. The last step interleaves the
  phases (a pixel shuffle).

Kernels of the phases hold zeros, so more is multiplied on paper and less is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.deploy.heads import Kernel, SeparableLayer, act, conv, image_kernels, joined_last
from mfs_lib.networks.common import upsample2x
from mfs_lib.networks.fusion import FusionMask

PHASES = tuple((p, q) for p in (0, 1) for q in (0, 1))


def to_phases(kernel: Kernel) -> Kernel:
    """3x3 at full resolution, as a 4x4 convolution of stride 2 and padding 1: (O,I,3,3) -> (4 O,I,4,4).

    Output channel 4 o + 2 p + q is phase (p, q) of channel o. The window of a block begins one pixel before it.
    """
    outputs, inputs = kernel.weight.shape[:2]
    weight = kernel.weight.new_zeros(outputs, 4, inputs, 4, 4)
    for index, (p, q) in enumerate(PHASES):
        weight[:, index, :, p : p + 3, q : q + 3] = kernel.weight
    return Kernel(weight.flatten(0, 1), kernel.bias.repeat_interleave(4))


def between_phases(kernel: Kernel) -> Kernel:
    """3x3 at full resolution, from phases to phases: (O,I,3,3) -> (4 O,4 I,3,3) on blocks, padding 1."""
    outputs, inputs = kernel.weight.shape[:2]
    weight = kernel.weight.new_zeros(outputs, 4, inputs, 4, 3, 3)
    for index, (p, q) in enumerate(PHASES):
        for row in range(3):
            for column in range(3):
                y, x = p + row - 1, q + column - 1  # of the pixel that is read, from the block's first
                weight[:, index, :, 2 * (y % 2) + x % 2, y // 2 + 1, x // 2 + 1] = kernel.weight[:, :, row, column]
    return Kernel(weight.flatten(2, 3).flatten(0, 1), kernel.bias.repeat_interleave(4))


def from_phases(x: Tensor) -> Tensor:
    """(B,4 C,h,w), channel 4 c + 2 p + q -> (B,C,2h,2w). A pixel shuffle in two transpositions, which run faster."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch * channels // 2, 2, height * width).transpose(1, 2)  # columns interleaved
    x = x.reshape(batch * channels // 4, 2, height, 2 * width).transpose(1, 2)  # rows interleaved
    return x.reshape(batch, channels // 4, 2 * height, 2 * width)


def _padded(kernel: Kernel, *, before: int, after: int) -> Kernel:
    """The kernel with outputs that are zero before and after its own."""
    weight = functional.pad(kernel.weight, (0, 0, 0, 0, 0, 0, before, after))
    return Kernel(weight, functional.pad(kernel.bias, (before, after)))


class PackedImageHead(nn.Module):
    """The image head alone, in phases: for where the mask is no part of full resolution."""

    def __init__(self, final: nn.Sequential) -> None:
        super().__init__()
        squeeze, middle, last = image_kernels(final)
        self.squeeze = conv(squeeze)
        self.middle, self.last = conv(to_phases(middle), stride=2), conv(between_phases(last))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,3,2h,2w) in [0,1]."""
        x = act(self.middle(act(upsample2x(self.squeeze(x)))))
        return from_phases(torch.sigmoid(cast(Tensor, self.last(x))))


class PackedHeads(nn.Module):
    """Decoder features and deepest features -> image and mask, for a mask that grows with each layer."""

    def __init__(self, final: nn.Sequential, fusion: FusionMask) -> None:
        super().__init__()
        squeeze, middle, last = image_kernels(final)
        *layers, final_layer = cast(Sequence[nn.Sequential], list(fusion.layers))[:-1]
        self.width = squeeze.weight.shape[0]
        self.mask_layers = nn.Sequential(*(SeparableLayer(layer, grow=True) for layer in layers))
        mask_width = self._make_room(squeeze)
        mask_last = cast(nn.Conv2d, fusion.layers[-1])
        self.image_middle = conv(to_phases(middle), stride=2)
        self.mask_middle = conv(to_phases(joined_last(final_layer)), stride=2)
        image_out = between_phases(last)
        mask_out = between_phases(Kernel(mask_last.weight.detach(), cast(Tensor, mask_last.bias).detach()))
        outputs = image_out.weight.shape[0]
        self.image_last = conv(_padded(image_out, before=0, after=mask_out.weight.shape[0]))
        self.mask_last = conv(_padded(mask_out, before=outputs, after=0))
        self.squeeze = conv(_padded(squeeze, before=0, after=mask_width))

    def _make_room(self, squeeze: Kernel) -> int:
        """Shift the outputs of the mask's last layer behind the image's; returns how many they are."""
        layer = cast(SeparableLayer, self.mask_layers[-1])
        old = layer.pointwise
        kernel = _padded(Kernel(old.weight, cast(Tensor, old.bias)), before=squeeze.weight.shape[0], after=0)
        layer.pointwise = conv(kernel)
        return old.out_channels

    def forward(self, x: Tensor, deepest: Tensor) -> tuple[Tensor, Tensor]:
        """(B,C,h,w) and (B,512,h/16,w/16) -> image (B,3,2h,2w) and mask (B,1,2h,2w), both in [0,1]."""
        both = upsample2x(self.squeeze(x) + self.mask_layers(deepest))
        image, mask = both[:, : self.width], both[:, self.width :]
        image, mask = act(self.image_middle(act(image))), act(self.mask_middle(mask))
        pixels = from_phases(torch.sigmoid(self.image_last(image) + self.mask_last(mask)))
        return pixels[:, :3], pixels[:, 3:]
