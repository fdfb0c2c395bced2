"""Walking networks: the counts of the layers add up to those of the whole, and joins are found, not assumed."""

from __future__ import annotations

import torch
from torch import nn

from mfs_lib.evaluation.layers import ConvolutionCounter, layer_counts, trace_stages
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.mobilefaceswap import StaticSwapper

NARROW = (4, 6, 8, 10, 12)


def test_layers_add_up_to_the_network() -> None:
    with torch.device("meta"):
        network, target = StaticSwapper().eval(), torch.empty(1, 3, 224, 224)
        layers = layer_counts(network, target)
        assert sum(layer.macs for layer in layers) == count_macs(network, target) == 305_722_368
        assert sum(layer.weights for layer in layers) == count_parameters(network, weights_only=True)
    kinds = [layer.kind for layer in layers if layer.name.startswith("idn.encoder")]
    assert kinds == ["depthwise", "pointwise"] * 5
    deepest = next(layer for layer in layers if layer.name == "idn.encoder.4.1")
    assert (deepest.inputs, deepest.outputs, deepest.side) == (256, 512, 7)


def test_linear_layers_are_counted() -> None:
    (layer,) = layer_counts(nn.Linear(5, 3), torch.rand(1, 5))
    assert (layer.kind, layer.weights, layer.macs) == ("linear", 15, 15)


def test_stages_and_their_joins() -> None:
    network = StaticSwapper(channels=NARROW).eval()
    stages = {stage.name: stage for stage in trace_stages(network.idn, 64)}
    assert list(stages) == ["E0", "E1", "E2", "E3", "E4", "D0", "D1", "D2", "D3", "final"]
    joined = {name: stage.joined for name, stage in stages.items() if stage.joined}
    assert joined == {"D1": ("E3",), "D2": ("E2",), "D3": ("E1",)}
    assert (stages["D1"].inputs, stages["D1"].outputs) == (20, 8)
    assert [stages[name].side_out for name in ("E0", "E4", "D0", "final")] == [32, 2, 4, 64]
    assert not stages["E0"].upsamples and stages["D0"].upsamples and stages["final"].upsamples


def test_tracing_leaves_no_hooks() -> None:
    network = StaticSwapper(channels=NARROW).eval()
    trace_stages(network.idn, 64)
    layer_counts(network, torch.rand(1, 3, 64, 64))
    assert not any(part._forward_hooks for part in network.modules())


def test_convolutions_are_counted_only_inside() -> None:
    layer, x = nn.Conv2d(1, 1, 3), torch.rand(1, 1, 8, 8)
    with ConvolutionCounter() as counter, torch.no_grad():
        layer(x)
        layer(x)
    layer(x)
    assert counter.calls == 2
