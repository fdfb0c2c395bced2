"""Weights on disk: atomic safetensors, and foreign pickles that can't run anything."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from mfs_lib.errors import AssetError, OutputError
from mfs_lib.weights.safe_io import load_foreign_pickle, load_weights, save_weights, write_atomically


class _Malicious:
    """Unpickling this makes a file: the mark by which the test sees that code ran."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_round_trip_keeps_values_types_and_metadata(tmp_path: Path) -> None:
    state = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.randn(2).half(), "view": torch.eye(4)[1:].T}
    save_weights(tmp_path / "new" / "w.safetensors", state, {"licence": "MIT"})
    loaded, metadata = load_weights(tmp_path / "new" / "w.safetensors")
    assert metadata == {"licence": "MIT"}
    assert loaded.keys() == state.keys()
    for name, value in state.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OutputError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_saving_below_a_file_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Choose a folder"):
        save_weights(tmp_path / "file" / "w.safetensors", {"a": torch.zeros(1)}, {})


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_broken_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(AssetError, match="not a readable safetensors"):
        load_weights(path)


def test_truncated_and_missing_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.randn(100)}, {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(AssetError):
        load_weights(path)
    with pytest.raises(AssetError):
        load_weights(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("writer", ["torch", "torch-legacy", "pickle"])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path: Path, writer: str) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "ran"
    payload = {"weight": torch.zeros(2), "evil": _Malicious(mark)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(AssetError, match="refused") as caught:
        load_foreign_pickle(path)
    assert not mark.exists()
    assert "weights_only" not in str(caught.value)  # torch's advice to read it unsafely
    # The same file does run its code in an unrestricted reader, so the test above is one that could fail.
    torch.load(path, weights_only=False) if writer != "pickle" else pickle.loads(path.read_bytes())  # noqa: S301
    assert mark.exists()


def test_foreign_state_of_tensors_is_read(tmp_path: Path) -> None:
    state = {"a.weight": torch.randn(2, 3), "b": torch.arange(3)}
    torch.save(state, tmp_path / "w.pth")
    loaded = load_foreign_pickle(tmp_path / "w.pth")
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


@pytest.mark.parametrize("value", [[1, 2], {"a": 3}, {"nested": {"a": torch.zeros(1)}}])
def test_other_content_is_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(AssetError, match="something else"):
        load_foreign_pickle(tmp_path / "w.pth")
    (tmp_path / "junk.pth").write_bytes(b"\x80\x02junk")
    with pytest.raises(AssetError):
        load_foreign_pickle(tmp_path / "junk.pth")
