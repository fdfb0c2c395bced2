"""Phases: convolutions at full resolution, done at half of it."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch.nn import functional

from mfs_lib.deploy.heads import ImageHead, Kernel, MaskHead
from mfs_lib.deploy.packed_heads import PackedHeads, PackedImageHead, between_phases, from_phases, to_phases
from mfs_lib.networks.fusion import FusionMask
from tests.deploy.conftest import lively_static


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("height", "width"), [(6, 8), (2, 2), (10, 4)])
def test_two_convolutions_by_phases(height: int, width: int) -> None:
    first, second = Kernel(_random(5, 3, 3, 3), _random(5)), Kernel(_random(4, 5, 3, 3), _random(4))
    x = _random(2, 3, height, width)
    middle = functional.conv2d(x, *first, padding=1)
    phases = functional.conv2d(x, *to_phases(first), stride=2, padding=1)
    torch.testing.assert_close(from_phases(phases), middle, atol=1e-5, rtol=1e-5)
    wanted = functional.conv2d(middle, *second, padding=1)
    found = from_phases(functional.conv2d(phases, *between_phases(second), padding=1))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


def test_phases_are_a_pixel_shuffle() -> None:
    x = _random(2, 12, 3, 5)
    assert torch.equal(from_phases(x), functional.pixel_shuffle(x, 2))


@torch.no_grad()
def test_both_heads_in_one_are_the_two_heads() -> None:
    static = lively_static()
    x, deepest = _random(2, 4, 32, 32), _random(2, 12, 2, 2)
    image, mask = PackedHeads(static.idn.final, cast(FusionMask, static.fusion))(x, deepest)
    torch.testing.assert_close(image, ImageHead(static.idn.final)(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(mask, MaskHead(cast(FusionMask, static.fusion))(deepest), atol=1e-5, rtol=0)
    torch.testing.assert_close(image, PackedImageHead(static.idn.final)(x), atol=1e-5, rtol=0)
    assert image.std() > 0.05
    assert mask.std() > 0.05
