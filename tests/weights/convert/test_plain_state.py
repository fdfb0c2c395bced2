"""Foreign state dicts: what is put right, what is refused, and that nothing in a file can run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.weights.convert.plain_state import read_plain_state

KEYS = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()


@pytest.fixture
def state() -> dict[str, Tensor]:
    """Random values in every entry, running statistics included."""
    torch.manual_seed(0)
    state = _network().state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    state["1.num_batches_tracked"].fill_(7)
    return state


def _read(path: Path, content: object, *, legacy: bool = False, **options: object) -> dict[str, Tensor]:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with torch.device("meta"):
        network = _network()
    return read_plain_state(path, network, name="the toy", **options)  # type: ignore[arg-type]


def _assert_equal(read: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    assert list(read) == KEYS
    for key, value in read.items():
        assert value.dtype == state[key].dtype
        assert value.device.type == "cpu"
        assert not value.requires_grad
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_forms_and_prefixes(tmp_path: Path, state: dict[str, Tensor], legacy: bool, prefix: str) -> None:
    foreign = OrderedDict((prefix + key, value) for key, value in reversed(state.items()))
    read = _read(tmp_path / "s.pth", foreign, legacy=legacy)
    _assert_equal(read, state)
    network = _network()
    network.load_state_dict(read)
    image = torch.randn(1, 3, 8, 8)
    weight, bias, gamma, beta, mean, variance = (state[key][None, :, None, None] for key in KEYS[:-1])
    plain = nn.functional.conv2d(image, weight.squeeze((0, 2, 3)), bias.flatten())
    expected = (plain - mean) / (variance + 1e-5).sqrt() * gamma + beta
    torch.testing.assert_close(network(image), expected)


def test_names_are_translated_after_the_prefix(tmp_path: Path, state: dict[str, Tensor]) -> None:
    table = {"conv": "0", "norm": "1"}
    reverse = {new: old for old, new in table.items()}
    foreign = {f"module.{reverse[key[0]]}{key[1:]}": value for key, value in state.items()}

    def rename(key: str) -> str:
        head, _, rest = key.partition(".")
        return f"{table[head]}.{rest}"

    _assert_equal(_read(tmp_path / "s.pth", foreign, rename=rename), state)
    with pytest.raises(AssetError, match="same place"):
        _read(tmp_path / "s.pth", foreign, rename=lambda _: "0.weight")


def test_a_missing_counter_is_added(tmp_path: Path, state: dict[str, Tensor]) -> None:
    del state["1.num_batches_tracked"]
    read = _read(tmp_path / "s.pth", state)
    assert list(read) == KEYS
    assert read["1.num_batches_tracked"].dtype == torch.int64
    assert read["1.num_batches_tracked"].item() == 0
    assert read["1.num_batches_tracked"].device.type == "cpu"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_become_ours(tmp_path: Path, state: dict[str, Tensor], dtype: torch.dtype) -> None:
    foreign = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    read = _read(tmp_path / "s.pth", foreign)
    assert read["0.weight"].dtype == torch.float32
    torch.testing.assert_close(read["0.weight"], state["0.weight"], atol=1e-3, rtol=0)


def test_parameters_and_views_are_read(tmp_path: Path, state: dict[str, Tensor]) -> None:
    foreign: dict[str, Tensor] = dict(state)
    foreign["0.bias"] = nn.Parameter(state["0.bias"].clone())
    foreign["0.weight"] = state["0.weight"].transpose(2, 3).contiguous().transpose(2, 3)
    assert not foreign["0.weight"].is_contiguous()
    read = _read(tmp_path / "s.pth", foreign)
    _assert_equal(read, state)
    assert read["0.weight"].is_contiguous()


def test_the_first_wrong_entry_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "s.pth"

    def refused(change: dict[str, Tensor | None], message: str) -> None:
        foreign = {key: value for key, value in {**state, **change}.items() if value is not None}
        with pytest.raises(AssetError, match=message) as caught:
            _read(path, foreign)
        assert "the toy" in str(caught.value)
        assert "Give the original file" in str(caught.value)

    refused({"0.weight": None, "1.bias": None}, "missing: 0.weight")
    refused({"1.running_var": None}, "missing: 1.running_var")
    refused({"2.weight": torch.zeros(1)}, "left over: 2.weight")
    refused(
        {"0.weight": torch.zeros(4, 3, 1, 1)}, r"of another shape: 0.weight \(4, 3, 1, 1\) instead of \(4, 3, 3, 3\)"
    )
    refused({"0.weight": torch.zeros(3, 4, 3, 3)}, r"of another shape: 0.weight \(3, 4, 3, 3\)")  # as many values
    refused({"0.bias": torch.zeros(4, dtype=torch.int64)}, r"of another type: 0.bias torch.int64")
    refused({"1.num_batches_tracked": torch.tensor(0.5)}, "of another type: 1.num_batches_tracked")


def test_entries_without_use_are_dropped_if_they_are_as_told(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path, unused = tmp_path / "s.pth", {"fc.weight": (2, 4), "fc.bias": (2,)}
    whole = {**state, "fc.weight": torch.zeros(2, 4), "fc.bias": torch.zeros(2)}
    _assert_equal(_read(path, whole, unused=unused), state)
    with pytest.raises(AssetError, match=r"the toy \(missing or of another shape: fc.weight\).*Give the original file"):
        _read(path, {**whole, "fc.weight": torch.zeros(4, 2)}, unused=unused)
    with pytest.raises(AssetError, match=r"another shape: fc.weight, fc.bias"):
        _read(path, state, unused=unused)
    with pytest.raises(AssetError, match=r"left over: more"):
        _read(path, {**whole, "more": torch.zeros(1)}, unused=unused)


def test_a_prefix_on_some_names_only_is_wrong(tmp_path: Path, state: dict[str, Tensor]) -> None:
    foreign = {f"module.{key}" if key.startswith("1") else key: value for key, value in state.items()}
    with pytest.raises(AssetError, match=r"missing: 1\.weight"):
        _read(tmp_path / "s.pth", foreign)
    foreign = {f"module.{key}": value for key, value in state.items()}
    with pytest.raises(AssetError, match=r"missing: 0\.weight"):
        _read(tmp_path / "s.pth", foreign, strip_prefix="")


def test_other_contents_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    for content in ({"state_dict": state, "epoch": 3}, [state["0.weight"]], {1: state["0.weight"]}):
        with pytest.raises(AssetError, match="something else than named tensors"):
            _read(tmp_path / "s.pth", content)
    with pytest.raises(AssetError, match=r"missing: 0\.weight"):
        _read(tmp_path / "s.pth", {})
    path = tmp_path / "missing.pth"
    with pytest.raises(AssetError, match=r"missing\.pth"):
        read_plain_state(path, _network(), name="the toy")


class _Malicious:
    """Unpickling this makes a folder: the mark by which the test sees that code ran."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_nothing_in_a_file_runs(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path, mark = tmp_path / "evil.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({**state, "0.weight": _Malicious(mark)}, protocol=2))
    with pytest.raises(AssetError, match="refused"):
        read_plain_state(path, _network(), name="the toy")
    assert not mark.exists()
