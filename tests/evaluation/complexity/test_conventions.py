"""Operations in three conventions: equal to what the tools themselves report, layer kind by layer kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.evaluation.complexity.conventions import CONVENTIONS, Operations, count_operations
from mfs_lib.networks.common import Upsample2x
from mfs_lib.networks.identity import IdentityNetwork
from mfs_lib.networks.mobilefaceswap import StaticSwapper


class Everything(nn.Module):
    """A small network with every kind of layer that some convention charges for."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(), nn.Conv2d(8, 8, 3, groups=8),
            nn.BatchNorm2d(8, affine=False), nn.LeakyReLU(), nn.InstanceNorm2d(8), nn.AvgPool2d(2), Upsample2x(),
            nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1), nn.InstanceNorm2d(4, affine=True), nn.Sigmoid(),
            nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.interpolate(self.body(x), scale_factor=1, mode="nearest").flatten(1))


CASES: list[tuple[str, Callable[[], nn.Module], tuple[int, ...]]] = [
    ("everything", Everything, (1, 3, 24, 24)),
    ("mobile network", StaticSwapper, (1, 3, 224, 224)),
    ("identity network", IdentityNetwork, (1, 3, 112, 112)),
]


def counted_on_meta(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> Operations:
    with torch.device("meta"):
        module, x = build().eval(), torch.empty(shape)
        return count_operations(module, lambda: module(x))


@pytest.mark.filterwarnings("ignore")  # the tracer warns about our checks of shapes
@pytest.mark.parametrize(("name", "build", "shape"), CASES, ids=[case[0] for case in CASES])
def test_fvcore_itself_agrees(name: str, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    fvcore = pytest.importorskip("fvcore.nn")
    analysis = fvcore.FlopCountAnalysis(build().eval(), torch.rand(shape))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    ours = counted_on_meta(build, shape)
    assert ours.fvcore == analysis.total()
    kinds = analysis.by_operator()
    assert ours.mac == kinds["conv"] + kinds["linear"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "build", "shape"), CASES, ids=[case[0] for case in CASES])
def test_thop_itself_agrees_once_upsampling_is_free(
    name: str, build: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    thop = pytest.importorskip("thop")  # not among the requirements: it no longer works on later Pythons
    total, _ = thop.profile(build().eval(), (torch.rand(shape),), verbose=False)
    assert counted_on_meta(build, shape).thop_noup == total


def test_the_release_in_all_conventions() -> None:
    assert counted_on_meta(StaticSwapper, (1, 3, 224, 224)).named() == dict(
        zip(CONVENTIONS, (305_722_368, 330_459_136, 309_435_392), strict=True)
    )
    assert counted_on_meta(IdentityNetwork, (1, 3, 112, 112)) == Operations(7_481_229_568, 7_499_335_488, 7_520_604_476)


def test_operations_add_up() -> None:
    assert Operations(1, 2, 3) + Operations(10, 20, 30) * 2 == Operations(21, 42, 63)


def test_counting_changes_nothing() -> None:
    module, x = (
        StaticSwapper(channels=(4, 6, 8, 10, 12), mask_channels=(4, 4, 4, 4, 2)).eval(),
        torch.rand(1, 3, 32, 32),
    )
    before = module(x).result
    count_operations(module, lambda: module(x))
    assert torch.equal(module(x).result, before)
    assert not any(part._forward_hooks for part in module.modules())
