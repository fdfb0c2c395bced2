"""Hopenet's checkpoint: a synthetic one as Python 2 wrote it gives the numbers of the original's forward pass."""

from __future__ import annotations

import io
import pickle
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import AssetError
from mfs_lib.networks.hopenet import Hopenet
from mfs_lib.weights.convert.hopenet import convert_hopenet

State = dict[str, Tensor]
BLOCKS = (3, 4, 6, 3)


class _Python2Pickler(pickle._Pickler):
    """Writes texts as Python 2's byte strings and tensors as PyTorch 0.3 did."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012 - as in the base class

    def save_text(self, text: str) -> None:
        data = text.encode("ascii")
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    dispatch[str] = save_text

    def reducer_override(self, value: object) -> Any:
        if type(value) is not Tensor:
            return NotImplemented
        return torch._utils._rebuild_tensor, value.__reduce_ex__(2)[1][:4]


def _python2_file(state: State) -> bytes:
    def dump(value: object, file: io.BytesIO, protocol: int) -> None:
        _Python2Pickler(file, protocol=protocol).dump(value)

    module = types.SimpleNamespace(Pickler=_Python2Pickler, dump=dump, __name__="pickle")
    file = io.BytesIO()
    torch.save(OrderedDict(state), file, pickle_module=module, _use_new_zipfile_serialization=False, pickle_protocol=2)
    data = file.getvalue()
    # Trained on a graphics card.
    data = data.replace(b"ctorch\nFloatStorage\n", b"ctorch.cuda\nFloatStorage\n")
    return data.replace(b"U\x03cpu", b"U\x06cuda:0")


def _norm(state: State, name: str, channels: int) -> None:
    state[f"{name}.weight"] = torch.rand(channels) * 0.5 + 0.5
    state[f"{name}.bias"] = torch.randn(channels) * 0.2
    state[f"{name}.running_mean"] = torch.randn(channels) * 0.2
    state[f"{name}.running_var"] = torch.rand(channels) + 0.5


def _convolution(state: State, name: str, outputs: int, inputs: int, side: int) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs, side, side) * (2.0 / (inputs * side**2)) ** 0.5


@pytest.fixture(scope="module")
def original() -> State:
    """Every entry of the original, with random values, as PyTorch wrote it before it counted batches."""
    torch.manual_seed(0)
    state: State = {}
    _convolution(state, "conv1", 64, 3, 7)
    _norm(state, "bn1", 64)
    inputs = 64
    for stage, blocks in enumerate(BLOCKS, start=1):
        width = 32 << stage
        for index in range(blocks):
            name = f"layer{stage}.{index}"
            for number, (after, before, side) in enumerate(
                ((width, inputs, 1), (width, width, 3), (4 * width, width, 1))
            ):
                _convolution(state, f"{name}.conv{number + 1}", after, before, side)
                _norm(state, f"{name}.bn{number + 1}", after)
            if index == 0:
                _convolution(state, f"{name}.downsample.0", 4 * width, inputs, 1)
                _norm(state, f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    for name in ("fc_yaw", "fc_pitch", "fc_roll"):
        state[f"{name}.weight"] = torch.randn(66, 2048) * 0.01
        state[f"{name}.bias"] = torch.randn(66)
    state["fc_finetune.weight"], state["fc_finetune.bias"] = torch.randn(3, 2051), torch.randn(3)
    return state


def _bn(state: State, name: str, x: Tensor) -> Tensor:
    return F.batch_norm(x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))


def _degrees(state: State, image: Tensor) -> Tensor:
    """Angles of images in [0,1], by the names of the state dict."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean[:, None, None]) / std[:, None, None]
    x = F.relu(_bn(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage, blocks in enumerate(BLOCKS, start=1):
        for index in range(blocks):
            name, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
            y = F.relu(_bn(state, f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"])))
            y = F.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(_bn(state, f"{name}.bn2", y)), state[f"{name}.conv3.weight"])
            if index == 0:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = _bn(state, f"{name}.downsample.1", x)
            x = F.relu(_bn(state, f"{name}.bn3", y) + x)
    x = F.avg_pool2d(x, 7).flatten(1)
    angles = []
    for name in ("fc_yaw", "fc_pitch", "fc_roll"):
        chances = torch.softmax(F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"]), 1)
        angles.append((chances * torch.arange(66.0)).sum(1) * 3 - 99)
    return torch.stack(angles, 1)


def _new_zip(state: State) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _old_torch(state: State) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def test_values_equal_the_originals(tmp_path: Path, original: State) -> None:
    path = tmp_path / "hopenet_robust_alpha1.pkl"
    path.write_bytes(_python2_file(original))
    state = convert_hopenet(path)
    assert len(original) == 326 - 53
    assert len(state) == 326
    network = Hopenet().eval()
    network.load_state_dict(state)
    faces = torch.rand(2, 3, 224, 224)
    faces[1] *= 0.1
    with torch.no_grad():
        angles, expected = network(faces), _degrees(original, faces)
    torch.testing.assert_close(angles, expected, atol=1e-2, rtol=0)
    assert (expected[0] - expected[1]).abs().min() > 0.1
    assert torch.equal(state["fc_finetune.weight"], original["fc_finetune.weight"])


@pytest.mark.parametrize("write", [_python2_file, _old_torch, _new_zip])
def test_every_form_of_the_file_is_read(tmp_path: Path, original: State, write: Callable[[State], bytes]) -> None:
    data = write(original)
    assert (data[:2] == b"PK") == (write is _new_zip)
    if write is _python2_file:
        assert b"torch._utils\n_rebuild_tensor\n" in data
        assert b"ctorch.cuda\nFloatStorage\n" in data
        assert b"U\x06cuda:0" in data
        assert b"U\x0econv1.weight" not in data  # 12 letters, not 14
        assert b"U\x0cconv1.weight" in data
    path = tmp_path / "hopenet.pkl"
    path.write_bytes(data)
    state = convert_hopenet(path)
    assert all(torch.equal(state[key], value) for key, value in original.items())


def test_other_networks_are_refused(tmp_path: Path, original: State) -> None:
    path = tmp_path / "other.pkl"

    def write(state: State) -> None:
        torch.save(state, path, _use_new_zipfile_serialization=False)

    # A plain classifier of the same depth.
    write({key: value for key, value in original.items() if not key.startswith("fc_")})
    with pytest.raises(AssetError, match=r"hopenet_robust_alpha1\.pkl.*missing: fc_yaw\.weight"):
        convert_hopenet(path)
    write({**original, "fc_roll.weight": torch.zeros(62, 2048)})
    with pytest.raises(AssetError, match=r"of another shape: fc_roll\.weight \(62, 2048\)"):
        convert_hopenet(path)
    path.write_bytes(_python2_file(original)[:-1000])
    with pytest.raises(AssetError, match="refused"):
        convert_hopenet(path)
