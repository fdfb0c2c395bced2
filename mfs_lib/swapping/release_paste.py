"""Putting a swapped crop back as the MobileFaceSwap release does it.

Facts from the release's alignment code (Seanseattle/MobileFaceSwap, 2022, Apache-2.0), written anew. With the network's
mask m (S, S) and its *composite* g (S, S, 3), which already holds the target where m is 0:

    m <- 1 where m > 0.001                       (smaller values stay)
    m <- dilate once, erode twice, 11 x 11       (5 pixels inwards in all)
    m <- box blur 7 x 7
    m <- m * border, border = box blur 11 x 11 of ones within a frame of 10 zeros
    frame <- U(g) U(m) + frame (1 - U(m)),       clipped to [0, 255] and cut, not rounded, to whole grey levels

where U is the bilinear resampling by the inverse affine map, black outside the crop. Kernels are in pixels of the crop,
whatever its side (the release: 224).

Two habits of the release are kept because results should be comparable: wherever the network's mask isn't quite 0 the
crop's pixels replace the frame's, so background under a faint mask is resampled as well; and cutting instead of
rounding darkens by half a grey level.
Where U(m) = 0 the frame stays bit for bit. Only the part of the frame under the crop is computed, in strips.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError
from mfs_lib.faces.release_alignment import invert_release
from mfs_lib.swapping.paste import FloatArray, crop_region

MASK_THRESHOLD = 0.001
MORPHOLOGY = 11
"""Side of the square that dilates and erodes, in crop pixels."""

MASK_BLUR = 7
BORDER_WIDTH = 10
BORDER_BLUR = 11

_STRIP_PIXELS = 2_000_000  # a bounded amount of float memory


def border_mask(size: int) -> FloatArray:
    """Ones within a frame of `BORDER_WIDTH` zeros, box-blurred: (S, S) float32 in [0, 1].

    Raises:
        InputError: the crop is all frame.
    """
    if size <= 2 * BORDER_WIDTH:
        raise InputError(f"the release's paste needs a crop of more than {2 * BORDER_WIDTH} pixels a side, not {size}")
    ones = np.zeros((size, size), dtype=np.float32)
    ones[BORDER_WIDTH:-BORDER_WIDTH, BORDER_WIDTH:-BORDER_WIDTH] = 1
    return np.asarray(cv2.blur(ones, (BORDER_BLUR, BORDER_BLUR)), dtype=np.float32)


def soften_mask(mask: FloatArray) -> FloatArray:
    """The network's mask (S, S) in [0, 1] as the release uses it for pasting, (S, S) float32; see the module's text."""
    kernel = np.ones((MORPHOLOGY, MORPHOLOGY), dtype=np.uint8)
    solid = np.where(mask > MASK_THRESHOLD, np.float32(1), mask).astype(np.float32)
    solid = np.asarray(cv2.erode(cv2.dilate(solid, kernel), kernel, iterations=2), dtype=np.float32)
    blurred = np.asarray(cv2.blur(solid, (MASK_BLUR, MASK_BLUR)), dtype=np.float32)
    return blurred * border_mask(mask.shape[0])


def release_paste(
    image: npt.NDArray[np.uint8],
    face: FloatArray,
    mask: FloatArray,
    matrix: npt.ArrayLike,
    *,
    coverage: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Composite one face into a photograph, in place.

    Args:
        image: (H, W, 3) uint8, changed in place.
        face: (S, S, 3) float32 in [0, 1], the network's composite with the target crop.
        mask: (S, S) float32 in [0, 1], the network's mask.
        matrix: (2, 3) affine map, photograph pixels to crop pixels.
        coverage: (H, W) uint8 that collects the mask in photograph pixels (maximum over faces), or None. Any mask above
            0 counts at least 1, since cutting to whole levels may change a pixel there.

    Raises:
        InputError: wrong shapes, or values that are not finite.
    """
    size = int(face.shape[0])
    if face.shape != (size, size, 3) or mask.shape != (size, size):
        raise InputError(f"a square face (S, S, 3) and its mask (S, S) are needed, not {face.shape} and {mask.shape}")
    if not (np.isfinite(face).all() and np.isfinite(mask).all()):
        raise InputError("the network returned values that are not finite: its weights are damaged")
    layers = [(face * 255).astype(np.float32), soften_mask(mask)]
    back = invert_release(matrix)
    left, top, right, bottom = crop_region(matrix, size, image.shape[1], image.shape[0])
    rows = max(1, _STRIP_PIXELS // max(1, right - left))
    for start in range(top, bottom if left < right else top, rows):
        stop = min(start + rows, bottom)
        shifted = back - np.array([[0, 0, left], [0, 0, start]])
        colour, weight = (np.asarray(cv2.warpAffine(x, shifted, (right - left, stop - start))) for x in layers)
        region = image[start:stop, left:right]
        blended = colour * weight[..., None] + region.astype(np.float32) * (1 - weight[..., None])
        region[...] = np.clip(blended, 0, 255).astype(np.uint8)
        if coverage is not None:
            covered = coverage[start:stop, left:right]
            np.maximum(covered, np.ceil(weight * 255).astype(np.uint8), out=covered)
