"""The building block of Inception-v3 (Szegedy et al. 2016, Figures 5 to 7 and 10): branches side by side.

Each branch is a chain of convolutions (no bias, then batch normalisation with ε = 0.001, then ReLU) on the block's
input; one more pools it. Their outputs are stacked along the channels, the pooled one last. The blocks have
torchvision's names, and so have their submodules (`Branch.layers`); a number k is a kernel of k x k:

| block | branches: kernels and channels                                                       | pooled         |
|-------|--------------------------------------------------------------------------------------|----------------|
| A     | 1: 64; 1: 48, 5: 64; 1: 64, 3: 96, 3: 96                                             | 32 or 64       |
| B     | 3 stride 2: 384; 1: 64, 3: 96, 3 stride 2: 96                                        | input, halved  |
| C     | 1: 192; 1: n, 1x7: n, 7x1: 192; 1: n, 7x1: n, 1x7: n, 7x1: n, 1x7: 192               | 192            |
| D     | 1: 192, 3 stride 2: 320; 1: 192, 1x7: 192, 7x1: 192, 3 stride 2: 192                 | input, halved  |
| E     | 1: 320; 1: 384, fork 384; 1: 448, 3: 384, fork 384                                   | 192            |

A fork is a 1x3 and a 3x1 on the same input, both kept. Convolutions of stride 1 keep the size, those of stride 2 have
no padding. Three ways to pool, all 3x3: `average` leaves the padding out of the mean and `max` takes the largest, both of
stride 1 with a 1x1 convolution behind them; `halve` takes the largest at stride 2 and has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-3
"""Of every batch normalisation."""

Kernel = tuple[int, int]
Pool = Literal["average", "max", "halve"]

ONE, THREE, FIVE, ROW, COLUMN = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU; `padded` keeps the size at stride 1."""

    def __init__(self, *, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,h,w), none negative."""
        return functional.relu(self.bn(self.conv(x)))


@dataclass(frozen=True)
class Branch:
    """One chain of a block.

    Attributes:
        name: of its submodules: itself where there is one layer, else `name_1`, `name_2`, ...
        steps: channels and kernel of each layer.
        halves: whether the last layer has stride 2.
        fork: channels of each of the two layers that end it side by side; 0 for none.
    """

    name: str
    steps: tuple[tuple[int, Kernel], ...]
    halves: bool = False
    fork: int = 0

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the chain's layers, the fork's apart."""
        if len(self.steps) == 1 and not self.fork:
            return (self.name,)
        return tuple(f"{self.name}_{number}" for number in range(1, len(self.steps) + 1))

    @property
    def tines(self) -> tuple[str, ...]:
        """Names of the fork's two layers, the 1x3 first; none without a fork."""
        number = len(self.steps) + 1
        return (f"{self.name}_{number}a", f"{self.name}_{number}b") if self.fork else ()


class Mixed(nn.Module):
    """Branches on one input beside a pooled one; `pooled` is the channels behind the pooling (0 where it halves)."""

    def __init__(self, *, inputs: int, branches: tuple[Branch, ...], pool: Pool = "average", pooled: int = 0) -> None:
        super().__init__()
        self.branches, self.pool = branches, pool
        self.outputs = pooled or inputs
        for branch in branches:
            channels = inputs
            for name, (wide, kernel) in zip(branch.layers, branch.steps, strict=True):
                halves = branch.halves and name == branch.layers[-1]
                stride, padded = (2, False) if halves else (1, True)
                layer = ConvNorm(inputs=channels, outputs=wide, kernel=kernel, stride=stride, padded=padded)
                self.add_module(name, layer)
                channels = wide
            for name, kernel in zip(branch.tines, ((1, 3), (3, 1)), strict=False):
                self.add_module(name, ConvNorm(inputs=channels, outputs=branch.fork, kernel=kernel))
            self.outputs += 2 * branch.fork or channels
        if pooled:
            self.branch_pool = ConvNorm(inputs=inputs, outputs=pooled, kernel=ONE)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,``outputs``,H,W), or about half of H and W where the block halves them."""
        parts = [part for branch in self.branches for part in self._along(branch, x)]
        return torch.cat([*parts, self._pooled(x)], dim=1)

    def _along(self, branch: Branch, x: Tensor) -> list[Tensor]:
        for name in branch.layers:
            x = self.get_submodule(name)(x)
        return [self.get_submodule(name)(x) for name in branch.tines] or [x]

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "halve":
            return functional.max_pool2d(x, 3, stride=2)
        if self.pool == "max":
            x = functional.max_pool2d(x, 3, stride=1, padding=1)
        else:
            x = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return cast(Tensor, self.branch_pool(x))


def block_a(*, inputs: int, pooled: int) -> Mixed:
    """Block A: a 5x5 and two 3x3 in a row; 224 channels and `pooled`."""
    double = Branch("branch3x3dbl", ((64, ONE), (96, THREE), (96, THREE)))
    five = Branch("branch5x5", ((48, ONE), (64, FIVE)))
    return Mixed(inputs=inputs, branches=(Branch("branch1x1", ((64, ONE),)), five, double), pooled=pooled)


def block_b(*, inputs: int) -> Mixed:
    """Block B: halves the size; 480 channels and its input's."""
    single = Branch("branch3x3", ((384, THREE),), halves=True)
    double = Branch("branch3x3dbl", ((64, ONE), (96, THREE), (96, THREE)), halves=True)
    return Mixed(inputs=inputs, branches=(single, double), pool="halve")


def block_c(*, inputs: int, narrow: int) -> Mixed:
    """Block C: 7x7 taken apart into rows and columns of `narrow` channels; 768 channels."""
    single = Branch("branch7x7", ((narrow, ONE), (narrow, ROW), (192, COLUMN)))
    steps = ((narrow, ONE), (narrow, COLUMN), (narrow, ROW), (narrow, COLUMN), (192, ROW))
    branches = (Branch("branch1x1", ((192, ONE),)), single, Branch("branch7x7dbl", steps))
    return Mixed(inputs=inputs, branches=branches, pooled=192)


def block_d(*, inputs: int) -> Mixed:
    """Block D: halves the size; 512 channels and its input's."""
    single = Branch("branch3x3", ((192, ONE), (320, THREE)), halves=True)
    double = Branch("branch7x7x3", ((192, ONE), (192, ROW), (192, COLUMN), (192, THREE)), halves=True)
    return Mixed(inputs=inputs, branches=(single, double), pool="halve")


def block_e(*, inputs: int, pool: Pool) -> Mixed:
    """Block E: two chains that end in forks; 2048 channels."""
    single = Branch("branch3x3", ((384, ONE),), fork=384)
    double = Branch("branch3x3dbl", ((448, ONE), (384, THREE)), fork=384)
    branches = (Branch("branch1x1", ((320, ONE),)), single, double)
    return Mixed(inputs=inputs, branches=branches, pool=pool, pooled=192)
