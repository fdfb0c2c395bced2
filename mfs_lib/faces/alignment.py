"""Aligned face crops: a similarity transform from five landmarks onto one template.

Points are (x, y) in pixels with pixel centres at integer coordinates (OpenCV's convention). The five points are
eye, eye, nose tip, mouth corner, mouth corner, the one further left in the image first. A crop of side S has the
template points at ``S * TEMPLATE``; the template is ArcFace's, shrunk to 80 % so that the whole jaw is inside:

    x' = S (0.5 + 0.8 (x - 56) / 112)        y' = S (0.52 + 0.8 (y - 58) / 112)

where (x, y) is ArcFace's point in its 112 x 112 crop. Because one is a scaled and shifted copy of the other, an
ArcFace crop can be cut out of ours by a fixed resampling (``arcface_view``, with gradients; ``arcface_pixels`` is the
same without PyTorch, which is imported by the former alone: who only swaps needn't have it).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

ARCFACE_SIZE = 112
ARCFACE_POINTS: FloatArray = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""ArcFace's five template points in its 112 x 112 crop (pixels)."""

_ZOOM = 0.8
_ARCFACE_CENTRE = np.array([56.0, 58.0])
_OUR_CENTRE = np.array([0.5, 0.52])

TEMPLATE: FloatArray = _OUR_CENTRE + _ZOOM * (ARCFACE_POINTS - _ARCFACE_CENTRE) / ARCFACE_SIZE
"""Our five template points, (5, 2), as fractions of the crop's side."""


def fit_similarity(points: npt.ArrayLike, onto: npt.ArrayLike) -> FloatArray:
    """Least-squares similarity (rotation, one scale, shift; no mirroring) that takes `points` to `onto`.

    With complex numbers p and q (both centred) the best ``q = a p`` has ``a = <p, q> / <p, p>``: exact, closed form.

    Args:
        points: (N, 2) pixels, N >= 2.
        onto: (N, 2) pixels.

    Returns:
        (2, 3) matrix M with ``onto ~ M [x, y, 1]``.

    Raises:
        InputError: wrong shapes, values that are not finite, or points that all coincide.
    """
    source, target = np.asarray(points, dtype=np.float64), np.asarray(onto, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise InputError(
            f"Two equal lists of at least 2 (x, y) points are needed, got {source.shape} and {target.shape}."
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError("Landmarks must be finite numbers; run the face detector again.")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    p = (source - source_mean) @ np.array([1, 1j])
    q = (target - target_mean) @ np.array([1, 1j])
    energy = float(np.vdot(p, p).real)
    if energy < 1e-9:
        raise InputError("All landmarks lie on one spot: no scale or rotation can be found from them.")
    a = np.vdot(p, q) / energy
    linear = np.array([[a.real, -a.imag], [a.imag, a.real]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def estimate_similarity(points: npt.ArrayLike, size: int) -> FloatArray:
    """Matrix (2, 3) that takes five landmarks (5, 2) in image pixels onto our template in a crop of side `size`.

    Raises:
        InputError: not five finite, distinct points.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.shape != (5, 2):
        raise InputError(f"Five (x, y) landmarks are needed, got an array of shape {array.shape}.")
    return fit_similarity(array, TEMPLATE * size)


def estimate_arcface(points: npt.ArrayLike) -> FloatArray:
    """Matrix (2, 3) that takes five landmarks (5, 2) onto ArcFace's own template (crop of side 112)."""
    return fit_similarity(points, ARCFACE_POINTS)


def invert(matrix: npt.ArrayLike) -> FloatArray:
    """Inverse (2, 3) of an affine map (2, 3), in float64.

    Raises:
        InputError: the map is singular or has the wrong shape.
    """
    array = np.asarray(matrix, dtype=np.float64)
    if array.shape != (2, 3) or not np.isfinite(array).all() or abs(np.linalg.det(array[:, :2])) < 1e-12:
        raise InputError("An invertible 2 x 3 affine matrix is needed.")
    linear = np.linalg.inv(array[:, :2])
    return np.column_stack([linear, -linear @ array[:, 2]])


def transform_points(matrix: npt.ArrayLike, points: npt.ArrayLike) -> FloatArray:
    """Apply an affine map (2, 3) to points (..., 2)."""
    array = np.asarray(matrix, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ array[:, :2].T + array[:, 2]


def scale_of(matrix: npt.ArrayLike) -> float:
    """Linear scale of an affine map (2, 3): the square root of its determinant's size (output pixels per input pixel)."""
    return math.sqrt(abs(float(np.linalg.det(np.asarray(matrix, dtype=np.float64)[:, :2]))))


def align(image: Image, matrix: npt.ArrayLike, size: int) -> Image:
    """Cut the crop that `matrix` describes out of an image, without aliasing.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        matrix: (2, 3), image pixels to crop pixels.
        size: side S of the crop in pixels.

    Returns:
        (S, S, 3) or (S, S) uint8; what lies outside the image repeats its edge.

    Where the crop has fewer pixels than the image region, the crop is rendered k times larger (k an integer, so that
    it is at least as fine as the image) and averaged over k x k blocks: an exact box filter of one crop pixel.
    """
    if size < 1 or image.ndim not in (2, 3) or image.size == 0:
        raise InputError(f"A non-empty image and a positive size are needed, got {image.shape} and {size}.")
    forward = np.asarray(matrix, dtype=np.float64)
    invert(forward)
    factor = min(16, max(1, math.ceil(1.0 / max(scale_of(forward), 1e-9) - 1e-6)))
    # Block-averaging puts the centre of coarse pixel i at fine coordinate i k + (k - 1) / 2.
    fine = forward * factor
    fine[:, 2] += (factor - 1) / 2
    crop = cv2.warpAffine(
        image, fine, (size * factor, size * factor), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if factor > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, dtype=np.uint8)


def halved(image: Image, matrix: npt.ArrayLike, size: int, *, keep: float = 1.0) -> tuple[Image, FloatArray]:
    """The part of an image that a crop needs, halved while it is more than twice as fine as the crop.

    Halving averages 2 x 2 pixels, which OpenCV does much faster than any other factor: ``align`` of the result is ``align``
    of the image but for the rounding to 8 bits between the steps, in a fraction of the time when the face is large.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        matrix: (2, 3), image pixels to crop pixels.
        size: side of the crop in pixels.
        keep: stop while there still are this many image pixels for each crop pixel.

    Returns:
        The part and the matrix from its pixels to crop pixels.
    """
    shifted = np.array(matrix, dtype=np.float64)
    last = float(size)
    corners = transform_points(invert(shifted), np.array([[-1.0, -1], [last, -1], [-1, last], [last, last]]))
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, np.maximum(limit - 2, 0))
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 3, low + 2, limit)
    part = image[low[1] : high[1], low[0] : high[0]]
    shifted[:, 2] += shifted[:, :2] @ low
    while scale_of(shifted) <= 0.5 / keep and min(part.shape[:2]) >= 4:
        height, width = part.shape[0] // 2, part.shape[1] // 2
        part = np.asarray(cv2.resize(part[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA))
        # Coarse pixel i covers fine pixels 2 i and 2 i + 1: its centre is at 2 i + 0.5.
        shifted[:, 2] += shifted[:, :2] @ np.array([0.5, 0.5])
        shifted[:, :2] *= 2
    return np.asarray(part, dtype=np.uint8), shifted


def arcface_matrix(size: int) -> FloatArray:
    """Affine map (2, 3) from pixels of our crop of side `size` to pixels of the 112 x 112 ArcFace crop."""
    scale = ARCFACE_SIZE / (_ZOOM * size)
    shift = _ARCFACE_CENTRE - scale * size * _OUR_CENTRE
    return np.column_stack([np.eye(2) * scale, shift])


def arcface_view(crop: Tensor) -> Tensor:
    """The 112 x 112 ArcFace crop inside our aligned crop; differentiable.

    Args:
        crop: (B, C, S, S), any range, aligned by ``estimate_similarity``.

    Returns:
        (B, C, 112, 112): bilinear when it enlarges, box-filtered when it shrinks, edge repeated outside.
    """
    import torch
    from torch.nn import functional

    if crop.ndim != 4 or crop.shape[-1] != crop.shape[-2]:
        raise InputError(f"A batch of square crops (B, C, S, S) is needed, got {tuple(crop.shape)}.")
    size = crop.shape[-1]
    backward = invert(arcface_matrix(size))
    scale, shift = float(backward[0, 0]), backward[:, 2]
    factor = max(1, math.ceil(scale - 1e-6))
    count = ARCFACE_SIZE * factor
    # Centre of fine sample j, in ArcFace pixels, is (j - (k - 1) / 2) / k.
    steps = (torch.arange(count, device=crop.device, dtype=torch.float64) - (factor - 1) / 2) / factor
    axes = [((steps * scale + float(s)) * 2 + 1) / size - 1 for s in shift]
    grid = torch.stack(torch.meshgrid(axes[0], axes[1], indexing="xy"), dim=-1).to(crop.dtype)
    view = functional.grid_sample(
        crop, grid.expand(crop.shape[0], -1, -1, -1), mode="bilinear", padding_mode="border", align_corners=False
    )
    return functional.avg_pool2d(view, factor) if factor > 1 else view


def arcface_pixels(crop: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``arcface_view`` of one crop without PyTorch.

    Args:
        crop: (S, S, C) float32, any range, aligned by ``estimate_similarity``.

    Returns:
        (112, 112, C) float32: the same numbers up to rounding.

    Raises:
        InputError: not a square crop.
    """
    if crop.ndim != 3 or crop.shape[0] != crop.shape[1] or len(crop) < 2:
        raise InputError(f"A square crop (S, S, C) is needed, got {crop.shape}.")
    across, down = _arcface_weights(crop.shape[0])
    view = np.einsum("ay,bx,yxc->abc", down, across, crop, optimize=True)
    return np.asarray(view, dtype=np.float32)


@lru_cache(maxsize=4)
def _arcface_weights(size: int) -> tuple[FloatArray, FloatArray]:
    """The resampling of ``arcface_view`` along x and along y as matrices (112, S): it treats the axes apart."""
    backward = invert(arcface_matrix(size))
    scale, shift = float(backward[0, 0]), backward[:, 2]
    factor = max(1, math.ceil(scale - 1e-6))
    steps = (np.arange(ARCFACE_SIZE * factor) - (factor - 1) / 2) / factor
    matrices = []
    for start in shift:
        place = np.clip(steps * scale + start, 0, size - 1)
        low = np.minimum(place.astype(np.int64), size - 2)
        fine = np.zeros((len(steps), size))
        fine[np.arange(len(steps)), low] = 1 - (place - low)
        fine[np.arange(len(steps)), low + 1] += place - low
        matrices.append(fine.reshape(ARCFACE_SIZE, factor, size).mean(axis=1))
    return matrices[0], matrices[1]
