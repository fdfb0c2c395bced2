"""468 landmarks with depth of a detected face, in the image's own pixels (MediaPipe face mesh)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import TEMPLATE, FloatArray, Image, align, invert, scale_of, transform_points
from mfs_lib.faces.detection import Face
from mfs_lib.networks.face_mesh import INPUT_SIZE, POINTS, FaceMesh

ENLARGE = 1.5
"""Side of the network's region in units of the face's longer side (MediaPipe's value)."""

EYE_CORNERS = (33, 263)
"""Outer corners of the two eyes, the one further left in the image of an upright face first."""

FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The 36 points along the outline of the face, clockwise from the top."""

FIVE_FROM_MESH: tuple[tuple[int, ...], ...] = ((33, 133), (362, 263), (1,), (61,), (291,))
"""Points whose means stand for the five of alignment, image-left first."""


def five_points(mesh: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The five alignment points (5, 2) of a mesh (468, 2 or more)."""
    return np.stack([mesh[list(index), :2].mean(axis=0) for index in FIVE_FROM_MESH])


def mesh_landmarks(image: Image, face: Face, *, mesh: FaceMesh | None = None, passes: int = 2) -> FloatArray:
    """Landmarks of one face.

    Args:
        image: (H, W, 3) RGB uint8.
        face: where the face is, from the detector.
        mesh: the network; the default one is loaded (once) when None.
        passes: after the first pass the region is set anew from the landmarks themselves, as MediaPipe does from one
            video frame to the next; the second pass is more exact, more change little.

    Returns:
        (468, 3): x, y in image pixels (centres at integers), z in the same scale, smaller is nearer to the camera, 0 at
        the head's centre of mass.

    Raises:
        InputError: `passes` is not positive, or the face's points are not usable.
    """
    if passes < 1:
        raise InputError("At least one pass is needed.")
    network = _default_mesh() if mesh is None else mesh
    corners = np.array([face.box[[0, 1]], face.box[[2, 1]], face.box[[2, 3]], face.box[[0, 3]]])
    matrix = _region(corners, face.points[0], face.points[1])
    landmarks = _run(network, image, matrix)
    for _ in range(passes - 1):
        flat = landmarks[:, :2]
        matrix = _region(flat, flat[EYE_CORNERS[0]], flat[EYE_CORNERS[1]], tight=True)
        landmarks = _run(network, image, matrix)
    return landmarks


def crop_landmarks(crop: Image, mesh: FaceMesh) -> npt.NDArray[np.float32]:
    """Mesh (468, 3) of an aligned crop (S, S, 3); the face is where alignment put it, so nothing needs detecting."""
    size = crop.shape[0]
    points = (np.asarray(TEMPLATE) * size).astype(np.float32)
    box = np.array([0.18, 0.12, 0.82, 0.96], np.float32) * size
    return np.asarray(mesh_landmarks(crop, Face(box=box, score=1.0, points=points), mesh=mesh), np.float32)


def _region(points: FloatArray, eye: FloatArray, other_eye: FloatArray, *, tight: bool = False) -> FloatArray:
    """Matrix (2, 3) from the image to the network's input: a square around `points`, turned so that the eyes are level.

    With `tight` the extent is measured along the turned axes, otherwise along the image's (the detector's box).
    """
    x, y = other_eye - eye
    length = float(np.hypot(x, y))
    if length < 1e-6 or not np.isfinite(points).all():
        raise InputError("The two eyes of the face coincide; run the face detector again.")
    turn = np.array([[x, y], [-y, x]]) / length
    turned = points @ turn.T if tight else points
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = turn.T @ ((low + high) / 2) if tight else (low + high) / 2
    side = float((high - low).max()) * ENLARGE
    linear = turn * (INPUT_SIZE / max(side, 1e-6))
    # The centre of the region is the centre of the 192 pixels, whose first pixel's centre is 0.
    return np.column_stack([linear, (INPUT_SIZE - 1) / 2 - linear @ centre])


def _run(network: FaceMesh, image: Image, matrix: FloatArray) -> FloatArray:
    crop = align(image, matrix, INPUT_SIZE)
    device = network.canonical.device
    batch = torch.from_numpy(crop).to(device).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        raw: npt.NDArray[np.float64] = network(batch).landmarks[0].cpu().numpy().astype(np.float64)
    # The network measures from the edge of its input; our pixel centres are at integers.
    flat = transform_points(invert(matrix), raw[:, :2] - 0.5)
    return np.column_stack([flat, raw[:, 2] / scale_of(matrix)]).reshape(POINTS, 3)


def _default_mesh() -> FaceMesh:
    # Imported here because the weights know the faces, not the other way round, unless a default is asked for.
    from mfs_lib.weights.models import default_mesh

    return default_mesh()
