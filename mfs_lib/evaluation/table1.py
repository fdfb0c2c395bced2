"""The sizes in MobileFaceSwap's Table 1 and text, each beside what this package's networks count (AAAI 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mfs_lib.evaluation.layers import paper_flops, prints_as
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.fusion import FusionMask
from mfs_lib.networks.identity import IdentityFeatures, IdentityNetwork
from mfs_lib.networks.injection import IdentityInjectionNetwork
from mfs_lib.networks.mobilefaceswap import StaticSwapper

CONVENTION = "table's rule"
"""Name of the count of operations that `layers.paper_flops` makes."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A printed number and what can be counted: `counted` maps the name of a convention to a value in `unit`."""

    what: str
    printed: str
    unit: str  # "M" (parameters) or "G" (operations)
    counted: dict[str, float]

    @property
    def exact(self) -> list[str]:
        """Conventions whose count, rounded as the paper rounds, is the printed number."""
        return [name for name, value in self.counted.items() if prints_as(value, self.printed)]

    @property
    def verdict(self) -> str:
        """`exact` with the conventions that fit, or how far the nearest one is away."""
        if self.exact:
            return f"exact ({', '.join(self.exact)})"
        wanted = float(self.printed)
        name, value = min(self.counted.items(), key=lambda item: abs(item[1] - wanted))
        if min(value, wanted) * 2 < max(value, wanted):
            return f"not reproducible ({name}: {value / wanted:.1f} times as much)"
        percent = 100 * (value / wanted - 1)
        outcome = "off by a hair" if abs(percent) < 0.5 else "not reproducible"
        return f"{outcome} ({name}: {percent:+.1f} %)".replace("-", "−")

    def row(self) -> list[str]:
        """Cells for a table: what, paper, counted, verdict."""
        digits = len(self.printed.partition(".")[2]) + 2
        values = "; ".join(f"{name} {value:.{digits}f}" for name, value in self.counted.items())
        return [self.what, f"{self.printed} {self.unit}", values, self.verdict]


def claims() -> list[Claim]:
    """Everything that the paper says about sizes of its own networks, counted on the meta device."""
    with torch.device("meta"):
        return [*_parameters(), *_operations()]


def _millions(*, declared: int, kernels: int) -> dict[str, float]:
    return {"all declared": declared / 1e6, "kernels only": kernels / 1e6}


def _parameters() -> list[Claim]:
    identity, injection = IdentityNetwork(), IdentityInjectionNetwork()
    declared = StaticSwapper(declare_biases=True)

    def both(part: torch.nn.Module) -> dict[str, float]:
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


def _billions(module: torch.nn.Module, *inputs: object) -> dict[str, float]:
    return {"MAC": count_macs(module, *inputs) / 1e9, CONVENTION: paper_flops(module, *inputs) / 1e9}


def _operations() -> list[Claim]:
    static, identity, injection = StaticSwapper().eval(), IdentityNetwork().eval(), IdentityInjectionNetwork().eval()
    small, large = torch.empty(1, 3, 224, 224), torch.empty(1, 3, 256, 256)
    features = IdentityFeatures(torch.empty(1, 512), torch.empty(1, 512, 7, 7))
    once = _billions(identity, torch.empty(1, 3, 112, 112))
    write = _billions(injection, features)
    frame = _billions(static, small)
    image = {name: once[name] + write[name] + frame[name] for name in frame}
    return [
        Claim(what="identity network, 112²", printed="7.52", unit="G", counted=once),
        Claim(what="mobile network, 224²", printed="0.328", unit="G", counted=_billions(static.idn, small)),
        Claim(
            what="fusion mask, 224²", printed="0.005", unit="G",
            counted=_billions(FusionMask().eval(), torch.empty(1, 512, 7, 7)),
        ),
        Claim(what="both of every frame, 224²", printed="0.333", unit="G", counted=frame),
        Claim(what="both of every frame, 256²", printed="0.44", unit="G", counted=_billions(static, large)),
        Claim(what="one image with everything, 224²", printed="8.07", unit="G", counted=image),
    ]  # fmt: skip
