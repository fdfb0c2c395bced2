"""The pointwise layers of the mobile network: the release's modulation, and what the paper's ablation puts in its place.

MobileFaceSwap (AAAI 2022) modulates the weights of every pointwise layer (equation 2); its ablation study replaces
that with AdaIN, or leaves it out. The three kinds answer to the same calls, so the networks don't ask which they hold:

| kind        | module               | gives      | what the identity changes                               |
|-------------|----------------------|------------|---------------------------------------------------------|
| "modulated" | WeightModulation     | Modulated  | the weights (equation 2; release)                       |
| "adain"     | AdaptiveInstanceNorm | Adapted    | scale and shift of the normalised outputs, as SimSwap   |
| "plain"     | PlainPointwise       | Plain      | nothing                                                 |

None has a bias: the release's modulated layers have none, AdaIN would remove it, and a plain layer with one would
differ from a modulated layer in two ways.
"""

from __future__ import annotations

from typing import Literal, Protocol, cast

from torch import Tensor, nn

from mfs_lib.networks.adain import AdaptiveInstanceNorm, StaticAdaIN
from mfs_lib.networks.modulation import WeightModulation
from mfs_lib.networks.plain_pointwise import PlainPointwise

Pointwise = Literal["modulated", "adain", "plain"]
"""How the source's identity enters a pointwise layer."""


class PointwiseWeights(Protocol):
    """What the injection gives one pointwise layer (Cin to Cout channels), for one identity or more."""

    @property
    def identities(self) -> int:
        """Of how many people these weights are; 1 also where all people share them."""

    def fold(self, kernel: Tensor) -> Tensor:
        """The kernels (B or 1,Cin,k,k) of the depthwise layer before, with what this layer leaves to them."""

    def run(self, x: Tensor) -> Tensor:
        """`x` (B,Cin,H,W), the output of a depthwise layer with folded kernels -> (B,Cout,H,W) before activation."""

    def select(self, rows: slice | Tensor) -> PointwiseWeights:
        """The weights of some of the identities."""

    def write(self, layers: nn.Sequential) -> None:
        """Copy the first identity's weights into the layers of `static_pointwise`."""


def pointwise_injection(kind: Pointwise, *, inputs: int, outputs: int, embedding_dim: int, plus_one: bool) -> nn.Module:
    """The module that turns identities (B,embedding_dim) into `PointwiseWeights` of one layer."""
    if kind == "adain":
        return AdaptiveInstanceNorm(inputs=inputs, outputs=outputs, embedding_dim=embedding_dim)
    if kind == "plain":
        return PlainPointwise(inputs=inputs, outputs=outputs)
    return WeightModulation(inputs=inputs, outputs=outputs, embedding_dim=embedding_dim, plus_one=plus_one)


def static_pointwise(kind: Pointwise, *, inputs: int, outputs: int, bias: bool = False) -> tuple[nn.Module, ...]:
    """The ordinary layers that hold one identity's weights. A `bias` is declared, zero, and never written."""
    convolution = nn.Conv2d(inputs, outputs, 1, bias=bias)
    if bias:
        nn.init.zeros_(cast(Tensor, convolution.bias))
    return (convolution, StaticAdaIN(outputs)) if kind == "adain" else (convolution,)
