"""The building blocks of MobileFSGAN's generator (Yu et al. 2022): all of one width, all without a change of channels.

Facts and names of submodules are those of the authors' repository, HoiM/MobileFSGAN. Leaky ReLU has slope 0.01 here (not
MobileFaceSwap's 0.1). `z` is the source's identity, 512 numbers of unit length.

| block          | layers                                                                               | size |
|----------------|--------------------------------------------------------------------------------------|------|
| AttributeBlock | BN, 1x1, leaky ReLU, 3x3 without bias                                                | ×1   |
| IdentityBlock  | BN without affine · fc_var(z) + fc_mean(z), leaky ReLU, 1x1, leaky ReLU, 3x3 w/o bias | ×1   |
| Downsample     | BN, 4x4 stride 2 without bias, leaky ReLU                                            | ×½   |
| Upsample       | BN, bilinear ×2 (corners aligned), reflect 1, 3x3 without bias, leaky ReLU           | ×2   |
| DecoderBlock   | a = 1x1(x) to one channel; AttributeBlock of a·x + (1 − a)·attribute                 | ×1   |
| ImageOutput    | 3x3 to 3, tanh                                                                       | ×1   |
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.networks.common import upsample2x

SLOPE = 0.01
"""Negative slope of every leaky ReLU in MobileFSGAN's generator."""


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU with MobileFSGAN's slope."""
    return functional.leaky_relu(x, SLOPE)


class AttributeBlock(nn.Module):
    """The branch of a residual step; the caller adds its input. No activation follows the normalisation."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels)
        self.conv1x1 = nn.Conv2d(channels, channels, 1)
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        return cast(Tensor, self.conv3x3(activate(self.conv1x1(self.normalize(x)))))


class IdentityBlock(nn.Module):
    """The branch of a residual step whose normalised input is scaled and shifted by the identity."""

    def __init__(self, *, channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels, affine=False)  # keeps running statistics, has nothing to learn
        self.fc_mean = nn.Linear(embedding_dim, channels)
        self.fc_var = nn.Linear(embedding_dim, channels)
        self.conv1x1 = nn.Conv2d(channels, channels, 1)
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        """(B,C,H,W) and identities (B,E), or (1,E) for all -> (B,C,H,W)."""
        scale, shift = self.fc_var(identity)[:, :, None, None], self.fc_mean(identity)[:, :, None, None]
        y = activate(self.normalize(x) * scale + shift)
        return cast(Tensor, self.conv3x3(activate(self.conv1x1(y))))


class Downsample(nn.Module):
    """Halves height and width."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H/2,W/2)."""
        return activate(self.conv(self.normalize(x)))


class Upsample(nn.Module):
    """Doubles height and width; the convolution's border is mirrored, not zero."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,2H,2W)."""
        return activate(self.conv(functional.pad(upsample2x(self.normalize(x)), (1, 1, 1, 1), mode="reflect")))


class DecoderBlock(nn.Module):
    """The branch of a residual step that mixes a kept attribute map in, where the attention asks for it.

    The attention is a plain 1x1 convolution, **not squashed** into (0,1): it may leave the segment between the two maps.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv_attention = nn.Conv2d(channels, 1, 1)
        self.basic_block = AttributeBlock(channels=channels)

    def forward(self, x: Tensor, attribute: Tensor) -> Tensor:
        """Two maps (B,C,H,W) -> (B,C,H,W)."""
        attention = self.conv_attention(x)
        return cast(Tensor, self.basic_block(attention * x + (1.0 - attention) * attribute))


class ImageOutput(nn.Module):
    """Features to a picture."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> RGB (B,3,H,W) in (-1,1)."""
        return torch.tanh(self.conv(x))
