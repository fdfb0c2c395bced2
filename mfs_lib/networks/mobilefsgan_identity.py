"""MobileFSGAN's identity network: a MobileFaceNet of 512 numbers (Chen, Liu, Gao, Han 2018, Table 1: 128).

Facts and names of submodules are those of HoiM/MobileFSGAN, whose weights (4.9 MB) are published with it. Unlike the
recogniser in `mobilefacenet`, batch normalisation is kept apart and padding is symmetric. Each convolution has no bias and
is followed by BN and a PReLU with one slope per channel; the last of a bottleneck and the 7x7 have no PReLU.

| layer      | layers                                             | wide | stride | output       |
|------------|----------------------------------------------------|------|--------|--------------|
| conv1      | 3x3 3-64                                           |      | 2      | 64 x 56 x 56 |
| conv2_dw   | depthwise 3x3                                      |      | 1      | 64 x 56 x 56 |
| conv_23    | bottleneck: 1x1 to wide, depthwise 3x3, 1x1        | 128  | 2      | 64 x 28 x 28 |
| conv_3     | 4 bottlenecks, each added to its input             | 128  | 1      | 64 x 28 x 28 |
| conv_34    | bottleneck                                         | 256  | 2      | 128 x 14 x 14 |
| conv_4     | 6 bottlenecks, each added to its input             | 256  | 1      | 128 x 14 x 14 |
| conv_45    | bottleneck                                         | 512  | 2      | 128 x 7 x 7  |
| conv_5     | 2 bottlenecks, each added to its input             | 256  | 1      | 128 x 7 x 7  |
| conv_6_sep | 1x1 128-512                                        |      | 1      | 512 x 7 x 7  |
| conv_6_dw  | depthwise 7x7 without padding                      |      | 1      | 512 x 1 x 1  |
| linear, bn | linear 512-512 without bias, BN; L2-normalisation  |      |        | 512          |

1,200,512 parameters, 333 state dict entries, .2212 G multiply-accumulates at 112.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError

CROPS = {256: (26, 230), 128: (13, 115), 64: (7, 57)}
"""First row and column, and the one after the last, of the face in an image of each of the generator's sizes."""


def identity_crop(image: Tensor) -> Tensor:
    """The face in `image` (B,3,S,S), S = 256, 128 or 64 -> (B,3,112,112) in the same range, for the identity network.

    Rows and columns [26:230] of a 256 image (accordingly at the other sizes, as in the release's losses), bilinear with
    aligned corners. Raises InputError for another shape.
    """
    if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] != image.shape[3] or image.shape[2] not in CROPS:
        raise InputError(f"identity crops are cut from (B,3,S,S) with S of {list(CROPS)}, got {tuple(image.shape)}")
    first, end = CROPS[image.shape[2]]
    return functional.interpolate(
        image[:, :, first:end, first:end], size=(112, 112), mode="bilinear", align_corners=True
    )


class ConvBlock(nn.Module):
    """Convolution without bias, BN, and, unless `linear`, PReLU; it pads to keep the size (at stride 1)."""

    def __init__(
        self,
        *,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        pad: bool = True,
        linear: bool = False,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if pad else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if linear else nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H/stride,W/stride)."""
        return cast(Tensor, self.prelu(self.bn(self.conv(x))))


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow without activation; added to the input where `residual`."""

    def __init__(self, *, inputs: int, outputs: int, wide: int, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.conv = ConvBlock(inputs=inputs, outputs=wide)
        self.conv_dw = ConvBlock(inputs=wide, outputs=wide, kernel=3, stride=stride, groups=wide)
        self.project = ConvBlock(inputs=wide, outputs=outputs, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H/stride,W/stride)."""
        y = cast(Tensor, self.project(self.conv_dw(self.conv(x))))
        return x + y if self.residual else y


class ResidualStage(nn.Module):
    """Bottlenecks of one width, each added to its input."""

    def __init__(self, *, channels: int, wide: int, blocks: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *(Bottleneck(inputs=channels, outputs=channels, wide=wide, residual=True) for _ in range(blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        return cast(Tensor, self.model(x))


class MobileFSGANIdentity(nn.Module):
    """Who a face is, in 512 numbers."""

    embedding_size = 512
    input_size = 112

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(inputs=3, outputs=64, kernel=3, stride=2)
        self.conv2_dw = ConvBlock(inputs=64, outputs=64, kernel=3, groups=64)
        self.conv_23 = Bottleneck(inputs=64, outputs=64, wide=128, stride=2)
        self.conv_3 = ResidualStage(channels=64, wide=128, blocks=4)
        self.conv_34 = Bottleneck(inputs=64, outputs=128, wide=256, stride=2)
        self.conv_4 = ResidualStage(channels=128, wide=256, blocks=6)
        self.conv_45 = Bottleneck(inputs=128, outputs=128, wide=512, stride=2)
        self.conv_5 = ResidualStage(channels=128, wide=256, blocks=2)
        self.conv_6_sep = ConvBlock(inputs=128, outputs=512)
        self.conv_6_dw = ConvBlock(inputs=512, outputs=512, kernel=7, groups=512, pad=False, linear=True)
        self.linear = nn.Linear(512, self.embedding_size, bias=False)
        self.bn = nn.BatchNorm1d(self.embedding_size)

    def forward(self, face: Tensor) -> Tensor:
        """`face` (B,3,112,112), RGB in (-1,1), cut by `identity_crop` -> identity (B,512) of unit length.

        Raises InputError for another shape.
        """
        if face.ndim != 4 or tuple(face.shape[1:]) != (3, 112, 112):
            raise InputError(f"this network reads faces (B,3,112,112), got {tuple(face.shape)}; use identity_crop")
        x = self.conv2_dw(self.conv1(face))
        for stage in (self.conv_23, self.conv_3, self.conv_34, self.conv_4, self.conv_45, self.conv_5):
            x = stage(x)
        x = self.conv_6_dw(self.conv_6_sep(x))
        return functional.normalize(self.bn(self.linear(x.flatten(1))), dim=1)
