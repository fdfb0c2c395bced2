"""A pointwise layer that no identity changes: the paper's ablation "without weights modulation".

MobileFaceSwap (AAAI 2022, "Effectiveness of the network") removes the weight modulation; then only the predicted
depthwise kernels carry the identity. What the removed layer was replaced with isn't said: here it is the same 1x1
convolution with its learned weight as it is, neither scaled nor demodulated, and still without bias.

| part   | shape             |
|--------|-------------------|
| weight | (Cout, Cin, 1, 1) |
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Plain(NamedTuple):
    """A 1x1 convolution that all identities share."""

    weight: Tensor

    @property
    def identities(self) -> int:
        """1: whoever the source is, the weights are these."""
        return 1

    def fold(self, kernel: Tensor) -> Tensor:
        """`kernel` as it is."""
        return kernel

    def run(self, x: Tensor) -> Tensor:
        """`x` (B,Cin,H,W) -> (B,Cout,H,W)."""
        return functional.conv2d(x, self.weight)

    def select(self, rows: slice | Tensor) -> Plain:
        """The same weights, whatever the rows."""
        return self

    def write(self, layers: nn.Sequential) -> None:
        """Copy the weight into the convolution of a static network."""
        cast(nn.Conv2d, layers[0]).weight.copy_(self.weight)


class PlainPointwise(nn.Module):
    """One pointwise layer's learned weight."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        # As the modulated layer's: signal keeps its size, here without a demodulation to see to it.
        nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, embedding: Tensor) -> Plain:
        """`embedding` (B,E), which isn't read -> the shared weight."""
        return Plain(self.weight)
