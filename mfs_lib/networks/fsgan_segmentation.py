"""FSGAN's segmentation network S: where in a picture the face is (Nirkin et al., ICCV 2019).

The U-Net of Ronneberger et al. (2015) with padded convolutions. At 256, channels of the full width:

| layer      | structure                                                     | channels            | size      |
|------------|---------------------------------------------------------------|---------------------|-----------|
| conv1      | two of (3x3, BN, ReLU)                                        | 3 -> 64             | 256 x 256 |
| conv2      | max-pool 2x2, the same                                        | 64 -> 128           | 128 x 128 |
| conv3      | the same                                                      | 128 -> 256          | 64 x 64   |
| conv4      | the same                                                      | 256 -> 512          | 32 x 32   |
| center     | the same                                                      | 512 -> 1024         | 16 x 16   |
| up_concat4 | bilinear x2 (corners aligned), 1x1, joined to conv4, two of (3x3, ReLU) | 1024 -> 512 | 32 x 32   |
| up_concat3 | the same with conv3                                           | 512 -> 256          | 64 x 64   |
| up_concat2 | the same with conv2                                           | 256 -> 128          | 128 x 128 |
| up_concat1 | the same with conv1                                           | 128 -> 64           | 256 x 256 |
| final      | 1x1                                                           | 64 -> 3             | 256 x 256 |

All convolutions have biases; the decoder has no BN; the encoder's features come first where they are joined. 28,950,851
parameters and 48,175,775,744 multiply-accumulates at 256; with a quarter of the channels 1,812,563 and 3,034,578,944. The
names of the submodules are the release's (CC0), so that its state dicts fit.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import upsample2x


class ConvPair(nn.Module):
    """Two 3x3 convolutions with ReLU, in the encoder each with BN."""

    def __init__(self, *, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        self.conv1 = self._layer(inputs, outputs, norm)
        self.conv2 = self._layer(outputs, outputs, norm)

    @staticmethod
    def _layer(inputs: int, outputs: int, norm: bool) -> nn.Sequential:
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1)]
        if norm:
            layers.append(nn.BatchNorm2d(outputs))
        return nn.Sequential(*layers, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H,W)."""
        return cast(Tensor, self.conv2(self.conv1(x)))


class UpConcat(nn.Module):
    """One step of the decoder: coarse features doubled in size and joined to the encoder's."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvPair(inputs=2 * outputs, outputs=outputs, norm=False)
        self.conv1d = nn.Conv2d(inputs, outputs, 1)

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        """Encoder features (B,outputs,H,W) and coarse ones (B,inputs,H/2,W/2) -> (B,outputs,H,W)."""
        return cast(Tensor, self.conv(torch.cat((skip, self.conv1d(upsample2x(x))), dim=1)))


class SegmentationUNet(nn.Module):
    """U-Net of five sizes; `channels` are those of each size, finest first."""

    def __init__(self, *, classes: int = 3, channels: tuple[int, ...] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        if len(channels) != 5 or min(*channels, classes) < 1:
            raise ConfigError(f"channels must be five positive numbers and classes positive, got {channels}, {classes}")
        self.conv1 = ConvPair(inputs=3, outputs=channels[0], norm=True)
        self.conv2 = ConvPair(inputs=channels[0], outputs=channels[1], norm=True)
        self.conv3 = ConvPair(inputs=channels[1], outputs=channels[2], norm=True)
        self.conv4 = ConvPair(inputs=channels[2], outputs=channels[3], norm=True)
        self.center = ConvPair(inputs=channels[3], outputs=channels[4], norm=True)
        self.up_concat4 = UpConcat(inputs=channels[4], outputs=channels[3])
        self.up_concat3 = UpConcat(inputs=channels[3], outputs=channels[2])
        self.up_concat2 = UpConcat(inputs=channels[2], outputs=channels[1])
        self.up_concat1 = UpConcat(inputs=channels[1], outputs=channels[0])
        self.final = nn.Conv2d(channels[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """RGB (B,3,H,W) in [-1,1] -> logits (B,classes,H,W); class 1 is the face. H and W are multiples of 16.

        Raises InputError for other shapes.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 16 or x.shape[3] % 16:
            raise InputError(f"the segmentation takes RGB (B, 3, H, W) with multiples of 16, got {tuple(x.shape)}")
        skips: list[Tensor] = []
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = layer(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.center(x)
        for step in (self.up_concat4, self.up_concat3, self.up_concat2, self.up_concat1):
            x = step(skips.pop(), x)
        return cast(Tensor, self.final(x))


def segmentation(*, divide: int = 1, classes: int = 3) -> SegmentationUNet:
    """S with all its channels, or with one of every `divide`; one of the release's two U-Net classes defaults to 4."""
    if divide not in (1, 2, 4, 8, 16, 32, 64):
        raise ConfigError(f"divide must be a power of two up to 64, got {divide}")
    return SegmentationUNet(classes=classes, channels=tuple(width // divide for width in (64, 128, 256, 512, 1024)))
