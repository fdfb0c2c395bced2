"""An imperfect swapper for photographs: another person's face, warped by landmarks and toned, onto a photograph.

It is not meant to convince. Put on photograph A2 it makes the *target* of a reverse triplet, whose truth is the
untouched A2 (the idea behind ReliableSwap, Yuan et al. 2023, and DreamID, Ye et al. 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mfs_lib.faces.mesh import FACE_OVAL
from mfs_lib.faces.morphable.appearance import TONE_OFFSET

FloatArray = NDArray[np.float32]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceMap:
    """Which triangle of the mesh each pixel of a crop shows, and where in it."""

    triangle: NDArray[np.int64]  # (S, S), -1 outside the mesh
    weights: FloatArray  # (S, S, 3) barycentric
    mask: FloatArray  # (S, S) feathered inside of the face, 0 outside


def face_map(mesh: FloatArray, triangles: NDArray[np.int64], size: int) -> FaceMap:
    """Rasterise a mesh, far triangles first.

    Args:
        mesh: (468, 3) landmarks in crop pixels, smaller z nearer to the camera.
        triangles: (T, 3) indices.
        size: side S of the crop.
    """
    index = np.full((size, size), -1, np.int32)
    order = np.argsort(-mesh[triangles, 2].mean(1))
    corners = np.round(mesh[:, :2] * 16).astype(np.int32)
    for t in order:
        cv2.fillConvexPoly(index, corners[triangles[t]], int(t), shift=4)
    covered = index >= 0
    a, b, c = (mesh[triangles[index.clip(0)][..., k], :2] for k in range(3))
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32)
    p = np.stack([xx, yy], -1) - a
    u, v = b - a, c - a
    det = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    det = np.where(np.abs(det) < 1e-6, 1e-6, det)
    w1 = (p[..., 0] * v[..., 1] - p[..., 1] * v[..., 0]) / det
    w2 = (u[..., 0] * p[..., 1] - u[..., 1] * p[..., 0]) / det
    weights = np.stack([1 - w1 - w2, w1, w2], -1).clip(0, 1)  # slivers: pixels on their rim lie outside them
    weights = (weights / weights.sum(-1, keepdims=True)).astype(np.float32)
    inside = cv2.distanceTransform(np.pad(covered.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    mask = np.clip((inside - 0.5) / (0.05 * size), 0, 1)
    return FaceMap(index.astype(np.int64), weights, np.asarray(mask, np.float32))


def full_mask(where: FaceMap) -> Image:
    """(S, S) uint8, 255 inside the face: that of a `face_map`, its feather a quarter as wide."""
    return np.asarray(np.minimum(where.mask * 4, 1) * 255, np.uint8)


def warp_swap(
    target: Image,
    where: FaceMap,
    donor: Image,
    donor_mesh: FloatArray,
    triangles: NDArray[np.int64],
    *,
    locality: float,
) -> Image:
    """Put the donor's face onto the target.

    Args:
        target: (S, S, 3) RGB crop; `where` is its face map.
        donor: (S, S, 3) RGB crop with landmarks `donor_mesh` (468, 3).
        locality: 0 gives the donor's face the target's mean tone, 1 its local tone (light and shade) as well.

    Returns:
        (S, S, 3) crop, equal to the target outside the face.
    """
    size = len(target)
    points = donor_mesh[:, :2][triangles[where.triangle.clip(0)]]  # (S, S, 3, 2)
    source = cv2.GaussianBlur((points * where.weights[..., None]).sum(2).astype(np.float32), (0, 0), 0.6)
    face = cv2.remap(donor, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ours, theirs = face.astype(np.float32) / 255, target.astype(np.float32) / 255
    mask = where.mask[..., None]
    area = cv2.GaussianBlur(where.mask, (0, 0), 0.11 * size)[..., None] + 1e-4
    local = (cv2.GaussianBlur(theirs * mask, (0, 0), 0.11 * size) / area + TONE_OFFSET) / (
        cv2.GaussianBlur(ours * mask, (0, 0), 0.11 * size) / area + TONE_OFFSET
    )
    total = where.mask.sum() + 1e-4
    mean = ((theirs * mask).sum((0, 1)) / total + TONE_OFFSET) / ((ours * mask).sum((0, 1)) / total + TONE_OFFSET)
    gain = (1 - locality) * mean + locality * local
    toned = np.clip((ours + TONE_OFFSET) * gain - TONE_OFFSET, 0, 1)
    return np.asarray(np.round((toned * mask + theirs * (1 - mask)) * 255), np.uint8)


def mesh_yaw(mesh: FloatArray) -> float:
    """Rough turn of a head, -1..1: where the nose lies between the sides of the oval."""
    left, right = mesh[FACE_OVAL[27], 0], mesh[FACE_OVAL[9], 0]
    return float(2 * (mesh[1, 0] - left) / max(right - left, 1e-3) - 1)
