"""Supervision at every scale: the decoder's features must already show the truth before the picture is whole.

The idea is MobileFSGAN's (ICME 2022, after MSG-GAN): gradients reach every level directly. Here a 1x1 convolution reads
a small picture and a face mask from each decoder level; these heads serve training alone and are thrown away after it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MASK_WEIGHT = 0.2


class MultiScaleHeads(nn.Module):
    """Reads a picture in [-1, 1] and a face mask from every level of a decoder of these `channels`."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(c, 4, 1) for c in channels)

    def loss(self, levels: list[Tensor], truth: Tensor, face: Tensor, weight: Tensor) -> Tensor:
        """Weighted L1 of all levels to the truth at their size, per sample (B,).

        Args:
            levels: (B, C, s, s), any sizes s that divide S.
            truth, face, weight: (B, 3, S, S) in [0, 1], (B, 1, S, S) in [0, 1], (B, 1, S, S).
        """
        total = truth.new_zeros(len(truth))
        known = torch.cat([truth * 2 - 1, face, weight], 1)
        for x, head in zip(levels, self.heads, strict=True):
            small = F.avg_pool2d(known, known.shape[-1] // x.shape[-1])
            picture, area, importance = small[:, :3], small[:, 3:4], small[:, 4:]
            seen = head(x)
            error = (seen[:, :3] - picture).abs() * importance * (0.1 + area)
            total = total + error.mean((1, 2, 3)) + _MASK_WEIGHT * (seen[:, 3:] - area).abs().mean((1, 2, 3))
        return total
