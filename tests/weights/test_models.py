"""Loading: the converted weights are cached, damage is repaired, and a user's own packs are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.weights.convert.cached import converted_state
from mfs_lib.weights.convert.face_geometry import convert_face_geometry
from mfs_lib.weights.insightface_packs import OnnxRecogniser, find_packs
from mfs_lib.weights.models import load_judge
from mfs_lib.weights.registry import fetch


def _never(path: Path) -> dict[str, torch.Tensor]:
    raise AssertionError(f"{path} was converted although the result is in the cache")


def test_a_second_load_reads_the_cache_and_damage_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fetch("face-geometry")
    monkeypatch.setenv("MFS_CACHE", str(tmp_path))
    copy = tmp_path / "files" / source.parent.name / source.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(source.read_bytes())
    first = converted_state("face-geometry", convert_face_geometry, offline=True)
    second = converted_state("face-geometry", _never, offline=True)
    assert all(torch.equal(first[name], second[name]) for name in first)
    (cached,) = (tmp_path / "converted").iterdir()
    cached.write_bytes(b"damaged")
    third = converted_state("face-geometry", convert_face_geometry, offline=True)
    assert torch.equal(third["triangles"], first["triangles"])
    assert cached.stat().st_size > 1000


def _pack(folder: Path, *, batch: int | str) -> Path:
    """A toy recogniser: the mean of each channel, times four, as a 12-dimensional identity."""
    folder.mkdir(parents=True)
    x = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [batch, 3, 112, 112])
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input.1"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Concat", ["flat"] * 4, ["out"], axis=1),
    ]
    graph = helper.make_graph(nodes, "toy", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "w600k_toy.onnx"
    onnx.save(model, str(path))
    (folder / "det_10g.onnx").write_bytes(b"unread")
    return path


@pytest.mark.parametrize("batch", [1, "None"])
def test_the_users_own_packs_can_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int | str) -> None:
    _pack(tmp_path / "buffalo_x", batch=batch)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("MFS_INSIGHTFACE", str(tmp_path))
    (pack,) = find_packs()
    assert pack.name == "buffalo_x"
    assert pack.detector is not None and pack.detector.name == "det_10g.onnx"
    judge = load_judge("insightface:buffalo_x")
    x = torch.rand(2, 3, 112, 112)
    expected = ((x.mean(dim=(2, 3)) * 255 - 127.5) / 127.5).repeat(1, 4)
    expected = expected / expected.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(judge(x).numpy(), expected.numpy(), atol=1e-4)
    with pytest.raises(InputError, match="112"):
        judge(torch.zeros(1, 3, 64, 64))
    with pytest.raises(AssetError, match="can't be read"):
        OnnxRecogniser(path=pack.detector)
    with pytest.raises(AssetError, match="no recogniser"):
        OnnxRecogniser(path=fetch("yunet"))


def test_without_packs_the_known_judges_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFS_INSIGHTFACE", str(tmp_path / "missing"))
    assert find_packs() == ()
    with pytest.raises(ConfigError, match="Known here: mobilefacenet"):
        load_judge("insightface:buffalo_l")
