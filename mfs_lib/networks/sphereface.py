"""The recogniser that scores identity retrieval: CosFace's 20- and 64-layer networks (Wang et al. 2018).

The residual network of SphereFace (Liu et al. 2017, table 2), trained with CosFace's loss. Layer order and names are
those of MuggleWang/CosFace_pytorch (`net.py`), whose released `ACC99.28.pth` is the 20-layer one. Which recogniser
MobileFaceSwap's authors took for their retrieval score isn't stated; others use this one, some at 112 x 112 (`size`).

| part   | layers                                                | output       |
|--------|-------------------------------------------------------|--------------|
| input  | RGB in [0,1] made [-1,1]                              | 3 x 112 x 96 |
| layer1 | 3x3 stride 2 (bias), PReLU; 1 block (of 64: 3)        | 64 x 56 x 48 |
| layer2 | the same; 2 blocks (7)                                | 128 x 28 x 24 |
| layer3 | the same; 4 blocks (16)                               | 256 x 14 x 12 |
| layer4 | the same; 1 block (3)                                 | 512 x 7 x 6  |
| fc     | flatten, linear                                       | 512          |

Block: x + PReLU(3x3(PReLU(3x3(x)))), no bias, no normalisation anywhere; every PReLU has a slope per channel.

| layers           | parameters | MAC           |
|------------------|------------|---------------|
| 20               | 22,666,944 | 1,749,737,472 |
| 64               | 47,891,648 | 5,911,535,616 |
| 20, at 112 x 112 | 24,501,952 | 2,041,360,384 |
"""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError

BLOCKS = {20: (1, 2, 4, 1), 64: (3, 7, 16, 3)}
"""Residual blocks of the four stages, by the number of layers."""


class SphereBlock(nn.Module):
    """Residual block without normalisation."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.prelu1 = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.prelu2 = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) to the same shape."""
        return x + cast(Tensor, self.prelu2(self.conv2(self.prelu1(self.conv1(x)))))


def _stage(*, inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    head = [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.PReLU(outputs)]
    return nn.Sequential(*head, *(SphereBlock(channels=outputs) for _ in range(blocks)))


class SphereFace(nn.Module):
    """sphere20 or sphere64: aligned RGB faces to a 512-dimensional identity.

    `size` is the (height, width) of the faces, to which the last layer is tied; `width` the channels of the first
    stage.
    """

    embedding_size = 512

    def __init__(self, *, layers: Literal[20, 64] = 20, size: tuple[int, int] = (112, 96), width: int = 64) -> None:
        super().__init__()
        if layers not in BLOCKS:
            raise ConfigError(f"there is a SphereFace of {' or '.join(map(str, BLOCKS))} layers, not of {layers}")
        if min(size) <= 0 or size[0] % 16 or size[1] % 16:
            raise ConfigError(f"height and width of SphereFace's input must be multiples of 16, got {size}")
        self.input_size = size
        blocks = BLOCKS[layers]
        self.layer1 = _stage(inputs=3, outputs=width, blocks=blocks[0])
        self.layer2 = _stage(inputs=width, outputs=2 * width, blocks=blocks[1])
        self.layer3 = _stage(inputs=2 * width, outputs=4 * width, blocks=blocks[2])
        self.layer4 = _stage(inputs=4 * width, outputs=8 * width, blocks=blocks[3])
        self.fc = nn.Linear(8 * width * (size[0] // 16) * (size[1] // 16), self.embedding_size)

    def forward(self, x: Tensor) -> Tensor:
        """Identity (B,512), L2-normalised, of aligned faces.

        Args:
            x: (B,3,112,96) RGB in [0,1], or of the `size` that was chosen.

        Raises:
            InputError: another shape.
        """
        return functional.normalize(self.raw(x), dim=1)

    def raw(self, x: Tensor) -> Tensor:
        """The embedding (B,512) as the network gives it, before normalisation."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, *self.input_size):
            height, width = self.input_size
            raise InputError(f"this SphereFace reads (B,3,{height},{width}), got {tuple(x.shape)}; align and resize it")
        y = self.layer4(self.layer3(self.layer2(self.layer1(2.0 * x - 1.0))))
        return cast(Tensor, self.fc(y.flatten(1)))
