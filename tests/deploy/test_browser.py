"""The folder that the page downloads from."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from mfs_lib.deploy import browser
from mfs_lib.deploy.browser import DOWNLOAD_LIMIT, main, write_browser_files
from mfs_lib.deploy.sessions import open_session, runner
from mfs_lib.faces.alignment import TEMPLATE, arcface_view
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.shipped import load_student


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "models"
    write_browser_files(folder)
    return folder


@torch.no_grad()
def test_full_path_is_the_packages_swap(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    sface, student = load_sface(), load_student()
    crops = MorphableWorld.load().sample(2, torch.Generator().manual_seed(5), size=student.crop_size).image
    face, target = arcface_view(crops[:1]), crops[1:]
    wanted = student.network.specialise(sface(face))(target)
    source, frame = (runner(open_session(graph)) for graph in graphs)
    found = frame({"target": target.numpy(), **source({"face": face.numpy()})})
    assert np.abs(found["raw"] - wanted.raw.numpy()).max() < 1e-4
    assert np.abs(found["mask"] - wanted.mask.numpy()).max() < 1e-4
    assert np.abs(wanted.result.numpy() - target.numpy()).max() > 0.2


def test_full_path_fits_the_limit(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    sizes = [(folder / f"{name}.onnx.gz").stat().st_size for name in ("detector", "source", "frame")]
    assert sum(sizes) == manifest["full_path_bytes"] <= DOWNLOAD_LIMIT == 12_000_000


def test_manifest_tells_every_file_as_it_is(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    graphs = [*manifest["graphs"].values(), *(person["graph"] for person in manifest["people"])]
    for entry in graphs:
        content = gzip.decompress((folder / entry["file"]).read_bytes())
        assert entry["bytes"] == (folder / entry["file"]).stat().st_size
        assert entry["unpacked_bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    pictures = [one["portrait"] for one in manifest["people"]] + [one["picture"] for one in manifest["pictures"]]
    for entry in pictures:
        with Image.open(folder / entry["file"]) as image:
            assert image.size == (entry["side"], entry["side"])
    named = {entry["file"] for entry in (*graphs, *pictures)} | {"manifest.json"}
    assert {path.name for path in folder.iterdir()} == named
    np.testing.assert_allclose(manifest["template"], TEMPLATE)


def test_replaces_what_was_there(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "models"
    there.mkdir()
    (there / "old.onnx.gz").write_bytes(b"old")
    main([str(there)])
    assert "full path" in capsys.readouterr().out
    assert not (there / "old.onnx.gz").exists()
    assert (there / "source.onnx.gz").read_bytes() == (folder / "source.onnx.gz").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_too_large_a_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "DOWNLOAD_LIMIT", 1_000)
    with pytest.raises(RuntimeError, match="coarser"):
        write_browser_files(tmp_path / "models")
    assert list(tmp_path.iterdir()) == []
