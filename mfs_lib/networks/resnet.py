"""Plain residual trunks of 18 and 50 layers (He, Zhang, Ren, Sun 2016, Table 1), shared by face parsing and head pose.

Submodules carry torchvision's names, so that checkpoints of networks built on it (`conv1`, `bn1`, `layer{1..4}.{i}.conv1`,
`...downsample.{0,1}`) fit. As there, a bottleneck has its stride in the 3x3 convolution (the paper: in the first 1x1).

| part   | layers                                       | 18: channels × blocks | 50: channels × blocks | output  |
|--------|----------------------------------------------|-----------------------|-----------------------|---------|
| stem   | 7x7 stride 2, BN, ReLU; 3x3 max-pool stride 2 | 64                    | 64                    | 1/4     |
| layer1 | residual blocks                              | 64 × 2                | 256 × 3               | 1/4     |
| layer2 | residual blocks, the first of stride 2       | 128 × 2               | 512 × 4               | 1/8     |
| layer3 | residual blocks, the first of stride 2       | 256 × 2               | 1024 × 6              | 1/16    |
| layer4 | residual blocks, the first of stride 2       | 512 × 2               | 2048 × 3              | 1/32    |
| all    | parameters                                   | 11,176,512            | 23,508,032            |         |
| all    | state dict entries                           | 120                   | 318                   |         |

Basic block (18): 3x3 BN ReLU 3x3 BN. Bottleneck (50): 1x1 BN ReLU 3x3 BN ReLU 1x1 BN, the last four times as wide. Both
add the input (through 1x1 and BN where the shapes differ) and end with ReLU. No convolution has a bias.
"""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Depth = Literal[18, 50]
_BLOCKS: dict[Depth, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
_EXPANSION: dict[Depth, int] = {18: 1, 50: 4}


def normalise_imagenet(x: Tensor) -> Tensor:
    """RGB (B,3,H,W) in [0,1] -> the same less ImageNet's mean, divided by its deviation."""
    mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (x - mean) / std


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `width` outputs."""

    def __init__(self, *, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,width,H/stride,W/stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut; `4 * width` outputs."""

    def __init__(self, *, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,4*width,H/stride,W/stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _stage(depth: Depth, stage: int, stem: int) -> nn.Sequential:
    width, expansion = stem << stage, _EXPANSION[depth]
    # The first block takes the stage before, which is half as wide; at the first stage, the stem.
    inputs, stride = (width // 2 * expansion, 2) if stage else (stem, 1)
    block = BasicBlock if depth == 18 else Bottleneck
    rest = [block(inputs=width * expansion, width=width, stride=1) for _ in range(_BLOCKS[depth][stage] - 1)]
    return nn.Sequential(block(inputs=inputs, width=width, stride=stride), *rest)


class ResNet(nn.Module):
    """The trunk: a residual network without its last pooling and classifier.

    `depth` is 18 or 50; `width` the channels of the stem (64 in every checkpoint; fewer for small experiments). Raises
    ConfigError for another depth.
    """

    def __init__(self, *, depth: Depth, width: int = 64) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise ConfigError(f"residual trunks of 18 and 50 layers are built here, not {depth}; choose one of them")
        self.outputs = 8 * width * _EXPANSION[depth]
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(depth, 0, width)
        self.layer2 = _stage(depth, 1, width)
        self.layer3 = _stage(depth, 2, width)
        self.layer4 = _stage(depth, 3, width)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def levels(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalised `x` (B,3,H,W) -> outputs of the four stages, of 1/4, 1/8, 1/16 and 1/32 of its size.

        Channels are 64, 128, 256, 512 at depth 18 and four times as many at depth 50; no value is negative.
        """
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        quarter = cast(Tensor, self.layer1(x))
        eighth = cast(Tensor, self.layer2(quarter))
        sixteenth = cast(Tensor, self.layer3(eighth))
        return quarter, eighth, sixteenth, cast(Tensor, self.layer4(sixteenth))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised `x` (B,3,H,W) -> the last stage's features (B,512 or 2048,H/32,W/32)."""
        return self.levels(x)[-1]
