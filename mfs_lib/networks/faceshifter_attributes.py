"""FaceShifter's multi-level attribute encoder: everything about the target but who it is (Li et al., section 3.1).

A U-Net without a head: each decoder level, joined to the encoder features of its size, is one attribute map z_att^k of
equation 1 (arXiv 1912.13457).
Convolutions are 4x4, stride 2, padding 1 (transposed in the decoder), each with BN and leaky ReLU 0.1. At 256:

| layer  | channels            | output    | attribute map         |
|--------|---------------------|-----------|-----------------------|
| down 0 | 3 -> 32             | 128 x 128 |                       |
| down 1 | 32 -> 64            | 64 x 64   |                       |
| down 2 | 64 -> 128           | 32 x 32   |                       |
| down 3 | 128 -> 256          | 16 x 16   |                       |
| down 4 | 256 -> 512          | 8 x 8     |                       |
| down 5 | 512 -> 1024         | 4 x 4     |                       |
| down 6 | 1024 -> 1024        | 2 x 2     | 1: 1024 x 2 x 2       |
| up 0   | 1024 -> 1024 + 1024 | 4 x 4     | 2: 2048 x 4 x 4       |
| up 1   | 2048 -> 512 + 512   | 8 x 8     | 3: 1024 x 8 x 8       |
| up 2   | 1024 -> 256 + 256   | 16 x 16   | 4: 512 x 16 x 16      |
| up 3   | 512 -> 128 + 128    | 32 x 32   | 5: 256 x 32 x 32      |
| up 4   | 256 -> 64 + 64      | 64 x 64   | 6: 128 x 64 x 64      |
| up 5   | 128 -> 32 + 32      | 128 x 128 | 7: 64 x 128 x 128     |
| last   | bilinear x2         | 256 x 256 | 8: 64 x 256 x 256     |

Decoder features come first in each concatenation. 67,092,800 parameters with biases (maum-ai), 67,087,744 without
(taotaonice). The layers are those of the two open implementations, which agree but for the biases.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.common import SLOPE, upsample2x

ENCODER_CHANNELS = (32, 64, 128, 256, 512, 1024, 1024)
"""Outputs of the seven encoder layers at full width."""


def attribute_channels(channels: tuple[int, ...]) -> tuple[int, ...]:
    """Channels of every attribute map, coarsest first, of an encoder with these output channels."""
    joined = [2 * width for width in reversed(channels[:-1])]
    return (channels[-1], *joined, joined[-1])


def _layer(convolution: nn.Module, outputs: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE))


class AttributeEncoder(nn.Module):
    """Target image -> attribute maps from coarse to fine.

    Args:
        channels: outputs of the encoder layers; with n of them there are n + 1 attribute maps.
        bias: whether the convolutions have biases.
    """

    def __init__(self, *, channels: tuple[int, ...] = ENCODER_CHANNELS, bias: bool = False) -> None:
        super().__init__()
        self.multiple = 2 ** len(channels)
        self.down = nn.ModuleList(
            _layer(nn.Conv2d(i, o, 4, stride=2, padding=1, bias=bias), o)
            for i, o in zip((3, *channels[:-1]), channels, strict=True)
        )
        self.up = nn.ModuleList(
            _layer(nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=bias), o)
            for i, o in zip(attribute_channels(channels)[:-2], reversed(channels[:-1]), strict=True)
        )

    def forward(self, target: Tensor) -> tuple[Tensor, ...]:
        """`target` (B,3,H,W), in the range that the generator was trained with -> n + 1 maps, (B,C,H/2^n,W/2^n) first.

        Raises InputError for a shape that can't be halved n times.
        """
        if (
            target.ndim != 4
            or target.shape[1] != 3
            or target.shape[2] % self.multiple
            or target.shape[3] % self.multiple
        ):
            raise InputError(
                f"the attribute encoder takes RGB (B, 3, H, W) with multiples of {self.multiple}, got {tuple(target.shape)}"
            )
        skips: list[Tensor] = []
        x = target
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        maps = [skips.pop()]
        for layer in self.up:
            maps.append(torch.cat((layer(maps[-1]), skips.pop()), dim=1))
        return (*maps, upsample2x(maps[-1]))
