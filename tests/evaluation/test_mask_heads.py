"""Two mask heads fitted to the same features: both learn, and those of the record are there."""

from __future__ import annotations

import torch
from torch.nn import functional

from mfs_lib.evaluation.mask_heads import Scenes, fit_heads, judge_head, load_heads


def scenes(count: int, seed: int) -> Scenes:
    """Features that say where a coarse mask is, at 64 pixels, and pictures in which the mask matters."""
    generator = torch.Generator().manual_seed(seed)
    coarse = (torch.rand(count, 1, 2, 2, generator=generator) > 0.5).float()
    features = torch.cat((coarse, 1 - coarse, torch.randn(count, 6, 2, 2, generator=generator)), 1)
    mask = functional.interpolate(coarse, scale_factor=32, mode="nearest")
    return Scenes(torch.zeros(count, 3, 64, 64), features, mask, mask.expand(-1, 3, -1, -1))


def test_both_heads_learn() -> None:
    train, test = scenes(64, 0), scenes(8, 1)
    start = fit_heads(train, steps=1, progress=False)
    fitted = fit_heads(train, steps=150, progress=False)
    again = fit_heads(train, steps=150, progress=False)
    for kind, head in fitted.items():
        before, after = judge_head(start[kind], test), judge_head(head, test)
        assert after.masks.shape == test.mask.shape
        assert after.error < 0.7 * before.error
        assert after.swap_error < before.swap_error
        assert torch.equal(after.masks, judge_head(again[kind], test).masks)


def test_recorded_heads_come_with_the_package() -> None:
    heads = load_heads()
    assert {kind: head.upsampling for kind, head in heads.items()} == {"each": "each", "once": "once"}
    features = torch.rand(2, 512, 2, 2, generator=torch.Generator().manual_seed(0))
    masks = {kind: head(features) for kind, head in heads.items()}
    assert masks["each"].shape == masks["once"].shape == (2, 1, 64, 64)
    assert (masks["each"] - masks["once"]).abs().max() > 0.01
