"""Alignment as the MobileFaceSwap release does it: a free affine map onto its own template.

Facts from the release's alignment code (Seanseattle/MobileFaceSwap, 2022, Apache-2.0), written anew:

| step     | release                                                        | ours (``alignment``)               |
|----------|----------------------------------------------------------------|------------------------------------|
| template | `RELEASE_TEMPLATE`, 112 units times size / 112                 | ArcFace's, shrunk to 80 %          |
| fit      | all six numbers of an affine map, linear least squares         | similarity (four numbers)          |
| crop     | one bilinear sample per pixel, black outside the picture       | without aliasing, edge repeated    |
| back     | pseudo-inverse of the 3 x 3 matrix                             | inverse of the similarity          |

A free affine map fits the five points closer than a similarity, and pays by shearing and stretching the face: a head
that is turned becomes wider. The map is rounded to float32, as in the release.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import FloatArray, Image

RELEASE_UNITS = 112
RELEASE_TEMPLATE: FloatArray = np.array(
    [
        [38.29459953, 51.69630051],
        [73.53179932, 51.50139999],
        [56.02519989, 71.73660278],
        [41.54930115, 92.3655014],
        [70.72990036, 92.20410156],
    ]
)
"""The release's five points in units of a crop of side 112; ArcFace's, with four more digits."""

_LEAST_SPREAD = 1e-6
"""Points whose extent across their line is less than this part of that along it lie on one line."""

_LARGEST_SIDE = 32_766  # OpenCV resamples at most 32,767 pixels a side


def release_template(size: int) -> FloatArray:
    """The release's five points (5, 2) in pixels of a crop of side `size`."""
    return RELEASE_TEMPLATE * (size / RELEASE_UNITS)


def fit_affine(points: npt.ArrayLike, onto: npt.ArrayLike) -> FloatArray:
    """Least-squares affine map with all six numbers free.

    Args:
        points: (N, 2) pixels, N >= 3, not on one line.
        onto: (N, 2) pixels.

    Returns:
        (2, 3) matrix M with ``onto ~ M [x, y, 1]``, rounded to float32 as in the release.

    Raises:
        InputError: wrong shapes, values that are not finite, or points on one line. (Of such points the release makes a
            map without a shift, which places the face at random.)
    """
    source, target = np.asarray(points, dtype=np.float64), np.asarray(onto, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 3:
        raise InputError(
            f"Two equal lists of at least 3 (x, y) points are needed, got {source.shape} and {target.shape}."
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError("Landmarks must be finite numbers; run the face detector again.")
    spread = np.linalg.svd(source - source.mean(axis=0), compute_uv=False)
    if spread[1] <= _LEAST_SPREAD * spread[0]:
        raise InputError("The landmarks lie on one line: no affine map can be found from them.")
    solution = np.linalg.lstsq(np.column_stack([source, np.ones(len(source))]), target, rcond=None)[0]
    return np.asarray(solution.T.astype(np.float32), dtype=np.float64)


def estimate_release(points: npt.ArrayLike, size: int) -> FloatArray:
    """Affine map (2, 3) that takes five landmarks (5, 2) onto the release's template in a crop of side `size`.

    Raises:
        InputError: not five finite points that span a plane.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.shape != (5, 2):
        raise InputError(f"Five (x, y) landmarks are needed, got an array of shape {array.shape}.")
    return fit_affine(array, release_template(size))


def invert_release(matrix: npt.ArrayLike) -> FloatArray:
    """The way back (2, 3) of an affine map (2, 3): first two rows of the pseudo-inverse of its 3 x 3 matrix.

    Raises:
        InputError: wrong shape, or values that are not finite.
    """
    array = np.asarray(matrix, dtype=np.float64)
    if array.shape != (2, 3) or not np.isfinite(array).all():
        raise InputError("A 2 x 3 affine matrix of finite numbers is needed.")
    back: FloatArray = np.linalg.pinv(np.vstack([array, [0.0, 0.0, 1.0]]))[:2]
    return back


def release_crop(image: Image, matrix: npt.ArrayLike, size: int) -> Image:
    """Cut a crop as the release does: `warpAffine`, bilinear, black outside; nothing is done against aliasing.

    Args:
        image: (H, W, 3) or (H, W) uint8, at most 32,766 pixels a side.
        matrix: (2, 3), image pixels to crop pixels.
        size: side S of the crop in pixels.

    Returns:
        (S, S, 3) or (S, S) uint8.

    Raises:
        InputError: an empty or too large image, or a size that is not positive.
    """
    if size < 1 or image.ndim not in (2, 3) or image.size == 0 or max(image.shape[:2]) > _LARGEST_SIDE:
        raise InputError(
            f"An image of 1 to {_LARGEST_SIDE} pixels a side and a positive size are needed, got {image.shape} and {size}."
        )
    crop = cv2.warpAffine(image, np.asarray(matrix, dtype=np.float64), (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, dtype=np.uint8)
