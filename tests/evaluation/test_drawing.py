"""Diagrams hold what they are given: every box, every label, and nothing that isn't there."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mfs_lib.errors import InputError
from mfs_lib.evaluation import drawing
from mfs_lib.evaluation.layers import layer_counts, trace_stages
from mfs_lib.networks.fusion import FusionMask
from mfs_lib.networks.mobilefaceswap import StaticSwapper
from mfs_lib.networks.modulation import WeightModulation


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def patches(figure: Figure, kind: type) -> int:
    return sum(isinstance(patch, kind) for patch in figure.axes[0].patches)


def test_boxes_and_arrows() -> None:
    boxes = {"a": drawing.Box(0, 0, "one"), "b": drawing.Box(2, 0, "two")}
    figure = drawing.draw_boxes(boxes, [drawing.Arrow("a", "b", "goes")])
    assert texts(figure) == ["one", "two", "goes"]
    assert patches(figure, FancyBboxPatch) == 2 and patches(figure, FancyArrowPatch) == 1
    with pytest.raises(InputError, match="no box"):
        drawing.draw_boxes(boxes, [drawing.Arrow("a", "c")])


def test_two_flows_end_in_a_mark() -> None:
    assert "mark as\nsynthetic" in texts(drawing.two_flows())


def test_mobile_network_is_drawn_from_its_trace() -> None:
    network = StaticSwapper(channels=(4, 6, 8, 10, 12)).eval()
    figure = drawing.mobile_network(trace_stages(network.idn, 64))
    shown = texts(figure)
    assert any(text.startswith("D1: 20→8") for text in shown)
    assert shown.count("join") == 3
    with pytest.raises(InputError, match="no stages"):
        drawing.mobile_network([])


def test_mask_head_states_its_cost() -> None:
    with torch.device("meta"):
        counts = layer_counts(FusionMask().eval(), torch.empty(1, 512, 7, 7))
    shown = texts(drawing.mask_head(counts, side_in=7))
    assert shown[0] == "E4's output\n512 × 7²"
    assert any(text.endswith("13.7 M") for text in shown)


def test_demodulated_rows_have_norm_one() -> None:
    torch.manual_seed(0)
    layer = WeightModulation(inputs=6, outputs=4, embedding_dim=8)
    figure = drawing.modulation_panels(layer(torch.randn(2, 8)), row=1)
    norms = [[text.get_text() for text in axes.texts] for axes in figure.axes[3:6]]
    assert norms[2] == ["1.00"] * 4
    assert norms[0] != norms[2] and norms[1] != norms[2]
