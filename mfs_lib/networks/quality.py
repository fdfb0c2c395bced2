"""The quality scorer Q of MobileFaceSwap's equation 4: how good a teacher's output looks, as a number in [0,1].

"We assign each teacher output with a score between 0 to 1, according to the percentage of the completed iterations in the
teacher training process. Subsequently, we use a ResNet-18 (He et al. 2016) to regress these scores by supervision with
L2 loss." (Xu et al., AAAI 2022, section Training Objectives.) Neither its input size, whether it starts from ImageNet
weights, nor the last activation is stated: any size from 32 on, random weights and a sigmoid are taken here.

| layer  | layers                                     | output            |
|--------|--------------------------------------------|-------------------|
| input  | RGB in [0,1], ImageNet mean and deviation  | 3 x S x S         |
| trunk  | `resnet.ResNet(depth=18)`                  | 512 x S/32 x S/32 |
| mean   | over all places                            | 512               |
| linear | 512 -> 1; sigmoid                          | 1                 |

11,177,025 parameters, 122 state dict entries; 1,813,561,856 multiply-accumulates at 224 and 148,046,336 at 64.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.resnet import ResNet, normalise_imagenet

SMALLEST = 32
"""Least height and width: the trunk halves five times."""


class QualityScorer(nn.Module):
    """Q; `width` narrows the trunk (64 in ResNet-18) for small experiments."""

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.trunk = ResNet(depth=18, width=width)
        self.linear = nn.Linear(self.trunk.outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """`image` (B,3,H,W) RGB in [0,1], H and W 32 or more -> the share of the training that made it, (B,) in [0,1].

        Raises InputError for another shape.
        """
        if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < SMALLEST:
            raise InputError(f"Q reads RGB (B,3,H,W) of {SMALLEST} pixels or more a side, got {tuple(image.shape)}")
        features = cast(Tensor, self.trunk(normalise_imagenet(image))).mean(dim=(2, 3))
        return torch.sigmoid(cast(Tensor, self.linear(features))).squeeze(1)
