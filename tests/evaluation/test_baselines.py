"""Systems of known worth: each is what it says, on the same pairs."""

from __future__ import annotations

import torch

from mfs_lib.evaluation.baselines import SYSTEMS, baseline_swaps
from mfs_lib.evaluation.student_report import Pairs


def test_systems_are_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    gallery, target, result, truth = (torch.rand(3, 3, 32, 32, generator=generator) for _ in range(4))
    swaps = baseline_swaps(Pairs(gallery, torch.tensor([2, 0, 1]), target, result, truth))
    assert tuple(swaps) == SYSTEMS
    assert torch.equal(swaps["truth"], truth) and torch.equal(swaps["target"], target)
    assert torch.equal(swaps["student"], result)
    assert torch.equal(swaps["source"], gallery[[2, 0, 1]])
    assert torch.allclose(2 * swaps["half"], truth + target)
    assert swaps["blurred"].std() < 0.5 * truth.std()
    assert torch.allclose(swaps["blurred"][..., 16, 16], truth[..., 14:19, 14:19].mean((2, 3)))
