"""The sizes that MobileFaceSwap's Table 1 and text print for its own parts, beside what this package's networks count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mfs_lib.evaluation.complexity.conventions import Operations, count_operations
from mfs_lib.evaluation.complexity.verdict import TABLE_CONVENTION, Verdict, judge
from mfs_lib.networks.common import count_parameters
from mfs_lib.networks.fusion import FusionMask
from mfs_lib.networks.identity import IdentityFeatures, IdentityNetwork
from mfs_lib.networks.injection import IdentityInjectionNetwork
from mfs_lib.networks.mobilefaceswap import StaticSwapper


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A printed number and what can be counted: `counted` maps the name of a convention to a value in `unit`."""

    what: str
    printed: str
    unit: str  # "M" (parameters) or "G" (operations)
    counted: dict[str, float]

    @property
    def verdict(self) -> Verdict:
        """Operations are judged by the table's own convention, parameters by the nearer of theirs."""
        fitting = {TABLE_CONVENTION: self.counted[TABLE_CONVENTION]} if self.unit == "G" else self.counted
        return judge(self.printed, fitting)

    def row(self) -> list[str]:
        """Cells for a table: what, paper, counted, verdict."""
        digits = len(self.printed.partition(".")[2]) + 2
        values = "; ".join(f"{name} {value:.{digits}f}" for name, value in self.counted.items())
        return [self.what, f"{self.printed} {self.unit}", values, str(self.verdict)]


def claims() -> list[Claim]:
    """Everything that the paper says about sizes of its own networks, counted on the meta device."""
    with torch.device("meta"):
        return [*_parameters(), *_operations()]


def _millions(*, declared: int, kernels: int) -> dict[str, float]:
    return {"all declared": declared / 1e6, "kernels only": kernels / 1e6}


def _parameters() -> list[Claim]:
    identity, injection = IdentityNetwork(), IdentityInjectionNetwork()
    declared = StaticSwapper(declare_biases=True)

    def both(part: nn.Module) -> dict[str, float]:
        return _millions(declared=count_parameters(part), kernels=count_parameters(part, weights_only=True))

    once = count_parameters(identity)
    image = {"all declared": (once + count_parameters(injection)) / 1e6}
    return [
        Claim(what="identity network", printed="52.2", unit="M", counted={"all declared": once / 1e6}),
        Claim(what="identity + injection network", printed="72.8", unit="M", counted=image),
        Claim(what="mobile network", printed="0.413", unit="M", counted=both(declared.idn)),
        Claim(what="fusion mask", printed="0.083", unit="M", counted=both(declared.fusion)),
        Claim(what="both of every frame", printed="0.495", unit="M", counted=both(declared)),
    ]


def _count(module: nn.Module, *inputs: Any) -> Operations:
    module.eval()
    return count_operations(module, lambda: module(*inputs))


def _operations() -> list[Claim]:
    static, features = StaticSwapper(), IdentityFeatures(torch.empty(1, 512), torch.empty(1, 512, 7, 7))
    small, large, deepest = torch.empty(1, 3, 224, 224), torch.empty(1, 3, 256, 256), torch.empty(1, 512, 7, 7)
    once = _count(IdentityNetwork(), torch.empty(1, 3, 112, 112))
    frame = _count(static, small)
    whole = once + _count(IdentityInjectionNetwork(), features) + frame
    printed = [
        ("identity network, 112²", "7.52", once),
        ("mobile network, 224²", "0.328", _count(static.idn, small)),
        ("fusion mask, 224²", "0.005", _count(FusionMask(), deepest)),
        ("the same, enlarged once at the end", "0.005", _count(FusionMask(upsampling="once"), deepest)),
        ("both of every frame, 224²", "0.333", frame),
        ("both of every frame, 256²", "0.44", _count(static, large)),
        ("one image with everything, 224²", "8.07", whole),
    ]
    return [
        Claim(what=what, printed=text, unit="G", counted={name: n / 1e9 for name, n in count.named().items()})
        for what, text, count in printed
    ]
