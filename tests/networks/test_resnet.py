"""Residual trunks: sizes of the published checkpoints, names, and values of a forward pass written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfs_lib.errors import ConfigError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.resnet import ResNet, normalise_imagenet


def _randomised(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith(("running_var", ".weight")) and value.ndim == 1:
            value.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", ".bias")):
            value.normal_(std=0.2)
    return network.eval()


def _norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts)


def _shortcut(state: dict[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    if f"{name}.downsample.0.weight" not in state:
        return x
    return _norm(state, f"{name}.downsample.1", F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride))


def _forward(state: dict[str, Tensor], x: Tensor, convolutions: int) -> list[Tensor]:
    """The four stages, read from a state dict with torchvision's names."""
    x = F.relu(_norm(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    levels = []
    for stage in range(1, 5):
        index = 0
        while f"layer{stage}.{index}.conv1.weight" in state:
            name = f"layer{stage}.{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            y = x
            for number in range(1, convolutions + 1):
                weight = state[f"{name}.conv{number}.weight"]
                # The 3x3 convolution that has the stride: the first of two, the second of three.
                step = stride if number == convolutions - 1 else 1
                y = _norm(state, f"{name}.bn{number}", F.conv2d(y, weight, stride=step, padding=weight.shape[2] // 2))
                y = F.relu(y) if number < convolutions else y
            x = F.relu(y + _shortcut(state, name, x, stride))
            index += 1
        levels.append(x)
    return levels


@pytest.mark.parametrize(
    ("depth", "parameters", "entries", "macs"),
    [(18, 11_176_512, 120, 1_813_561_344), (50, 23_508_032, 318, 4_087_136_256)],
)
def test_counts(depth: int, parameters: int, entries: int, macs: int) -> None:
    with torch.device("meta"):
        network = ResNet(depth=depth).eval()  # type: ignore[arg-type]
        assert count_parameters(network) == parameters
        assert len(network.state_dict()) == entries
        assert count_macs(network, torch.empty(1, 3, 224, 224)) == macs


def test_names_are_torchvisions() -> None:
    with torch.device("meta"):
        basic, deep = ResNet(depth=18).state_dict(), ResNet(depth=50).state_dict()
    assert basic["layer4.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert basic["layer3.1.bn2.running_var"].shape == (256,)
    assert "layer1.0.downsample.0.weight" not in basic
    assert deep["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert deep["layer3.5.conv3.weight"].shape == (1024, 256, 1, 1)
    assert deep["layer4.2.bn3.num_batches_tracked"].shape == ()


@pytest.mark.parametrize(("depth", "convolutions"), [(18, 2), (50, 3)])
def test_levels_equal_a_forward_pass_by_hand(depth: int, convolutions: int) -> None:
    network = _randomised(ResNet(depth=depth, width=4))  # type: ignore[arg-type]
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        levels = network.levels(x)  # type: ignore[operator]
        expected = _forward(network.state_dict(), x, convolutions)
        torch.testing.assert_close(network(x), levels[3])
    expansion = 1 if depth == 18 else 4
    for stage, (level, other) in enumerate(zip(levels, expected, strict=True)):
        torch.testing.assert_close(level, other)
        assert level.shape == (2, (4 << stage) * expansion, 16 >> stage, 24 >> stage)
    assert levels[3].std() > 0


def test_imagenet_normalisation() -> None:
    x = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    assert normalise_imagenet(x).abs().max() < 1e-6
    white = normalise_imagenet(torch.ones(1, 3, 1, 1)).flatten().tolist()
    assert white == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], rel=1e-5)


def test_other_depths_are_refused() -> None:
    with pytest.raises(ConfigError, match="34"):
        ResNet(depth=34)  # type: ignore[arg-type]
