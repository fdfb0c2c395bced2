"""From photographs with mesh landmarks to shape-normalised textures and displacement fields in the mean frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from mfs_lib.faces.alignment import fit_similarity
from mfs_lib.faces.mesh import FACE_OVAL, five_points
from mfs_lib.faces.morphable.frame import GRID, grid_points, template_in_frame

Array = NDArray[np.float32]

RIGID = (33, 133, 362, 263, 168, 6, 197, 10, 67, 297, 234, 454)
"""Mesh points that an expression hardly moves."""

RINGS = ((1.22, 0.75, 0.55), (1.5, 0.4, 1.15), (2.0, 0.0, 1.6))
"""Rings around the face oval: radius factor, share of the oval's displacement, fall of depth in oval half-widths / 2."""


@dataclass(frozen=True)
class Registered:
    """One photograph in the mean frame."""

    field: Array  # (3, G, G) displacement of the control grid, frame units, z towards the camera
    texture: Array  # (W, W, 3) RGB in [0, 1], shape-normalised
    alpha: Array  # (W, W) coverage of the person against the studio wall


def apply(matrix: NDArray[np.floating], points: Array) -> Array:
    """A similarity on (N, 2) or, scaling depth along, (N, 3) points."""
    xy = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    if points.shape[1] == 2:
        return np.asarray(xy, np.float32)
    z = points[:, 2:] * np.hypot(*matrix[:, 0])
    return np.asarray(np.c_[xy, z], np.float32)


def mean_mesh(neutral: list[Array], smiling: list[Array], rounds: int = 4) -> tuple[Array, list[Array], list[Array]]:
    """Generalised Procrustes of all meshes; each smile is placed by its rigid points on its own neutral face.

    Returns:
        The mean (468, 3) in frame coordinates and the aligned neutral and smiling meshes.
    """
    reference = neutral[0]
    for _ in range(rounds):
        placed = [apply(fit_similarity(m[:, :2], reference[:, :2]), m) for m in neutral]
        reference = np.asarray(np.mean(placed, 0), np.float32)
    to_frame = fit_similarity(five_points(reference), np.asarray(template_in_frame(), np.float32))
    placed = [apply(to_frame, m) for m in placed]
    rigid = list(RIGID)
    smiles = [apply(fit_similarity(s[rigid, :2], n[rigid, :2]), s) for s, n in zip(smiling, placed, strict=True)]
    smiles = [s - [0, 0, s[rigid, 2].mean() - n[rigid, 2].mean()] for s, n in zip(smiles, placed, strict=True)]
    mean = np.mean([*placed, *smiles], 0)
    return mean.astype(np.float32), placed, [s.astype(np.float32) for s in smiles]


def _rings(mesh: Array, mean: Array) -> tuple[Array, Array]:
    """Anchor points around the face: positions in the mean frame (N, 2) and displacements (N, 3)."""
    oval = list(FACE_OVAL)
    centre = mean[oval, :2].mean(0)
    anchors, moves = [], []
    for radius, share, _ in RINGS:
        anchors.append(centre + (mean[oval, :2] - centre) * radius)
        moves.append((mesh[oval] - mean[oval]) * share)
    border = np.concatenate([[(t, 0), (t, 1), (0, t), (1, t)] for t in np.linspace(0, 1, 9)])
    anchors.append(border)
    moves.append(np.zeros((len(border), 3)))
    return np.concatenate(anchors).astype(np.float32), np.concatenate(moves).astype(np.float32)


def displacement_field(mesh: Array, mean: Array) -> Array:
    """Smooth (3, G, G) field that carries the mean mesh onto a mesh and dies out towards the frame's border."""
    anchors, moves = _rings(mesh, mean)
    points, index = np.unique(np.concatenate([mean[:, :2], anchors]).round(4), axis=0, return_index=True)
    values = np.concatenate([mesh - mean, moves])[index]
    rbf = RBFInterpolator(points, values, kernel="thin_plate_spline", smoothing=2e-5)
    field = rbf(grid_points().reshape(-1, 2)).reshape(GRID, GRID, 3)
    return np.asarray(np.moveaxis(field, 2, 0), np.float32)


def mean_depth(mean: Array) -> Array:
    """Height (G, G) of the mean head towards the camera: the mesh inside, falling away like a head outside."""
    oval = list(FACE_OVAL)
    centre = mean[oval, :2].mean(0)
    half = np.ptp(mean[oval, 0]) / 2
    points, heights = [mean[:, :2]], [mean[:, 2]]
    for radius, _, fall in RINGS:
        points.append(centre + (mean[oval, :2] - centre) * radius)
        heights.append(mean[oval, 2] - fall * half / 2)
    unique, index = np.unique(np.concatenate(points).round(4), axis=0, return_index=True)
    rbf = RBFInterpolator(unique, np.concatenate(heights)[index], kernel="linear", smoothing=1e-3, neighbors=64)
    depth = rbf(grid_points().reshape(-1, 2)).reshape(GRID, GRID)
    low = float(np.concatenate(heights).min())
    return np.asarray(cv2.GaussianBlur(np.maximum(depth, low).astype(np.float32), (0, 0), 0.8), np.float32)


def warp_to_frame(image: NDArray[np.uint8], to_frame: NDArray[np.floating], field: Array, width: int) -> Array:
    """Shape-normalised picture (W, W, 3): each frame point shows what lies at its displaced place in the photograph.

    Args:
        image: photograph, RGB.
        to_frame: similarity (2, 3) from photograph pixels to frame coordinates.
        field: (3, G, G) displacement of this person.
        width: side W of the result.
    """
    inverse = np.linalg.inv(np.vstack([to_frame, [0, 0, 1]]))[:2]
    target = grid_points(width) + np.stack(
        [cv2.resize(field[k], (width, width), interpolation=cv2.INTER_CUBIC) for k in (0, 1)], axis=-1
    )
    pixels = (target @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)
    shrink = np.hypot(*inverse[:, 0]) / width
    smooth = cv2.GaussianBlur(image, (0, 0), 0.42 * max(shrink, 1e-3)) if shrink > 1.2 else image
    out = cv2.remap(smooth, pixels[..., 0], pixels[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.float32) / np.float32(255)


def studio_matte(texture: Array, oval: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Coverage of a person against a plain bright wall, and the picture with the wall's colour unmixed.

    Args:
        texture: (W, W, 3) RGB in [0, 1].
        oval: (W, W) bool, the face: always covered.
    """
    width = texture.shape[0]
    yy, xx = np.mgrid[0:width, 0:width] / width - 0.5
    basis = np.stack([np.ones_like(xx), xx, yy, xx * xx, yy * yy, xx * yy], -1)
    sides = np.zeros((width, width), bool)
    sides[: width // 3, : width // 9] = sides[: width // 3, -width // 9 :] = True
    known = sides & (texture.min(-1) > 0.6) & (np.ptp(texture, axis=-1) < 0.08)
    coef = np.linalg.lstsq(basis[known], texture[known], rcond=None)[0]
    wall = basis @ coef
    solid = (np.abs(texture - wall).max(-1) > 0.11).astype(np.uint8)
    solid = _filled(cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) | oval.astype(np.uint8))
    core = np.asarray(cv2.erode(solid, np.ones((5, 5), np.uint8)), np.uint8)
    band = cv2.dilate(solid, np.ones((7, 7), np.uint8)) - core
    near = _spread(texture, core)  # what the person looks like just inside the outline
    apart = near - wall
    cover = ((texture - wall) * apart).sum(-1) / np.maximum(np.square(apart).sum(-1), 1e-3)
    alpha = np.where(band > 0, np.clip(cover * 1.15 - 0.08, 0, 1), core).astype(np.float32)
    mix = np.clip(alpha, 0.5, 1)[..., None]
    unmixed = np.clip((texture - (1 - mix) * wall) / mix, 0, 1)
    colour = np.where(core[..., None] > 0, texture, alpha[..., None] * unmixed + (1 - alpha[..., None]) * near)
    return alpha, colour.astype(np.float32)


def _spread(texture: Array, known: NDArray[np.uint8]) -> Array:
    """Colours of the known pixels carried outwards, nearest first."""
    out = np.zeros_like(texture)
    weight = np.zeros(texture.shape[:2], np.float32)
    for sigma, trust in ((2, 1.0), (6, 1e-2), (30, 1e-5)):
        share = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
        out += trust * cv2.GaussianBlur(texture * known[..., None], (0, 0), sigma)
        weight += trust * share
    return np.asarray(out / np.maximum(weight, 1e-8)[..., None], np.float32)


def _filled(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest connected piece of a mask, without holes."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    largest = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    outside = np.pad(1 - largest, 1, constant_values=1)
    outside[-1] = 0  # the person leaves the picture at the bottom
    _, labels, _, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8))
    return np.asarray((labels != labels[0, 0])[1:-1, 1:-1], np.uint8)
