"""Reference vectors hold what they say: each step, repeated from the files before it, gives the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfs_lib.deploy.sessions import open_session, runner
from mfs_lib.errors import AssetError, OutputError
from mfs_lib.faces.alignment import align
from mfs_lib.swapping.bundle import make_bundle
from mfs_lib.swapping.paste import paste
from mfs_lib.swapping.provenance import read_provenance
from mfs_lib.swapping.reference import write_reference


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def folder(bundle: Path) -> Path:
    return write_reference(bundle.with_name("reference"), bundle)


@pytest.fixture(scope="module")
def index(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "index.json").read_text("utf-8"))
    return found


def _tensor(folder: Path, index: dict[str, Any], name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    shape = next(entry["shape"] for entry in index["files"] if entry["file"] == f"{name}.f32")
    return np.fromfile(folder / f"{name}.f32", dtype="<f4").reshape(shape)


def _picture(folder: Path, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))


def test_the_index_lists_every_file(folder: Path, index: dict[str, Any]) -> None:
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {entry["file"] for entry in index["files"]} == there - {"index.json"}
    assert sum(name.startswith("weights/") for name in there) == 18


def test_source_and_frame_give_what_is_written(bundle: Path, folder: Path, index: dict[str, Any]) -> None:
    weights = runner(open_session(bundle / "source.onnx"))({"face": _tensor(folder, index, "face")})
    for name, value in weights.items():
        np.testing.assert_allclose(_tensor(folder, index, f"weights/{name}"), value, atol=1e-3)
    target = _tensor(folder, index, "target")
    found = runner(open_session(bundle / "frame.onnx"))({"target": target, **weights})
    for name in ("raw", "mask"):
        np.testing.assert_allclose(_tensor(folder, index, name), found[name], atol=1e-3)
    assert np.abs(found["raw"] - target)[:, :, 40:100, 40:90].mean() > 0.02


def test_cutting_out_and_putting_back(folder: Path, index: dict[str, Any]) -> None:
    picture, facts = _picture(folder, "picture"), index["picture"]
    crop = align(picture, facts["matrix"], facts["crop"])
    target = _tensor(folder, index, "target")[0].transpose(1, 2, 0)
    np.testing.assert_allclose(crop / np.float32(255), target, atol=1e-6)
    raw, mask = _tensor(folder, index, "raw")[0].transpose(1, 2, 0), _tensor(folder, index, "mask")[0, 0]
    canvas = picture.copy()
    paste(canvas, np.ascontiguousarray(raw), mask, facts["matrix"], crop=np.ascontiguousarray(target))
    swapped = _picture(folder, "swapped")
    assert np.abs(canvas.astype(int) - swapped).max() <= 2
    assert np.abs(swapped.astype(int) - picture).max() > 30
    assert read_provenance(folder / "swapped.png").synthetic


def test_refusals(bundle: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there already"):
        write_reference(folder, bundle)
    with pytest.raises(AssetError, match="no bundle"):
        write_reference(tmp_path / "new", tmp_path)
    assert not (tmp_path / "new").exists()
