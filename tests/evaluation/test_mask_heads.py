"""Two mask heads fitted to the same features: both learn, and only the cheap one is cheap."""

from __future__ import annotations

import torch
from torch.nn import functional

from mfs_lib.evaluation.mask_heads import Scenes, compare_heads


def scenes(count: int, seed: int) -> Scenes:
    """Features that say where a coarse mask is, at 64 pixels, and pictures in which the mask matters."""
    generator = torch.Generator().manual_seed(seed)
    coarse = (torch.rand(count, 1, 2, 2, generator=generator) > 0.5).float()
    features = torch.cat((coarse, 1 - coarse, torch.randn(count, 6, 2, 2, generator=generator)), 1)
    mask = functional.interpolate(coarse, scale_factor=32, mode="nearest")
    return Scenes(torch.zeros(count, 3, 64, 64), features, mask, mask.expand(-1, 3, -1, -1))


def test_both_heads_learn_and_the_cheap_one_is_cheap() -> None:
    train, test = scenes(64, 0), scenes(8, 1)
    start = compare_heads(train, test, steps=1, progress=False)
    fitted = compare_heads(train, test, steps=150, progress=False)
    again = compare_heads(train, test, steps=150, progress=False)
    for kind, head in fitted.items():
        assert head.masks.shape == test.mask.shape
        assert head.error < 0.7 * start[kind].error
        assert head.swap_error < start[kind].swap_error
        assert torch.equal(head.masks, again[kind].masks)
    assert fitted["once"].macs * 5 < fitted["each"].macs
