"""Photographs to aligned crops: found, cut, listed, cached; what can't be used is listed with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from mfs_lib.errors import InputError, NoFaceError
from mfs_lib.faces import folders
from mfs_lib.faces.alignment import TEMPLATE
from mfs_lib.faces.folders import FoundFace, PhotoSet, load_photo_set, mesh_disagreement, read_photo
from mfs_lib.faces.mesh import FIVE_FROM_MESH


def _finder(image: np.ndarray) -> FoundFace:
    """A face that fills the picture's middle half; none in pictures that begin with a black pixel."""
    if image[0, 0].sum() == 0:
        raise NoFaceError("no face was found")
    height, width = image.shape[:2]
    points = np.array([width / 4, height / 4]) + TEMPLATE * np.array([width / 2, height / 2])
    mesh = np.zeros((468, 3))
    mesh[:, :2], mesh[:, 2] = points.mean(axis=0), width / 10
    return FoundFace(points=points, mesh=mesh)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures of "ann" in a sub-folder, one at the top, one without a face, one cut off, one text file."""
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "faces"
    (root / "ann").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("ann/a.png", "ann/b.PNG", "solo.jpg"):
        pixels = random.integers(1, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    Image.new("RGB", (40, 40)).save(root / "nobody.png")
    (root / "cut.png").write_bytes((root / "ann/a.png").read_bytes()[:500])
    (root / "notes.txt").write_text("not a picture")
    return root


def test_a_folder_becomes_crops(folder: Path) -> None:
    photos = PhotoSet.from_folder(folder, 32, finder=_finder, progress=False)
    assert photos.names == ("ann/a.png", "ann/b.PNG", "solo.jpg")
    assert photos.people == ("ann", "ann", "solo")
    assert photos.crops.shape == (3, 32, 32, 3)
    assert photos.crops.dtype == np.uint8
    assert photos.size == 32
    assert np.allclose(photos.points, TEMPLATE * 32, atol=1e-4)
    # The face is 40 pixels wide in an 80-pixel picture: depth 8 becomes 8 * 32 / 40.
    assert np.allclose(photos.mesh[..., 2], 6.4, atol=1e-4)
    assert photos.inside.all()
    reasons = {one.name: one.reason for one in photos.rejected}
    assert set(reasons) == {"nobody.png", "cut.png"}
    assert "no face" in reasons["nobody.png"]
    assert "can't be read" in reasons["cut.png"]


def test_crops_show_the_picture(folder: Path) -> None:
    photos = PhotoSet.from_folder(folder, 40, finder=_finder, progress=False)
    # At 40 pixels the crop is the picture's middle half without any scaling.
    assert np.array_equal(photos.crops[0], read_photo(folder / "ann/a.png")[20:60, 20:60])


def test_what_lies_outside_the_picture_is_marked(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "white").save(tmp_path / "tight.png")

    def tight(image: np.ndarray) -> FoundFace:
        return FoundFace(points=TEMPLATE * 80 - 20, mesh=np.zeros((468, 3)))

    photos = PhotoSet.from_folder(tmp_path, 80, finder=tight, progress=False)
    inside = photos.inside[0]
    assert inside[20:60, 20:60].all()
    assert inside.sum() == 40 * 40


def test_a_selection_keeps_rows_together(folder: Path) -> None:
    photos = PhotoSet.from_folder(folder, 16, finder=_finder, progress=False)
    chosen = photos.select([2, 0])
    assert chosen.names == ("solo.jpg", "ann/a.png")
    assert np.array_equal(chosen.crops, photos.crops[[2, 0]])
    assert len(chosen) == len(chosen.inside) == len(chosen.mesh) == 2


@pytest.mark.parametrize("size", [0, -4])
def test_a_size_must_be_positive(folder: Path, size: int) -> None:
    with pytest.raises(InputError, match="pixel"):
        PhotoSet.from_folder(folder, size, finder=_finder, progress=False)


def test_folders_without_pictures_or_faces_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        PhotoSet.from_folder(tmp_path / "none", 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        PhotoSet.from_folder(tmp_path / "empty", 32)
    for name in ("ann/a.png", "ann/b.PNG", "solo.jpg"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="No usable face"):
        PhotoSet.from_folder(folder, 32, finder=_finder, progress=False)


def test_sets_without_faces_are_refused() -> None:
    with pytest.raises(InputError, match="no faces"):
        load_photo_set("backgrounds", "train", 32)


def test_pictures_are_turned_upright_and_coloured(tmp_path: Path) -> None:
    grey = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    grey.save(tmp_path / "turned.png", exif=exif)
    pixels = read_photo(tmp_path / "turned.png")
    assert pixels.shape == (4, 3, 3)
    assert pixels[0, -1, 0] == 0


def test_disagreement_is_in_eye_distances() -> None:
    points = TEMPLATE * 100
    mesh = np.zeros((468, 3))
    for row, those in enumerate(FIVE_FROM_MESH):
        mesh[list(those), :2] = points[row]
    assert mesh_disagreement(points, mesh) == pytest.approx(0)
    eyes = float(np.linalg.norm(points[0] - points[1]))
    assert mesh_disagreement(points + np.array([eyes, 0]), mesh) == pytest.approx(1)


def test_an_astronaut_is_found_and_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(data.astronaut()).save(tmp_path / "astronaut.png")
    first = PhotoSet.from_folder(tmp_path, 64, progress=False)
    assert first.names == ("astronaut.png",)
    assert np.abs(first.points[0] - TEMPLATE * 64).max() < 4
    inner = first.mesh[0, :, :2]
    assert inner.min() > 0
    assert inner.max() < 64

    def must_not_run() -> folders.FaceFinder:
        raise AssertionError("the landmarks were not taken from the cache")

    monkeypatch.setattr(folders, "default_finder", must_not_run)
    again = PhotoSet.from_folder(tmp_path, 64, progress=False)
    larger = PhotoSet.from_folder(tmp_path, 96, progress=False)
    assert np.array_equal(again.crops, first.crops)
    assert np.array_equal(again.mesh, first.mesh)
    assert np.allclose(larger.mesh * (64 / 96), first.mesh, atol=1e-3)


def test_a_damaged_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "kept"
    monkeypatch.setattr(folders, "cache_folder", lambda: cache)
    monkeypatch.setattr(folders, "default_finder", lambda: _finder)
    Image.fromarray(data.astronaut()).save(tmp_path / "astronaut.png")
    first = PhotoSet.from_folder(tmp_path, 64, progress=False)
    kept = list((cache / "photo_sets").iterdir())
    assert len(kept) == 2
    for file in kept:
        file.write_bytes(file.read_bytes()[:200])
    assert np.array_equal(PhotoSet.from_folder(tmp_path, 64, progress=False).crops, first.crops)
