"""The identity network: a squeeze-and-excitation IR residual network of 3+4+23+3 blocks on 112 x 112 faces.

MobileFaceSwap (AAAI 2022, section 3.1) takes the source's identity from this recogniser, which it shares with SimSwap
(He et al. 2016 blocks, "improved residual" order of Deng et al. 2019, Hu et al. 2018 channel weighting).

| part   | layers                                                            | output        |
|--------|-------------------------------------------------------------------|---------------|
| input  | RGB in [0,1], ImageNet mean and deviation removed                 | 3 x 112 x 112 |
| conv1  | 3x3, **padding 0**, 64; BN; PReLU; max-pool 2x2                   | 64 x 55 x 55  |
| layer1 | 3 blocks, stride 1                                                | 64 x 55 x 55  |
| layer2 | 4 blocks, first of stride 2                                       | 128 x 28 x 28 |
| layer3 | 23 blocks, first of stride 2                                      | 256 x 14 x 14 |
| layer4 | 3 blocks, first of stride 2                                       | 512 x 7 x 7   |
| tail   | BN, dropout 0.5: the **feature map**                              | 512 x 7 x 7   |
|        | flatten, linear, BN, L2-normalisation: the **embedding**          | 512           |

Block: BN - 3x3 Cin->Cin - BN - PReLU - 3x3 (stride) Cin->Cout - BN - channel weighting - plus residual - the *same*
PReLU, whose slope is one number. 52,193,215 parameters, 7,481,229,568 multiply-accumulates.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class IdentityFeatures(NamedTuple):
    """Who a face is: `embedding` (B,E), each row of unit length, and `feature_map` (B,C,7,7), not normalised."""

    embedding: Tensor
    feature_map: Tensor


class ChannelWeighting(nn.Module):
    """Squeeze and excitation: scales each channel by a number in (0,1) computed from all channels' means."""

    def __init__(self, *, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.PReLU(),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        gate = cast(Tensor, self.fc(self.pool(x).flatten(1)))
        return x * gate[:, :, None, None]


class ResidualBlock(nn.Module):
    """One improved-residual block; the PReLU after the sum is the one inside the branch."""

    def __init__(self, *, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.se = ChannelWeighting(channels=outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B,Cin,H,W) -> (B,Cout,H/stride,W/stride)."""
        y = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        y = self.se(self.bn2(self.conv2(y)))
        return cast(Tensor, self.prelu(y + self.downsample(x)))


def _stage(*, inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    parts = [ResidualBlock(inputs=inputs, outputs=outputs, stride=stride)]
    parts += [ResidualBlock(inputs=outputs, outputs=outputs, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(*parts)


class IdentityNetwork(nn.Module):
    """The recogniser of the paper at its full size; `layers` are the numbers of blocks in its four stages."""

    def __init__(self, *, layers: tuple[int, int, int, int] = (3, 4, 23, 3), embedding_dim: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=0, bias=False)  # 112 -> 110: the release pads nothing here
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2, 2)
        self.layer1 = _stage(inputs=64, outputs=64, blocks=layers[0], stride=1)
        self.layer2 = _stage(inputs=64, outputs=128, blocks=layers[1], stride=2)
        self.layer3 = _stage(inputs=128, outputs=256, blocks=layers[2], stride=2)
        self.layer4 = _stage(inputs=256, outputs=512, blocks=layers[3], stride=2)
        self.bn2 = nn.BatchNorm2d(512)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(512 * 7 * 7, embedding_dim)
        self.bn3 = nn.BatchNorm1d(embedding_dim)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, face: Tensor) -> IdentityFeatures:
        """Aligned `face` (B,3,112,112), RGB in [0,1] -> embedding (B,512) of unit length and feature map (B,512,7,7).

        Raises InputError for any other size: the last linear layer is tied to 7 x 7 features.
        """
        if face.ndim != 4 or tuple(face.shape[1:]) != (3, 112, 112):
            raise InputError(f"the identity network reads (B,3,112,112), got {tuple(face.shape)}; align and resize it")
        x = (face - cast(Tensor, self.mean)) / cast(Tensor, self.std)
        x = self.maxpool(self.prelu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        feature_map = self.dropout(self.bn2(x))
        embedding = self.bn3(self.fc(feature_map.flatten(1)))
        return IdentityFeatures(functional.normalize(embedding, dim=1), feature_map)
