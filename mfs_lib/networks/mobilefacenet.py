"""MobileFaceNet: the recogniser that only judges (Chen, Liu, Gao, Han 2018, Table 1; weights of MobileFaceNet_TF).

Inverted bottlenecks (1x1 widen, 3x3 depthwise, 1x1 narrow; PReLU after the first two) and, at the end, a depthwise
7x7 convolution in the place of average pooling. Batch normalisation is already folded into the convolutions.

    ======================  ==========  ======  =======  =========
    layer                   channels    wide    stride   output
    ======================  ==========  ======  =======  =========
    conv 3x3                3 → 64      –       2        56 × 56
    depthwise 3x3, 1x1      64 → 64     –       1        56 × 56
    bottleneck              64 → 64     128     2        28 × 28
    bottleneck × 4          64 → 64     128     1        28 × 28
    bottleneck              64 → 128    256     2        14 × 14
    bottleneck × 6          128 → 128   256     1        14 × 14
    bottleneck              128 → 128   512     2        7 × 7
    bottleneck × 2          128 → 128   256     1        7 × 7
    conv 1x1                128 → 512   –       1        7 × 7
    depthwise 7x7, linear   512         –       1        1 × 1
    conv 1x1, linear        512 → 512   –       1        1 × 1
    conv 1x1, linear        512 → 192   –       1        1 × 1
    ======================  ==========  ======  =======  =========
"""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.frozen import FrozenPReLU

STAGES = ((64, 128, 2, 1), (64, 128, 1, 4), (128, 256, 2, 1), (128, 256, 1, 6), (128, 512, 2, 1), (128, 256, 1, 2))
"""(output channels, wide channels, stride, repeats)."""


class SamePadConv2d(nn.Module):
    """Convolution with TensorFlow's SAME padding: where the total is odd, the extra zero goes right and below.

    Args:
        channels: input channels.
        out: output channels.
        kernel: side of the square kernel.
        stride: step; the input's side must be a multiple of it.
        groups: as in ``nn.Conv2d``.
    """

    def __init__(self, *, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        total = max(kernel - stride, 0)
        # (left, right, top, bottom)
        self.padding = (total // 2, total - total // 2) * 2
        symmetric = total % 2 == 0
        self.pad_first = not symmetric
        self.conv = nn.Conv2d(
            channels, out, kernel, stride=stride, padding=total // 2 if symmetric else 0, groups=groups
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H / stride, W / stride)."""
        y: Tensor = self.conv(functional.pad(x, self.padding) if self.pad_first else x)
        return y


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow; with a skip connection where the shapes agree."""

    def __init__(self, *, channels: int, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and channels == out
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1),
            FrozenPReLU(wide),
            SamePadConv2d(channels=wide, out=wide, kernel=3, stride=stride, groups=wide),
            FrozenPReLU(wide),
            nn.Conv2d(wide, out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H / stride, W / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class MobileFaceNet(nn.Module):
    """MobileFaceNet recogniser, 112 x 112 RGB to a 192-dimensional identity.

    ``weights.models.load_judge`` fills and freezes the parameters.
    """

    embedding_size = 192
    input_size = 112

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            SamePadConv2d(channels=3, out=64, kernel=3, stride=2),
            FrozenPReLU(64),
            SamePadConv2d(channels=64, out=64, kernel=3, groups=64),
            FrozenPReLU(64),
            nn.Conv2d(64, 64, 1),
        ]
        channels = 64
        for out, wide, stride, repeats in STAGES:
            for _ in range(repeats):
                layers.append(Bottleneck(channels=channels, wide=wide, out=out, stride=stride))
                channels = out
        layers += [nn.Conv2d(channels, 512, 1), FrozenPReLU(512), nn.Conv2d(512, 512, 7, groups=512)]
        layers += [nn.Conv2d(512, 512, 1), nn.Conv2d(512, self.embedding_size, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Identity (B, 192), L2-normalised, of aligned faces.

        Args:
            x: (B, 3, 112, 112) RGB in [0, 1], aligned by ArcFace's template.

        Raises:
            InputError: another shape.
        """
        return functional.normalize(self.raw(x), dim=1)

    def raw(self, x: Tensor) -> Tensor:
        """The embedding (B, 192) as the network gives it, before normalisation."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, 112, 112):
            raise InputError(f"MobileFaceNet takes aligned faces (B, 3, 112, 112), got {tuple(x.shape)}.")
        y: Tensor = self.layers(x * (255 / 128) - 127.5 / 128)
        return y.flatten(1)
