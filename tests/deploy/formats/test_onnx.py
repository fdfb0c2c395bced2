"""ONNX files: checked, self-contained, marked, and the same function in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import Tensor

from mfs_lib.deploy.formats import format_named, frame_of
from mfs_lib.deploy.frame import LAYOUTS, Layout
from mfs_lib.deploy.onnx import OPSET
from mfs_lib.deploy.parity import ParityReport
from mfs_lib.errors import AssetError, InputError
from mfs_lib.networks.mobilefaceswap import StaticSwapper

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_function(assert_parity: Assert, layout: Layout) -> None:
    path, report = assert_parity("onnx", layout)
    assert report.layout == layout and report.faces == 6
    assert report.change.mean > 0.005
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [OPSET]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_the_file_says_that_its_pictures_are_synthetic(assert_parity: Assert) -> None:
    path, _ = assert_parity("onnx", "folded")
    notes = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert "synthetic" in notes["note"] and notes["layout"] == "folded" and notes["weights"] == "default"


def test_the_result_can_be_an_output(static: StaticSwapper, faces: Tensor, tmp_path: Path) -> None:
    form, path = format_named("onnx"), tmp_path / "person.onnx"
    form.export(frame_of(static, size=128, outputs=("result", "mask")), path)
    target = faces[:1].numpy()
    outputs = form.load(path, 1)(target)
    assert list(outputs) == ["result", "mask"]
    np.testing.assert_allclose(outputs["result"], static(faces[:1]).result.detach().numpy(), atol=1e-5)
    assert np.abs(outputs["result"] - target).mean() > 0.005


def test_another_size_than_the_trained_one(static: StaticSwapper, tmp_path: Path) -> None:
    form, path = format_named("onnx"), tmp_path / "person.onnx"
    form.export(frame_of(static, size=64), path)
    outputs = form.load(path, 1)(np.full((1, 3, 64, 64), 0.5, np.float32))
    assert outputs["raw"].shape == (1, 3, 64, 64) and outputs["mask"].shape == (1, 1, 64, 64)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "person.onnx"
    path.write_bytes(b"nonsense")
    with pytest.raises(AssetError, match=r"person\.onnx is no graph that can be run"):
        format_named("onnx").load(path, 1)


def test_a_target_of_another_shape_is_refused(static: StaticSwapper, tmp_path: Path) -> None:
    form, path = format_named("onnx"), tmp_path / "person.onnx"
    form.export(frame_of(static, size=64), path)
    with pytest.raises(InputError, match="a target is"):
        form.load(path, 1)(np.zeros((64, 64, 3), np.float32))
