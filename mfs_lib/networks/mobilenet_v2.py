"""MobileNetV2 (Sandler et al. 2018, Table 2; torchvision's ImageNet weights): features for losses and for statistics.

    ======================  =======  ====  ========  ======  =====
    layer                   out      wide  repeats   stride  tap
    ======================  =======  ====  ========  ======  =====
    conv 3x3                32       –     1         2       –
    bottleneck              16       × 1   1         1       1/2
    bottleneck              24       × 6   2         2       1/4
    bottleneck              32       × 6   3         2       1/8
    bottleneck              64       × 6   4         2       –
    bottleneck              96       × 6   3         1       1/16
    bottleneck              160      × 6   3         2       –
    bottleneck              320      × 6   1         1       –
    conv 1x1                1280     –     1         1       1/32
    mean, linear            1000     –     –         –       –
    ======================  =======  ====  ========  ======  =====

Batch normalisation is folded into the convolutions. Distances computed with these features are named after them (for
example KID-MNV2): they are not LPIPS or FID, whose backbones differ.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(widening, output channels, repeats, stride)."""

TAPS = (1, 3, 6, 13, 18)
"""Indices of the layers whose outputs are the feature maps: the last at each resolution, but for 1/32 the very last."""


class InvertedResidual(nn.Module):
    """Widen 1x1, depthwise 3x3, narrow 1x1 (ReLU6 after the first two), with a skip where shapes agree."""

    def __init__(self, *, channels: int, out: int, stride: int, widen: int) -> None:
        super().__init__()
        wide = channels * widen
        self.residual = stride == 1 and channels == out
        layers: list[nn.Module] = [] if widen == 1 else [nn.Conv2d(channels, wide, 1), nn.ReLU6()]
        layers += [nn.Conv2d(wide, wide, 3, stride=stride, padding=1, groups=wide), nn.ReLU6()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(wide, out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2Features(nn.Module):
    """MobileNetV2 at width 1.0.

    ``weights.models.load_mobilenet_v2`` fills and freezes the parameters.
    """

    channels = (16, 24, 32, 96, 1280)
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU6())]
        channels = 32
        for widen, out, repeats, stride in STAGES:
            for index in range(repeats):
                step = stride if index == 0 else 1
                layers.append(InvertedResidual(channels=channels, out=out, stride=step, widen=widen))
                channels = out
        layers.append(nn.Sequential(nn.Conv2d(channels, 1280, 1), nn.ReLU6()))
        self.layers = nn.ModuleList(layers)
        self.classifier = nn.Linear(1280, 1000)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1), persistent=False)

    def forward(self, x: Tensor, *, taps: int = len(TAPS)) -> list[Tensor]:
        """Feature maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's side.

        Args:
            x: (B, 3, H, W) RGB in [0, 1], sides at least 32 (made for 224).
            taps: how many of them, finest first; what lies deeper isn't computed.

        Returns:
            `taps` tensors (B, C, H / 2^k, W / 2^k) with C of ``channels``; sizes are rounded up.

        Raises:
            InputError: another shape.
        """
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < 32:
            raise InputError(f"MobileNetV2 takes (B, 3, H, W) with sides of at least 32, got {tuple(x.shape)}.")
        hidden = (x - self.mean) / self.std
        features: list[Tensor] = []
        for index, layer in enumerate(self.layers[: TAPS[taps - 1] + 1]):
            hidden = layer(hidden)
            if index in TAPS:
                features.append(hidden)
        return features

    def pooled(self, x: Tensor) -> Tensor:
        """Mean of the last feature map, (B, 1280): what distances between sets of images are computed from."""
        last: Tensor = self(x)[-1]
        return last.mean(dim=(2, 3))

    def logits(self, x: Tensor) -> Tensor:
        """ImageNet class scores (B, 1000); only to check that the weights are what they should be."""
        scores: Tensor = self.classifier(self.pooled(x))
        return scores
