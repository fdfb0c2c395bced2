"""Teachers that learned nothing: the oracle hands out the truth, the warp moves a face onto a photograph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import InputError
from mfs_lib.faces.folders import PhotoSet
from mfs_lib.training.teachers.landmark_warp import LandmarkWarp
from mfs_lib.training.teachers.oracle import Oracle

Faces = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def faces(photos: PhotoSet) -> Faces:
    """Sources and targets (3,3,64,64) of different people, and the meshes of both."""
    crops = torch.from_numpy(photos.crops).permute(0, 3, 1, 2).float() / 255
    mesh = torch.from_numpy(photos.mesh).float()
    donors, targets = [4, 6, 0], [0, 2, 5]
    return crops[donors], crops[targets], mesh[donors], mesh[targets]


def test_the_oracle_hands_out_the_truth(faces: Faces) -> None:
    truth = faces[1].flip(0).requires_grad_(True)
    given = Oracle().swap(None, faces[1], truth=truth)
    assert torch.equal(given, truth) and not given.requires_grad
    with pytest.raises(InputError, match="have none"):
        Oracle().swap(faces[0], faces[1])
    with pytest.raises(InputError, match="shape"):
        Oracle().swap(None, faces[1], truth=truth[:1])
    with pytest.raises(InputError, match="square RGB"):
        Oracle().swap(None, faces[1][0], truth=truth)


def test_the_warp_changes_the_face_and_nothing_else(faces: Faces) -> None:
    source, target, theirs, ours = faces
    result = LandmarkWarp().swap(source, target, meshes=(theirs, ours))
    assert result.shape == target.shape and result.dtype == target.dtype
    assert float(result.min()) >= 0 and float(result.max()) <= 1
    change = (result - target).abs().mean(1)
    assert float(change[:, :4].max()) < 2e-3 and float(change[:, 28:44, 24:40].mean()) > 0.01
    again = LandmarkWarp().swap(source.flip(0), target, meshes=(theirs.flip(0), ours))
    assert float((again[0] - result[0]).abs().mean()) > 0.003  # another source, another face


def test_the_warp_finds_meshes_and_sizes_itself(faces: Faces) -> None:
    source, target, theirs, ours = faces
    given = LandmarkWarp().swap(source[:1], target[:1], meshes=(theirs[:1], ours[:1]))
    found = LandmarkWarp().swap(source[:1], target[:1])
    nothing = float((given - target[:1]).abs().mean())
    assert float((found - given).abs().mean()) < 0.7 * nothing
    larger = F.interpolate(source[:1], scale_factor=2.0, mode="bilinear")
    scaled = LandmarkWarp().swap(larger, target[:1], meshes=(2 * theirs[:1], ours[:1]))
    assert float((scaled - given).abs().mean()) < 0.2 * nothing


def test_what_the_warp_needs_must_be_there(faces: Faces) -> None:
    source, target, theirs, ours = faces
    with pytest.raises(InputError, match="source_face"):
        LandmarkWarp().swap(None, target, meshes=(theirs, ours))
    with pytest.raises(InputError, match="source picture for each"):
        LandmarkWarp().swap(source[:1], target)
    with pytest.raises(InputError, match="3 meshes"):
        LandmarkWarp().swap(source, target, meshes=(theirs[:1], ours))
    with pytest.raises(InputError, match="locality"):
        LandmarkWarp(locality=-1.0)
