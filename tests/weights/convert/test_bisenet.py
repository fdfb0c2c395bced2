"""BiSeNet's checkpoint: a synthetic one in the original's layout gives the numbers of the original's forward pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import AssetError
from mfs_lib.networks.bisenet import BiSeNet
from mfs_lib.weights.convert.bisenet import convert_bisenet

State = dict[str, Tensor]


def _convolution(state: State, name: str, outputs: int, inputs: int, side: int) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs, side, side) * (2.0 / (inputs * side**2)) ** 0.5


def _norm(state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"] = torch.rand(channels) + 0.5
    state[f"{name}.bias"] = torch.randn(channels) * 0.2
    state[f"{name}.running_mean"] = torch.randn(channels) * 0.2
    state[f"{name}.running_var"] = torch.rand(channels) + 0.5
    state[f"{name}.num_batches_tracked"] = torch.tensor(80_000)


def _cbr(state: State, name: str, outputs: int, inputs: int, side: int) -> None:
    _convolution(state, f"{name}.conv", outputs, inputs, side)
    _norm(state, f"{name}.bn", outputs)


@pytest.fixture(scope="module")
def original() -> State:
    """Every entry of the original, with random values."""
    torch.manual_seed(0)
    state: State = {}
    _convolution(state, "cp.resnet.conv1", 64, 3, 7)
    _norm(state, "cp.resnet.bn1", 64)
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for index in range(2):
            name = f"cp.resnet.layer{stage}.{index}"
            _convolution(state, f"{name}.conv1", width, inputs, 3)
            _norm(state, f"{name}.bn1", width)
            _convolution(state, f"{name}.conv2", width, width, 3)
            _norm(state, f"{name}.bn2", width)
            if inputs != width:
                _convolution(state, f"{name}.downsample.0", width, inputs, 1)
                _norm(state, f"{name}.downsample.1", width)
            inputs = width
    for name, inputs in (("cp.arm16", 256), ("cp.arm32", 512)):
        _cbr(state, f"{name}.conv", 128, inputs, 3)
        _convolution(state, f"{name}.conv_atten", 128, 128, 1)
        _norm(state, f"{name}.bn_atten", 128)
    _cbr(state, "cp.conv_head32", 128, 128, 3)
    _cbr(state, "cp.conv_head16", 128, 128, 3)
    _cbr(state, "cp.conv_avg", 128, 512, 1)
    _cbr(state, "ffm.convblk", 256, 256, 1)
    _convolution(state, "ffm.conv1", 64, 256, 1)
    _convolution(state, "ffm.conv2", 256, 64, 1)
    for name, inputs, middle in (("conv_out", 256, 256), ("conv_out16", 128, 64), ("conv_out32", 128, 64)):
        _cbr(state, f"{name}.conv", middle, inputs, 3)
        _convolution(state, f"{name}.conv_out", 19, middle, 1)
    return state


def _bn(state: State, name: str, x: Tensor) -> Tensor:
    return F.batch_norm(x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))


def _conv(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)


def _relu_cbr(state: State, name: str, x: Tensor) -> Tensor:
    return F.relu(_bn(state, f"{name}.bn", _conv(state, f"{name}.conv", x)))


def _trunk(state: State, x: Tensor) -> list[Tensor]:
    x = F.relu(_bn(state, "cp.resnet.bn1", _conv(state, "cp.resnet.conv1", x, 2)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    maps = []
    for stage in range(1, 5):
        for index in range(2):
            name = f"cp.resnet.layer{stage}.{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            y = F.relu(_bn(state, f"{name}.bn1", _conv(state, f"{name}.conv1", x, stride)))
            y = _bn(state, f"{name}.bn2", _conv(state, f"{name}.conv2", y))
            if stride == 2:
                x = _bn(state, f"{name}.downsample.1", _conv(state, f"{name}.downsample.0", x, 2))
            x = F.relu(x + y)
        maps.append(x)
    return maps[1:]


def _attention(state: State, name: str, x: Tensor) -> Tensor:
    y = _relu_cbr(state, f"{name}.conv", x)
    gate = _conv(state, f"{name}.conv_atten", F.adaptive_avg_pool2d(y, 1))
    return y * torch.sigmoid(_bn(state, f"{name}.bn_atten", gate))


def _forward(state: State, image: Tensor) -> list[Tensor]:
    """Three heads of an image in [0,1], by the names of the state dict."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    f8, f16, f32 = _trunk(state, (image - mean[:, None, None]) / std[:, None, None])
    average = _relu_cbr(state, "cp.conv_avg", F.adaptive_avg_pool2d(f32, 1))
    top = _attention(state, "cp.arm32", f32) + average.expand(-1, -1, *f32.shape[2:])
    c16 = _relu_cbr(state, "cp.conv_head32", F.interpolate(top, scale_factor=2, mode="nearest"))
    middle = _attention(state, "cp.arm16", f16) + c16
    c8 = _relu_cbr(state, "cp.conv_head16", F.interpolate(middle, scale_factor=2, mode="nearest"))
    fused = _relu_cbr(state, "ffm.convblk", torch.cat([f8, c8], 1))
    gate = F.relu(_conv(state, "ffm.conv1", F.adaptive_avg_pool2d(fused, 1)))
    fused = fused * torch.sigmoid(_conv(state, "ffm.conv2", gate)) + fused
    heads = []
    for name, x in (("conv_out", fused), ("conv_out16", c8), ("conv_out32", c16)):
        y = _conv(state, f"{name}.conv_out", _relu_cbr(state, f"{name}.conv", x))
        heads.append(F.interpolate(y, image.shape[2:], mode="bilinear", align_corners=True))
    return heads


@pytest.mark.parametrize("legacy", [True, False])
def test_values_equal_the_originals(tmp_path: Path, original: State, legacy: bool) -> None:
    assert len(original) == 191
    torch.save(original, tmp_path / "79999_iter.pth", _use_new_zipfile_serialization=not legacy)
    network = BiSeNet().eval()
    network.load_state_dict(convert_bisenet(tmp_path / "79999_iter.pth"))
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        heads = network.heads(image)
        torch.testing.assert_close(network(image), heads.main)
        for head, expected in zip(heads, _forward(original, image), strict=True):
            torch.testing.assert_close(head, expected, atol=1e-4, rtol=1e-4)
            assert expected.std() > 0.01


def test_other_networks_are_refused(tmp_path: Path, original: State) -> None:
    path = tmp_path / "other.pth"
    torch.save({key: value for key, value in original.items() if key.startswith("cp.")}, path)
    with pytest.raises(AssetError, match=r"79999_iter\.pth.*ffm\.convblk\.conv\.weight"):
        convert_bisenet(path)
    # The same network for another number of labels.
    torch.save({**original, "conv_out.conv_out.weight": torch.zeros(11, 256, 1, 1)}, path)
    with pytest.raises(AssetError, match=r"of another shape: conv_out\.conv_out\.weight \(11, 256, 1, 1\)"):
        convert_bisenet(path)
    torch.save({**original, "sp.conv1.conv.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(AssetError, match=r"left over: sp\.conv1\.conv\.weight"):
        convert_bisenet(path)
