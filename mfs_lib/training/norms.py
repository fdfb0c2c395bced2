"""Batch normalisation in training by small batches."""

from __future__ import annotations

from torch import nn


def freeze_norms(network: nn.Module) -> None:
    """Let batch normalisation use its running statistics, its scale and shift still learning.

    The statistics of a small batch depend on who else is in it, and some of these layers lie right before the picture.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
