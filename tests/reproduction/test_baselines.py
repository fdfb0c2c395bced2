"""Systems of known worth: each is what it says, on the same pairs."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.reproduction.baselines import SYSTEMS, baseline_swaps


def test_systems_are_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    source, target, swap, truth = (torch.rand(3, 3, 32, 32, generator=generator) for _ in range(4))
    swaps = baseline_swaps(SwapSet.of_pairs(swap, source, target, truth))
    assert tuple(swaps) == SYSTEMS
    assert torch.equal(swaps["truth"], truth) and torch.equal(swaps["target"], target)
    assert torch.equal(swaps["student"], swap) and torch.equal(swaps["source"], source)
    assert torch.allclose(2 * swaps["half"], truth + target)
    assert swaps["blurred"].std() < 0.5 * truth.std()
    assert torch.allclose(swaps["blurred"][..., 16, 16], truth[..., 14:19, 14:19].mean((2, 3)))
    with pytest.raises(InputError, match="exact swap"):
        baseline_swaps(SwapSet.of_pairs(swap, source, target))
