"""Parts by name: which networks, which template and which detector a `Swapper` gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mfs_lib.errors import AssetError
from mfs_lib.faces.detection import FaceDetector
from mfs_lib.faces.scrfd import ScrfdDetector
from mfs_lib.networks.sface import SFace
from mfs_lib.swapping.parts import load_networks, load_recipe_detector
from mfs_lib.swapping.recipe import OUR_TEMPLATE
from mfs_lib.weights import registry


def write_blind_scrfd(path: Path) -> Path:
    """A file of SCRFD's form that sees no face."""
    rows = {f"o{k}{s}": (2 * (640 // s) ** 2, k) for k in (1, 4, 10) for s in (8, 16, 32)}
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"{name}_value"], [name]) for name in rows],
        "scrfd",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, None, None])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in rows.items()],
        [numpy_helper.from_array(np.zeros(shape, np.float32), f"{name}_value") for name, shape in rows.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_shipped_student_comes_with_our_template() -> None:
    networks = load_networks("default")
    assert (networks.name, networks.crop_size) == ("default", 128)
    assert networks.template is OUR_TEMPLATE
    assert isinstance(networks.identity, SFace)


def test_unknown_weights() -> None:
    with pytest.raises(AssetError, match="best"):
        load_networks("best")


def test_our_detector_is_yunet() -> None:
    detector, notes = load_recipe_detector("ours")
    assert isinstance(detector, FaceDetector)
    assert notes == ()


def test_release_detector_is_scrfd_when_its_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = write_blind_scrfd(tmp_path / "scrfd.onnx"), []

    def fetch(name: str, *, offline: bool = False) -> Path:
        asked.append((name, offline))
        return model

    monkeypatch.setattr(registry, "fetch", fetch)
    detector, notes = load_recipe_detector("release")
    assert isinstance(detector, ScrfdDetector)
    assert detector.size == 640
    assert notes == ()
    assert asked == [("scrfd-10g", True)]  # never from the network
    assert detector.detect(np.zeros((30, 40, 3), np.uint8)) == []


def test_without_scrfd_yunet_stands_in_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry.fetch

    def fetch(name: str, *, offline: bool = False) -> Path:
        if name == "scrfd-10g":
            raise AssetError("not here")
        return real(name, offline=offline)

    monkeypatch.setattr(registry, "fetch", fetch)
    detector, notes = load_recipe_detector("release")
    assert isinstance(detector, FaceDetector)
    assert len(notes) == 1
    assert "SCRFD" in notes[0]


def test_a_damaged_scrfd_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scrfd.onnx").write_bytes(b"no")
    monkeypatch.setattr(registry, "fetch", lambda name, *, offline=False: tmp_path / "scrfd.onnx")
    with pytest.raises(AssetError, match="ONNX"):
        load_recipe_detector("release")
