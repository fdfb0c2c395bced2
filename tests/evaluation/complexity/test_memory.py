"""Peaks of memory and traffic, against networks small enough to be reckoned by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mfs_lib.evaluation.complexity.memory import Memory, measure_memory

FLOAT = 4


class Chain(nn.Module):
    """Two convolutions; with `keeps` the first one's output lives until the end."""

    def __init__(self, *, keeps: bool) -> None:
        super().__init__()
        self.keeps = keeps
        self.first = nn.Conv2d(1, 10, 1, bias=False)
        self.second = nn.Conv2d(10, 3, 1, bias=False)
        self.third = nn.Conv2d(3, 20, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.first(x)
        y = self.second(kept)
        if not self.keeps:
            del kept
        return self.third(y)


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("keeps", "channels"), [(False, 3 + 20), (True, 10 + 3 + 20)])
def test_peak_is_what_lives_at_once(keeps: bool, channels: int, device: str) -> None:
    with torch.device(device):
        module, x = Chain(keeps=keeps), torch.zeros(1, 1, 8, 8)
        memory = measure_memory(lambda: module(x))
    places = 8 * 8
    weights = 10 + 30 + 60
    reads_and_writes = (1 + 10) + (10 + 3) + (3 + 20)
    assert memory == Memory(FLOAT * places * channels, FLOAT * (places * reads_and_writes + weights))


def test_views_and_changes_in_place_take_no_memory() -> None:
    x = torch.zeros(4, 4)
    assert measure_memory(lambda: x.view(2, 8).t().relu_()).peak_activations == 0
    assert measure_memory(lambda: x.add(1).relu_().view(16)).peak_activations == 16 * FLOAT


def test_matrix_products_count_as_traffic() -> None:
    linear, x = nn.Linear(3, 5), torch.zeros(2, 3)
    assert measure_memory(lambda: linear(x)).traffic == FLOAT * (2 * 3 + 3 * 5 + 5 + 2 * 5)
