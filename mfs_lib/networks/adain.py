"""Adaptive instance normalisation after a pointwise layer: the paper's ablation "AdaIN instead of weights modulation".

AdaIN is Huang & Belongie's (ICCV 2017); SimSwap injects the identity with it. MobileFaceSwap (AAAI 2022,
"Effectiveness of the network") puts it in place of the weight modulation and calls the outcome a compression version
of SimSwap. Per image and output channel, with the identity's style z:

    y = w x                                            learned 1x1 convolution, shared by all identities, no bias
    gamma, beta = Linear(z)                            two numbers for each output channel
    (gamma + 1) (y - mean(y)) / sqrt(var(y) + 1e-8) + beta

| part   | shape             | of the layer 256-512 |
|--------|-------------------|----------------------|
| weight | (Cout, Cin, 1, 1) | 131,072              |
| style  | Linear(E, 2 Cout) | 525,312 (E = 512)    |

The formula, "+ 1" and epsilon included, is that of SimSwap's official code (see `simswap.inject`); where in the layer
the paper normalises isn't said: here between the pointwise layer and its activation, as SimSwap does after a
convolution. The statistics are the target's: a static network keeps the normalisation, its scale and shift are baked.
Normalising needs more than one place, so a crop of 32 x 32, which leaves one at the deepest layer, is refused.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError

_EPSILON = 1e-8  # of the instance normalisation, as in SimSwap's official code


def _check_places(x: Tensor) -> None:
    if x.shape[2] * x.shape[3] < 2:
        raise InputError(
            "AdaIN normalises each channel over its places and a crop of 32 x 32 leaves a single one at the deepest "
            "layer; use crops of 64 or more"
        )


class Adapted(NamedTuple):
    """A 1x1 convolution with AdaIN for B identities: `scale` (gamma + 1) and `shift` (beta) are (B,Cout)."""

    weight: Tensor
    scale: Tensor
    shift: Tensor

    @property
    def identities(self) -> int:
        """B."""
        return int(self.scale.shape[0])

    def fold(self, kernel: Tensor) -> Tensor:
        """`kernel` as it is: AdaIN acts on the outputs alone."""
        return kernel

    def run(self, x: Tensor) -> Tensor:
        """`x` (B,Cin,H,W) -> (B,Cout,H,W); raises InputError when H and W are 1."""
        _check_places(x)
        normal = functional.instance_norm(functional.conv2d(x, self.weight), eps=_EPSILON)
        return normal * self.scale[:, :, None, None] + self.shift[:, :, None, None]

    def select(self, rows: slice | Tensor) -> Adapted:
        """The scales and shifts of some of the identities."""
        return Adapted(self.weight, self.scale[rows], self.shift[rows])

    def write(self, layers: nn.Sequential) -> None:
        """Copy the first identity's numbers into a static network's convolution and normalisation."""
        convolution, norm = cast(nn.Conv2d, layers[0]), cast(StaticAdaIN, layers[1])
        convolution.weight.copy_(self.weight)
        norm.weight.copy_(self.scale[0])
        norm.bias.copy_(self.shift[0])


class AdaptiveInstanceNorm(nn.Module):
    """One pointwise layer's learned weight and the linear map from an identity to its outputs' scale and shift."""

    def __init__(self, *, inputs: int, outputs: int, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.style = nn.Linear(embedding_dim, 2 * outputs)
        # As the modulation's: a unit-length embedding changes channels by about a quarter from the start.
        nn.init.normal_(self.weight, std=inputs**-0.5)
        nn.init.normal_(self.style.weight, std=0.25)
        nn.init.zeros_(self.style.bias)

    def forward(self, embedding: Tensor) -> Adapted:
        """Unit-length `embedding` (B,E) -> the shared weight, scale (B,Cout), shift (B,Cout)."""
        gamma, beta = cast(Tensor, self.style(embedding)).chunk(2, dim=1)
        return Adapted(self.weight, gamma + 1.0, beta)


class StaticAdaIN(nn.InstanceNorm2d):
    """Instance normalisation with one identity's scale and shift as its weight and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPSILON, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> the same size; raises InputError when H and W are 1."""
        _check_places(x)
        return super().forward(x)
