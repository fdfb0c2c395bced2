"""The imperfect swapper: it changes faces, nothing else, and a face onto itself hardly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mfs_lib.faces.folders import PhotoSet
from mfs_lib.faces.mesh import FACE_OVAL
from mfs_lib.training.warp_swap import face_map, mesh_yaw, warp_swap

Triangles = npt.NDArray[np.int64]


def test_pixels_know_where_in_the_mesh_they_lie(photos: PhotoSet, triangles: Triangles) -> None:
    mesh = photos.mesh[0]
    where = face_map(mesh, triangles, 64)
    covered = where.triangle >= 0
    assert 0.2 < covered.mean() < 0.6
    rebuilt = (mesh[triangles[where.triangle.clip(0)], :2] * where.weights[..., None]).sum(2)
    yy, xx = np.mgrid[0:64, 0:64]
    distance = np.hypot(rebuilt[..., 0] - xx, rebuilt[..., 1] - yy)[covered]
    assert np.median(distance) < 0.2 and distance.mean() < 0.4  # pixels on a triangle's rim may lie just outside
    assert (where.mask[~covered] == 0).all() and where.mask.max() == 1
    assert where.mask[tuple(np.round(mesh[1, 1::-1]).astype(int))] == 1  # the tip of the nose


def test_nearer_triangles_hide_farther_ones() -> None:
    mesh = np.array([[2, 2, 5], [60, 2, 5], [30, 60, 5], [2, 2, 1], [60, 2, 1], [30, 60, 1]], np.float32)
    order = np.array([[3, 4, 5], [0, 1, 2]])
    assert face_map(mesh, order, 64).triangle[20, 30] == 0
    assert face_map(mesh, order[::-1], 64).triangle[20, 30] == 1


@pytest.mark.parametrize("locality", [0.0, 1.0])
def test_only_the_face_changes(photos: PhotoSet, triangles: Triangles, locality: float) -> None:
    where = face_map(photos.mesh[0], triangles, 64)
    target = photos.crops[0]
    swapped = warp_swap(target, where, photos.crops[4], photos.mesh[4], triangles, locality=locality)
    assert swapped.shape == target.shape and swapped.dtype == np.uint8
    assert np.array_equal(swapped[where.mask == 0], target[where.mask == 0])
    change = np.abs(swapped.astype(int) - target.astype(int))[where.mask == 1].mean()
    assert change > 5
    weight = where.mask[..., None]
    tone = [(p * weight).sum((0, 1)) / weight.sum() for p in (target.astype(float), swapped.astype(float))]
    assert np.abs(tone[0] - tone[1]).max() < 8  # it took the target's tone


@pytest.mark.parametrize("locality", [0.0, 0.5, 1.0])
def test_a_face_onto_itself_stays(photos: PhotoSet, triangles: Triangles, locality: float) -> None:
    where = face_map(photos.mesh[2], triangles, 64)
    same = warp_swap(photos.crops[2], where, photos.crops[2], photos.mesh[2], triangles, locality=locality)
    change = np.abs(same.astype(int) - photos.crops[2].astype(int))[where.mask > 0]
    assert change.mean() < 3
    other = warp_swap(photos.crops[2], where, photos.crops[6], photos.mesh[6], triangles, locality=locality)
    assert np.abs(other.astype(int) - photos.crops[2].astype(int))[where.mask > 0].mean() > 4 * change.mean()


def test_yaw_of_a_mesh(photos: PhotoSet) -> None:
    mesh = photos.mesh[0].copy()
    mirrored = mesh * np.array([-1, 1, 1], np.float32)
    left, right = FACE_OVAL[27], FACE_OVAL[9]  # the ends of the oval change places in a mirror
    mirrored[[left, right]] = mirrored[[right, left]]
    assert mesh_yaw(mirrored) == pytest.approx(-mesh_yaw(mesh), abs=1e-5)
    mesh[1, 0] = mesh[right, 0]
    assert mesh_yaw(mesh) == pytest.approx(1)
