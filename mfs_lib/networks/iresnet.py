"""The recognisers of insightface: improved residual networks of 50 and 100 layers on 112 x 112 faces.

Blocks of Duta et al. 2020 / Deng et al. 2019 (ArcFace), without channel weighting; layer order and names are those of
insightface's `recognition/arcface_torch/backbones/iresnet.py`. Released as w600k_r50 (iresnet50) and glintr100
(iresnet100); the identity that inswapper reads is the former's.

| part   | layers                                                | output       |
|--------|-------------------------------------------------------|--------------|
| input  | RGB in [0,1] made [-1,1]: (255 x - 127.5) / 127.5     | 3 x 112      |
| conv1  | 3x3 padding 1, 64; BN; PReLU                          | 64 x 112     |
| layer1 | 3 blocks, first of stride 2                           | 64 x 56      |
| layer2 | 4 (of 100: 13) blocks, first of stride 2              | 128 x 28     |
| layer3 | 14 (of 100: 30) blocks, first of stride 2             | 256 x 14     |
| layer4 | 3 blocks, first of stride 2                           | 512 x 7      |
| tail   | BN; flatten; linear (fc); BN (features)               | 512          |

Block: BN - 3x3 - BN - PReLU (a slope per channel) - 3x3 (stride) - BN - plus the input, which the first block of a
stage carries through 1x1 (stride) and BN. Nothing after the sum. Dropout is 0 in the releases.

| network    | parameters | MAC               |
|------------|------------|-------------------|
| iresnet50  | 43,590,848 | 6,309,330,944     |
| iresnet100 | 65,156,160 | 12,089,606,144    |

The parameters include the 512 weights of the last BN ("features"), which insightface holds at 1 and does not train.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError

IRESNET50 = (3, 4, 14, 3)
"""Blocks of the four stages of the 50-layer network."""

IRESNET100 = (3, 13, 30, 3)
"""Blocks of the four stages of the 100-layer network."""


class IBlock(nn.Module):
    """One improved-residual block; the first of a stage halves the size."""

    def __init__(self, *, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B,Cin,H,W) -> (B,Cout,H/stride,W/stride)."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return cast(Tensor, self.bn3(self.conv2(y)) + self.downsample(x))


def _stage(*, inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    parts = [IBlock(inputs=inputs, outputs=outputs, stride=2)]
    parts += [IBlock(inputs=outputs, outputs=outputs, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(*parts)


class IResNet(nn.Module):
    """insightface's recogniser, 112 x 112 RGB to a 512-dimensional identity.

    `layers` are the numbers of blocks in its four stages, `width` the channels of the first.
    """

    input_size = 112

    def __init__(
        self, *, layers: tuple[int, int, int, int] = IRESNET50, width: int = 64, embedding_dim: int = 512
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_dim
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.layer1 = _stage(inputs=width, outputs=width, blocks=layers[0])
        self.layer2 = _stage(inputs=width, outputs=2 * width, blocks=layers[1])
        self.layer3 = _stage(inputs=2 * width, outputs=4 * width, blocks=layers[2])
        self.layer4 = _stage(inputs=4 * width, outputs=8 * width, blocks=layers[3])
        self.bn2 = nn.BatchNorm2d(8 * width)
        self.fc = nn.Linear(8 * width * 7 * 7, embedding_dim)
        self.features = nn.BatchNorm1d(embedding_dim)
        self.features.weight.requires_grad = False  # insightface holds it at 1

    def forward(self, x: Tensor) -> Tensor:
        """Identity (B,512), L2-normalised, of aligned faces.

        Args:
            x: (B,3,112,112) RGB in [0,1], aligned by ArcFace's template.

        Raises:
            InputError: another shape.
        """
        return functional.normalize(self.raw(x), dim=1)

    def raw(self, x: Tensor) -> Tensor:
        """The embedding (B,512) as the network gives it, before normalisation."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, 112, 112):
            raise InputError(f"an IResNet reads aligned faces (B,3,112,112), got {tuple(x.shape)}; align and resize it")
        y = self.prelu(self.bn1(self.conv1(2.0 * x - 1.0)))
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return cast(Tensor, self.features(self.fc(self.bn2(y).flatten(1))))
