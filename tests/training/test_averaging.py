"""The moving average of a network."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mfs_lib.training.averaging import update_average


def _pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    average = copy.deepcopy(network)
    with torch.no_grad():
        network[0].weight.add_(1.0)
        network[1].running_mean.add_(2.0)
        network[1].num_batches_tracked.add_(5)
    return average, network


def test_without_decay_the_average_is_the_network_to_the_bit() -> None:
    average, network = _pair()
    update_average(average, network, 0.0, 1000)
    assert all(
        torch.equal(a, b) for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    )


def test_the_average_moves_by_the_share_that_the_decay_leaves() -> None:
    average, network = _pair()
    before = average[0].weight.clone()
    update_average(average, network, 0.75, 1000)
    assert torch.allclose(average[0].weight, before + 0.25)
    assert torch.allclose(average[1].running_mean, torch.full((3,), 0.5))
    assert average[1].num_batches_tracked == 5, "counts are copied"


def test_the_beginning_is_forgotten_soon() -> None:
    average, network = _pair()
    before = average[0].weight.clone()
    update_average(average, network, 0.999, 0)
    assert torch.allclose(average[0].weight, before + 0.9)
