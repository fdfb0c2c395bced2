"""Head pose from a face mesh: the angle error of a swap.

Backend ``mesh468-pnp``: the 468-point mesh of a crop, MediaPipe's canonical mesh, and a perspective-n-point fit with a
fixed focal length. Degrees, all three angles; a bias of the fit cancels because two pictures are compared.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.faces.mesh import crop_landmarks
from mfs_lib.networks.face_mesh import FaceMesh

STIFF_POINTS = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 98, 327, 10, 67, 297, 234, 454, 127, 356, 93, 323, 2)
"""Points that expressions hardly move."""

_FOCAL = 4.0
"""Focal length in crop sides: a portrait lens."""


def head_pose(landmarks: NDArray[np.float32], size: int, canonical: Tensor) -> NDArray[np.float64]:
    """Yaw, pitch, roll in degrees of a mesh in a crop.

    Args:
        landmarks: (468, 3) in crop pixels.
        size: side of the crop in pixels.
        canonical: (468, 3) canonical mesh, y up, z towards the camera.

    Raises:
        InputError: no pose fits.
    """
    model = canonical.cpu().numpy().astype(np.float64)[list(STIFF_POINTS)] * [1, -1, -1]
    image = landmarks[list(STIFF_POINTS), :2].astype(np.float64)
    camera = np.array([[_FOCAL * size, 0, size / 2], [0, _FOCAL * size, size / 2], [0, 0, 1]])
    found, rotation, _ = cv2.solvePnP(model, image, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found:
        raise InputError("No head pose fits these landmarks: is there a face in the crop?")
    m, _ = cv2.Rodrigues(rotation)
    yaw = np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0]))
    return np.degrees([yaw, np.arctan2(m[2, 1], m[2, 2]), np.arctan2(m[1, 0], m[0, 0])])


def pose_errors(result: Tensor, target: Tensor, mesh: FaceMesh) -> NDArray[np.float64]:
    """Absolute differences (N, 3) of yaw, pitch and roll between two stacks of crops (N, 3, S, S) in [0, 1]."""
    size = result.shape[-1]
    differences = []
    for one, other in zip(_as_images(result), _as_images(target), strict=True):
        poses = [head_pose(crop_landmarks(crop, mesh), size, mesh.get_buffer("canonical")) for crop in (one, other)]
        differences.append(np.abs(poses[0] - poses[1]))
    return np.stack(differences)


def _as_images(crops: Tensor) -> NDArray[np.uint8]:
    images = (crops.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(images)
