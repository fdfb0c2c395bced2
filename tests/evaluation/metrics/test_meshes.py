"""Meshes of crops are those of `evaluation.pose`, for bytes and for [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.meshes import check_meshes, crop_meshes, in_unit
from mfs_lib.faces.mesh import crop_landmarks
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.weights.models import default_mesh


def test_bytes_and_floats_give_the_same_mesh() -> None:
    image = MorphableWorld.load().sample(2, torch.Generator().manual_seed(1), size=96).image
    pixels = (image * 255).round().byte()
    meshes = crop_meshes(pixels, default_mesh())
    assert meshes.shape == (2, 468, 3)
    np.testing.assert_array_equal(meshes, crop_meshes(image, default_mesh()))
    alone = crop_landmarks(np.ascontiguousarray(pixels[1].permute(1, 2, 0).numpy()), default_mesh())
    np.testing.assert_array_equal(meshes[1], alone)
    torch.testing.assert_close(in_unit(pixels), image, atol=0.5 / 255 + 1e-6, rtol=0)


def test_unequal_stacks_are_refused() -> None:
    with pytest.raises(InputError, match="468"):
        check_meshes(np.zeros((2, 468, 3)), np.zeros((1, 468, 3)))
    with pytest.raises(InputError, match="468"):
        check_meshes(np.zeros((0, 468, 3)), np.zeros((0, 468, 3)))
