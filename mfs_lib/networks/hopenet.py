"""Hopenet: head pose by binned classification (Ruiz, Chong, Rehg 2018; the field's "Pose" column).

A residual network of 50 layers and one linear layer for each angle, whose softmax over 66 bins of three degrees gives the
angle as an expected value (as in natanielruiz/deep-head-pose, whose crop is looser than those of face swapping):

    angle = 3 · Σ_i p_i · i − 99,   i = 0 … 65

| part                      | layers                             | output          |
|---------------------------|------------------------------------|-----------------|
| input                     | RGB in [0,1], ImageNet-normalised  | 3 x 224 x 224   |
| conv1 .. layer4           | the trunk of `resnet`, depth 50    | 2048 x 7 x 7    |
| mean over the 7 x 7       |                                    | 2048            |
| fc_yaw, fc_pitch, fc_roll | linear 2048-66 each                | 3 x 66          |
| fc_finetune               | linear 2051-3, **never used**      |                 |

`fc_finetune` is left over from an earlier version of the repository; the checkpoint holds it, so it stays. 23,919,890
parameters, 326 state dict entries (the authors' names), 4.088 G multiply-accumulates at 224.

Papers that quote a pose error in degrees use this network with the L2 distance between result's and target's (yaw,
pitch, roll); MobileFaceSwap doesn't say whether over all three or in degrees, and ReliableSwap compares the 66 logits
instead, so figures from different papers can't be set side by side.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.networks.resnet import ResNet, normalise_imagenet

BINS = 66
BIN_DEGREES = 3.0
FIRST_BIN_DEGREES = -99.0


def expected_degrees(logits: Tensor) -> Tensor:
    """Bin logits (..., 66) -> angles in degrees (...), from -99 to 96."""
    index = torch.arange(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    return BIN_DEGREES * (logits.softmax(-1) * index).sum(-1) + FIRST_BIN_DEGREES


class Hopenet(ResNet):
    """Yaw, pitch and roll of a loosely cropped face; `width` narrows the trunk for small experiments."""

    input_size = 224

    def __init__(self, *, width: int = 64) -> None:
        super().__init__(depth=50, width=width)
        self.fc_yaw = nn.Linear(self.outputs, BINS)
        self.fc_pitch = nn.Linear(self.outputs, BINS)
        self.fc_roll = nn.Linear(self.outputs, BINS)
        self.fc_finetune = nn.Linear(self.outputs + 3, 3)

    def logits(self, face: Tensor) -> Tensor:
        """`face` (B,3,224,224) RGB in [0,1] -> unbounded scores (B,3,66) of the bins of yaw, pitch and roll.

        Raises InputError for another shape: other sizes give other angles.
        """
        if face.ndim != 4 or tuple(face.shape[1:]) != (3, self.input_size, self.input_size):
            raise InputError(f"Hopenet reads faces (B,3,224,224), got {tuple(face.shape)}; crop and resize them")
        features = super().forward(normalise_imagenet(face)).mean(dim=(2, 3))
        return torch.stack([cast(Tensor, fc(features)) for fc in (self.fc_yaw, self.fc_pitch, self.fc_roll)], dim=1)

    def forward(self, face: Tensor) -> Tensor:
        """`face` (B,3,224,224) RGB in [0,1] -> yaw, pitch, roll (B,3) in degrees, from -99 to 96.

        Raises InputError for another shape.
        """
        return expected_degrees(self.logits(face))
