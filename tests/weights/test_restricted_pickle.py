"""Good files for the restricted readers: every form that the public checkpoints come in, value by value."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mfs_lib.errors import AssetError
from mfs_lib.weights.pickle_reader import Inert, inert, read_pickle, refuse
from mfs_lib.weights.restricted_pickle import load_arrays, load_module_state

ARRAYS: dict[str, Any] = {
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "no axis": np.array(5),
    "empty": np.zeros((0, 3), np.float32),
    "half": np.arange(300, dtype=np.float16),
    "big-endian": np.arange(3, dtype=">i4"),
    "truth": np.array([True, False]),
    "scalar": np.float64(2.5),
    "bytes of all values": np.arange(256, dtype=np.uint8),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int, kind: type) -> None:
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps(kind(ARRAYS | {"StructuredToParameterName@@": {"matrix": "w_0"}}), protocol))
    loaded = load_arrays(path)
    assert list(loaded) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        assert loaded[name].dtype == np.asarray(expected).dtype.newbyteorder("=")
        assert loaded[name].shape == np.shape(expected)
        assert np.array_equal(loaded[name], expected)
        assert loaded[name].flags.writeable and loaded[name].flags.c_contiguous


def test_numpy_1_s_names_are_read_like_numpy_2_s(tmp_path: Path) -> None:
    new = pickle.dumps({"a": np.arange(4.0), "s": np.float32(3)}, 2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert (b"numpy._core" in new) != (b"numpy._core" in old)
    for data in (new, old):
        (tmp_path / "w").write_bytes(data)
        assert load_arrays(tmp_path / "w")["a"].tolist() == [0, 1, 2, 3]
        assert load_arrays(tmp_path / "w")["s"].item() == 3


def test_paddle_s_pairs_of_name_and_array(tmp_path: Path) -> None:
    class Tensor:
        """Pickled as Paddle pickles a tensor that is not directly in a state dict."""

        def __reduce__(self) -> Any:
            return tuple, (("linear_0.w_0", np.ones((2, 3), np.float32)),)

    for protocol in (2, 4):
        (tmp_path / "w").write_bytes(pickle.dumps({"weight": Tensor(), "bias": np.zeros(3)}, protocol))
        assert load_arrays(tmp_path / "w")["weight"].tolist() == np.ones((2, 3)).tolist()


def test_each_array_has_memory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(pickle.dumps({"a": np.zeros(3), "b": np.zeros(3)}))
    loaded = load_arrays(tmp_path / "w")
    loaded["a"][0] = 7
    assert loaded["b"][0] == 0


@pytest.mark.parametrize("content", [[1], {"a": 1}, {"a": {"b": np.zeros(1)}}, {1: np.zeros(1)}, {"a": (1, 2, 3)}])
def test_other_content_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "w").write_bytes(pickle.dumps(content))
    with pytest.raises(AssetError, match="named arrays"):
        load_arrays(tmp_path / "w")
    with pytest.raises(AssetError, match="can't be read"):
        load_arrays(tmp_path / "missing")


MODELS = """
import torch
from torch import nn


class IRBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.prelu = nn.PReLU()
        self.downsample = None
        self.stride = 1
        self.register_parameter("none", None)
        self.register_buffer("kept", torch.arange(4))
        self.register_buffer("dropped", torch.ones(2), persistent=False)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(IRBlock(), IRBlock())
        self.fc = nn.Linear(4, 2).half()
        self.turned = nn.Parameter(torch.arange(6.0).reshape(2, 3).t())
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A module whose classes live in ``models.arcface_models``."""
    package = tmp_path / "code" / "models"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "arcface_models.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(package.parent))
    for name in ("models", "models.arcface_models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from models.arcface_models import ResNet  # the folder above

    return ResNet()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapping", ["bare", "parallel", "checkpoint", "state", "state in a checkpoint"])
def test_a_module_s_state_is_its_own_state_dict(tmp_path: Path, module: nn.Module, zipped: bool, wrapping: str) -> None:
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    sum(p.float().sum() for p in module.parameters()).backward()  # type: ignore[union-attr]
    optimiser.step()
    parallel = nn.DataParallel(module)
    whole: object = {
        "bare": module,
        "parallel": parallel,
        "checkpoint": {"epoch": 3, "acc": np.float64(0.9), "model": parallel, "optimizer": optimiser},
        "state": module.state_dict(),
        "state in a checkpoint": {"epoch": 3, "state_dict": module.state_dict()},
    }[wrapping]
    torch.save(whole, tmp_path / "m", _use_new_zipfile_serialization=zipped)
    for name in ("models", "models.arcface_models"):
        del sys.modules[name]  # the classes are gone: nothing may look for them
    loaded = load_module_state(tmp_path / "m")
    expected = (parallel if wrapping in ("parallel", "checkpoint") else module).state_dict()
    assert sorted(loaded) == sorted(expected)
    for name, value in expected.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)
    assert "models" not in sys.modules


def test_names_with_dots_and_other_modules_are_refused(tmp_path: Path) -> None:
    for name in ("torch.nn.functional relu", "torch.nn.modules module.torch.os.system", "models.other ResNet"):
        program = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(w)]) + w.encode() for w in name.split()) + b"\x93."
        with zipfile.ZipFile(tmp_path / "m", "w") as archive:
            archive.writestr("m/data.pkl", program)
        with pytest.raises(AssetError, match="which no file of weights needs"):
            load_module_state(tmp_path / "m")


def test_files_of_the_other_byte_order_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m", "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}, 2))
        archive.writestr("m/byteorder", "bigend")
    with pytest.raises(AssetError, match="other byte order"):
        load_module_state(tmp_path / "m")
    parts: list[object] = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": False}, {}, []]
    (tmp_path / "m").write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    with pytest.raises(AssetError, match="other byte order"):
        load_module_state(tmp_path / "m")


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    for thing in ([torch.zeros(1)], {"a": 1}, torch.zeros(2), {}):
        torch.save(thing, tmp_path / "m")
        with pytest.raises(AssetError, match="neither a module nor named tensors"):
            load_module_state(tmp_path / "m")
    with zipfile.ZipFile(tmp_path / "m", "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(AssetError, match=r"not one of torch\.save"):
        load_module_state(tmp_path / "m")
    with pytest.raises(AssetError, match="can't be read"):
        load_module_state(tmp_path / "missing")


def test_the_reader_only_parses() -> None:
    class Foreign:
        def __init__(self) -> None:
            self.attribute = 3

    def resolve(module: str, name: str) -> Any:
        return inert(f"{module}:{name}") if name == "mkdir" else refuse(module, name)

    made = read_pickle(io.BytesIO(b"cos\nmkdir\n(S'x'\ntR(dS'a'\nI1\nsb."), resolve)
    assert isinstance(made, Inert)
    assert (made.kind, made.arguments, made.state) == ("os:mkdir", ("x",), {"a": 1})
    shapes = (
        None,
        True,
        7,
        2**40,
        -1.5,
        "t",
        b"b",
        (1,),
        (1, 2),
        (1, 2, 3),
        (1, 2, 3, 4),
        [],
        [1],
        {1: 2},
        {3},
        bytearray(b"x"),
    )
    for protocol in (4, 5):
        plain = [shape for shape in shapes if protocol == 5 or not isinstance(shape, bytearray)]
        assert read_pickle(io.BytesIO(pickle.dumps(plain, protocol)), refuse) == plain
    huge = b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"1."
    with pytest.raises(AssetError, match="broken"):
        read_pickle(io.BytesIO(huge), refuse)
