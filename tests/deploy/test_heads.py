"""Heads as plain convolutions compute what the network's own heads do."""

from __future__ import annotations

from typing import cast

import pytest
import torch

from mfs_lib.deploy.heads import HalfMaskHead, ImageHead, MaskHead, mask_head
from mfs_lib.errors import ConfigError
from mfs_lib.networks.fusion import FullMask, FusionMask
from tests.deploy.conftest import lively_static

FEATURES = torch.randn(2, 12, 2, 2, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
@pytest.mark.parametrize("name", ["release", "mask-once", "no-fusion"])
def test_mask_heads_are_the_same_function(name: str) -> None:
    fusion = lively_static(name).fusion
    wanted = fusion(FEATURES)
    torch.testing.assert_close(mask_head(fusion)(FEATURES), wanted, atol=1e-5, rtol=0)
    if name != "no-fusion":
        assert wanted.std() > 0.05


@torch.no_grad()
def test_the_image_head_is_the_same_function() -> None:
    final = lively_static().idn.final
    x = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    wanted = (1 + torch.tanh(final(x))) / 2
    assert wanted.std() > 0.05
    torch.testing.assert_close(ImageHead(final)(x), wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_half_size_mask_is_near_the_mask_and_not_it() -> None:
    fusion = cast(FusionMask, lively_static().fusion)
    whole, half = MaskHead(fusion)(FEATURES), HalfMaskHead(fusion)(FEATURES)
    assert half.shape == whole.shape
    assert 1e-3 < (half - whole).abs().mean() < whole.std()


@pytest.mark.parametrize("name", ["mask-once", "no-fusion"])
def test_only_a_growing_mask_can_be_halved(name: str) -> None:
    with pytest.raises(ConfigError, match="grows with each layer"):
        mask_head(lively_static(name).fusion, half=True)


def test_a_full_mask_stays_full() -> None:
    assert isinstance(mask_head(FullMask()), FullMask)
