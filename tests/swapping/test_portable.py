"""The light swapper: what it computes, what it refuses, and that it does so without PyTorch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from PIL import Image

from mfs_lib.deploy.baking import bake, load_frame
from mfs_lib.errors import AssetError, NoFaceError
from mfs_lib.swapping.frames import ArrayFrame
from mfs_lib.swapping.portable import PortablePerson, PortableSwapper, swap_face
from mfs_lib.swapping.source_process import prepare_apart
from tests.swapping.conftest import ASTRONAUT_POINTS
from tests.swapping.light import SIDE

Pixels = npt.NDArray[np.uint8]


def test_the_light_path_imports_no_torch() -> None:
    names = ("frames", "tracking", "paste", "portable", "video", "video_io", "video_mark", "provenance")
    lines = [f"import mfs_lib.swapping.{name}" for name in names]
    lines += ["import mfs_lib.faces.detection, mfs_lib.faces.alignment, mfs_lib.cli, sys"]
    lines += ["heavy = {'torch', 'scipy', 'matplotlib', 'skimage'} & set(sys.modules)", "assert not heavy, heavy"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("apart", [False, True])
def test_a_person_is_baked_into_constants(small_bundle: Path, astronaut: Pixels, tmp_path: Path, apart: bool) -> None:
    picture = tmp_path / "a.png"
    Image.fromarray(astronaut).save(picture)
    person = prepare_apart(small_bundle, picture) if apart else PortableSwapper.load(small_bundle).prepare(astronaut)
    assert person.crop_size == SIDE and person.notes == ()
    model = onnx.load_from_string(person.model)
    assert [value.name for value in model.graph.input] == ["target"]
    colour = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}["colour"].ravel()
    crop = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    scaled, raw, mask = person.swap_crop(crop)
    np.testing.assert_allclose(scaled, crop / 255, atol=1e-6)
    np.testing.assert_allclose(raw, (crop / 255 + colour) / 2, atol=1e-6)
    assert mask.shape == (SIDE, SIDE) and mask.max() == 1
    assert 0.3 < colour[0] < 0.9 and colour[0] > colour[2]  # skin


def test_a_face_is_swapped_in_place(small_bundle: Path, astronaut: Pixels) -> None:
    person = PortableSwapper.load(small_bundle).prepare(astronaut)
    image = (astronaut // 3).astype(np.uint8)
    before = image.copy()
    assert swap_face(ArrayFrame(image), person, ASTRONAUT_POINTS)
    change = np.abs(image.astype(int) - before).max(axis=2)
    rows, columns = np.nonzero(change)
    assert change.max() > 40
    assert columns.min() > 150 and columns.max() < 300 and rows.min() > 40 and rows.max() < 190
    untouched = image.copy()
    assert not swap_face(ArrayFrame(image), person, ASTRONAUT_POINTS + 4000)
    np.testing.assert_array_equal(image, untouched)


def test_incomplete_and_foreign_bundles_are_refused(small_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(small_bundle, folder)
    (folder / "frame.onnx").unlink()
    with pytest.raises(AssetError, match=r"frame\.onnx is missing"):
        PortableSwapper.load(folder)
    with pytest.raises(AssetError, match="colour must be"):
        bake(load_frame(small_bundle / "frame.onnx"), {"colour": np.zeros((1, 4, 1, 1), np.float32)})
    with pytest.raises(AssetError, match="no input 'target'"):
        load_frame(small_bundle / "source.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\xff\xff nothing")
    with pytest.raises(AssetError, match="no ONNX file"):
        load_frame(broken)
    with pytest.raises(AssetError, match="no graph that can be run"):
        PortablePerson.from_model(b"nothing")
    with pytest.raises(AssetError, match="maps 'target'"):
        PortablePerson.from_model((small_bundle / "source.onnx").read_bytes())


def test_a_source_without_a_face_is_refused(small_bundle: Path) -> None:
    with pytest.raises(NoFaceError, match="no face was found in the source"):
        PortableSwapper.load(small_bundle).prepare(np.full((64, 64, 3), 99, np.uint8))
