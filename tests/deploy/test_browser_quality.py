"""What coarse weights cost."""

from __future__ import annotations

import onnx
import pytest

from mfs_lib.deploy.browser_quality import coarse_cost
from mfs_lib.deploy.browser_weights import coarse_weights
from mfs_lib.faces.morphable import MorphableWorld

Graphs = tuple[onnx.ModelProto, onnx.ModelProto]


@pytest.fixture(scope="module")
def world() -> MorphableWorld:
    return MorphableWorld.load()


def test_the_pages_weights_swap_as_exact_ones_do(graphs: Graphs, world: MorphableWorld) -> None:
    source, frame = graphs
    cost = coarse_cost(source, coarse_weights(source), frame, world, pairs=8)
    assert cost.pairs == 8
    assert cost.change > 2
    assert 0 < cost.difference < cost.change / 20


def test_coarser_weights_cost_more(graphs: Graphs, world: MorphableWorld) -> None:
    source, frame = graphs
    fine, coarse = (
        coarse_cost(source, coarse_weights(source, levels=levels), frame, world, pairs=3) for levels in (40, 6)
    )
    assert coarse.difference > 2 * fine.difference
    assert coarse.change == pytest.approx(fine.change)
