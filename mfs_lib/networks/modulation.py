"""Weight modulation: a learned 1x1 convolution adapted to an identity (MobileFaceSwap, equation 2).

For input channel i and output channel o of a learned weight w, and the identity embedding z of unit length:

    s    = Linear(z)                                      one number for each input channel
    w'   = w[o,i] * (s[i] + 1)                            (release; the paper's equation 2 has no "+ 1")
    w''  = w'[o,i] / sqrt(sum_i w'[o,i]^2 + 1e-16)        demodulation, equation 2

| part     | shape             | release's sizes, Cin -> Cout                                       |
|----------|-------------------|--------------------------------------------------------------------|
| weight   | (Cout, Cin, 1, 1) | 3-32, 32-64, 64-128, 128-256, 256-512; 512-256, 512-128, 256-64, 128-32 |
| style    | Linear(E, Cin)    | with bias                                                          |

A batch of identities never needs its own copies of w: because w'' factors into a number for each input channel, the
shared w and a number for each output channel, the two vectors can be applied to the activations instead.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-16


class Modulated(NamedTuple):
    """A modulated 1x1 convolution for B identities: w''[b,o,i] = demodulation[b,o] * weight[o,i] * scale[b,i]."""

    scale: Tensor
    weight: Tensor
    demodulation: Tensor

    @property
    def identities(self) -> int:
        """B."""
        return int(self.scale.shape[0])

    def fold(self, kernel: Tensor) -> Tensor:
        """Scale the kernels (B or 1,Cin,k,k) of the bias-free depthwise layer before, in place of this layer's inputs."""
        return kernel * self.scale[:, :, None, None]

    def run(self, x: Tensor) -> Tensor:
        """`x` (B,Cin,H,W), filtered with folded kernels -> (B,Cout,H,W); the batch shares the learned weight."""
        return functional.conv2d(x, self.weight) * self.demodulation[:, :, None, None]

    def select(self, rows: slice | Tensor) -> Modulated:
        """The scales and demodulations of some of the identities."""
        return Modulated(self.scale[rows], self.weight, self.demodulation[rows])

    def baked(self) -> Tensor:
        """The convolution weights of every identity, (B,Cout,Cin,1,1)."""
        flat = self.weight.flatten(1)[None] * self.scale[:, None, :] * self.demodulation[:, :, None]
        return flat[..., None, None]

    def write(self, layers: nn.Sequential) -> None:
        """Copy the first identity's modulated weights into a static network's convolution."""
        cast(nn.Conv2d, layers[0]).weight.copy_(self.baked()[0])


def demodulated(weight: Tensor, scale: Tensor) -> Modulated:
    """The convolution of a learned `weight` (Cout,Cin,1,1) under the scales (B,Cin) of B identities."""
    energy = scale.square() @ weight.flatten(1).square().t()
    return Modulated(scale, weight, torch.rsqrt(energy + _EPSILON))


class WeightModulation(nn.Module):
    """One pointwise layer's learned weight and the linear map from an identity to its channel scales."""

    def __init__(self, *, inputs: int, outputs: int, embedding_dim: int, plus_one: bool = True) -> None:
        super().__init__()
        self.plus_one = plus_one
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.style = nn.Linear(embedding_dim, inputs)
        nn.init.normal_(self.weight, std=inputs**-0.5)
        # A unit-length embedding gives scales that differ from 1 by about a quarter: identities differ from the start.
        nn.init.normal_(self.style.weight, std=0.25)
        nn.init.constant_(self.style.bias, 0.0 if plus_one else 1.0)

    def forward(self, embedding: Tensor) -> Modulated:
        """Unit-length `embedding` (B,E) -> scale (B,Cin), the shared weight, demodulation (B,Cout)."""
        scale = cast(Tensor, self.style(embedding))
        if self.plus_one:
            scale = scale + 1.0
        return demodulated(self.weight, scale)
