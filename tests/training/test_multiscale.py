"""Multi-scale supervision: every level learns, and a level that already shows the truth costs nothing."""

from __future__ import annotations

import torch
from torch import nn

from mfs_lib.training.multiscale import MultiScaleHeads


def test_gradients_reach_every_level() -> None:
    heads = MultiScaleHeads((6, 4))
    levels = [torch.randn(2, 6, 4, 4, requires_grad=True), torch.randn(2, 4, 8, 8, requires_grad=True)]
    truth, face = torch.rand(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
    loss = heads.loss(levels, truth, face, torch.ones(2, 1, 16, 16))
    assert loss.shape == (2,)
    loss.sum().backward()
    assert all(level.grad is not None and (level.grad != 0).any((1, 2, 3)).all() for level in levels)
    assert all((p.grad != 0).any() for p in heads.parameters() if p.grad is not None)


def test_a_level_that_shows_the_truth_costs_nothing() -> None:
    heads = MultiScaleHeads((4,))
    head = heads.heads[0]
    assert isinstance(head, nn.Conv2d)
    nn.init.dirac_(head.weight)
    nn.init.zeros_(head.bias)
    truth, face = torch.full((1, 3, 8, 8), 0.75), torch.full((1, 1, 8, 8), 0.5)
    right = torch.cat([truth * 2 - 1, face], 1)
    weight = torch.ones(1, 1, 8, 8)
    assert heads.loss([nn.functional.avg_pool2d(right, 2)], truth, face, weight).item() < 1e-6
    assert heads.loss([0 * right], truth, face, weight).item() > 0.1
