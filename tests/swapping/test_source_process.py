"""The source graph in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfs_lib.errors import AssetError, NoFaceError
from mfs_lib.swapping.source_process import prepare_apart, source_weights, weights_apart


def test_both_ways_give_the_same(small_bundle: Path) -> None:
    face = np.random.default_rng(1).random((1, 3, 112, 112), dtype=np.float32)
    here, there = (run(small_bundle / "source.onnx", face) for run in (source_weights, weights_apart))
    assert here.keys() == there.keys() == {"colour"}
    np.testing.assert_array_equal(here["colour"], there["colour"])
    np.testing.assert_allclose(here["colour"].ravel(), face.mean(axis=(0, 2, 3)), atol=1e-5)


def test_failures_are_told(small_bundle: Path, tmp_path: Path) -> None:
    face = np.zeros((1, 3, 64, 64), np.float32)
    with pytest.raises(AssetError, match="not a face"):
        source_weights(small_bundle / "source.onnx", face)
    with pytest.raises(AssetError, match="no graph that can be run"):
        weights_apart(tmp_path / "missing.onnx", face)
    with pytest.raises(AssetError, match="is no bundle"):
        prepare_apart(tmp_path, tmp_path / "a.png")
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(tmp_path / "wall.png")
    with pytest.raises(NoFaceError, match="no face was found in the source"):
        prepare_apart(small_bundle, tmp_path / "wall.png")
