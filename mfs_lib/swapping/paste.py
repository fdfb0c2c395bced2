"""Putting a swapped crop back into its photograph, at the photograph's own resolution.

With the aligned target crop c, the network's face y, the mask M in [0, 1] (network's mask times a soft window that
is 0 at the crop's border) and U the resampling from crop pixels to photograph pixels, the photograph t becomes

    t + U(M) (U(y) - t + U(w) (t - U(c)))

where the weight w in [0, 1] says how much of what is finer than the crop (t - U(c): pores, grain, lashes) is kept:

    plain      w = 0: U(y) itself; the face is as fine as the crop is, so soft in a large photograph
    residual   w = 1: t + U(M) U(y - c); all grain is kept, and with it ghosts of the target's lips and lashes
    adaptive   w = exp(-(d / tau)^2): kept where the swap left the structure alone, dropped where edges moved;
               d is the local amplitude of y - c after its slow part (a change of colour or light) was removed

`residual` and `adaptive` leave the photograph bit for bit unchanged when the network changes nothing (y = c, so w = 1).
All leave it bit for bit unchanged where U(M) = 0, thus everywhere outside the crop. Blending is done in float on
gamma-encoded values, as the network's own composite is, then rounded once. (The release pastes the composite
instead, with a dilated and eroded mask and a box blur; that also blurs the background inside the crop.)
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import invert, scale_of, transform_points

FloatArray: TypeAlias = npt.NDArray[np.float32]
Detail: TypeAlias = Literal["plain", "residual", "adaptive"]
DETAILS: tuple[Detail, ...] = ("plain", "residual", "adaptive")
DEFAULT_DETAIL: Detail = "residual"
"""Chosen by eye with the shipped student on photographs ten times as fine as its crop: its ghosts disturb less than the
softness of the others."""

Box: TypeAlias = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom exclusive."""

WINDOW_MARGIN = 0.08
"""Width of the window's soft edge, as a fraction of the crop's side."""

_STRIP_PIXELS = 2_000_000
"""The photograph is composited in strips of about this many pixels: a bounded amount of float memory."""

DETAIL_TOLERANCE = 0.03
"""tau of the adaptive weight, in units of the picture's range [0, 1]."""

_DETAIL_BLUR = (1 / 32, 1 / 96)
"""Widths (Gaussian sigma, fractions of the crop's side) of the slow part and of the local amplitude."""

_MASK_FLOOR = 0.5 / 255
"""Mask values below half a grey level are 0, so that a sigmoid's tail does not touch the surroundings."""


def border_window(size: int, margin: float = WINDOW_MARGIN) -> FloatArray:
    """Separable raised-cosine window (S, S): 0 on the outermost pixels, 1 from `margin * size` inwards.

    Args:
        size: side S of the crop, at least 2.
        margin: width of the soft edge as a fraction of the side, in [0, 0.5].

    Raises:
        InputError: out of range.
    """
    if size < 2 or not 0 <= margin <= 0.5:
        raise InputError(f"a window needs a side of at least 2 and a margin in [0, 0.5], not {size} and {margin}")
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float64)
    ramp = np.clip(distance / max(margin * size, 1.0), 0.0, 1.0)
    edge = 0.5 - 0.5 * np.cos(np.pi * ramp)
    return np.outer(edge, edge).astype(np.float32)


def crop_region(matrix: npt.ArrayLike, size: int, width: int, height: int) -> Box:
    """The part of a photograph that a crop covers: bounding box of the crop's corners, cut at the photograph's edge.

    Args:
        matrix: (2, 3), photograph pixels to crop pixels.
        size: side S of the crop.
        width: of the photograph.
        height: of the photograph.

    Returns:
        Box; empty (left >= right or top >= bottom) when the crop lies outside.
    """
    return _bounding_box(matrix, (0, 0), (size - 1, size - 1), width, height)


def _bounding_box(
    matrix: npt.ArrayLike, low: tuple[float, float], high: tuple[float, float], width: int, height: int
) -> Box:
    """Whole photograph pixels around a rectangle of crop pixels (from its corner `low` to `high`)."""
    corners = np.array([low, (high[0], low[1]), (low[0], high[1]), high], dtype=np.float64)
    places = transform_points(invert(matrix), corners)
    first, last = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0)) + 1
    left, right = (int(np.clip(v, 0, width)) for v in (first[0], last[0]))
    top, bottom = (int(np.clip(v, 0, height)) for v in (first[1], last[1]))
    return left, top, right, bottom


def paste(
    image: npt.NDArray[np.uint8],
    face: FloatArray,
    mask: FloatArray,
    matrix: npt.ArrayLike,
    *,
    crop: FloatArray | None = None,
    detail: Detail = DEFAULT_DETAIL,
    coverage: npt.NDArray[np.uint8] | None = None,
) -> Box:
    """Composite one face into a photograph, in place.

    Args:
        image: (H, W, 3) uint8, changed in place.
        face: (S, S, 3) float32 in [0, 1], the network's face *before* its own composite.
        mask: (S, S) float32 in [0, 1], where the face goes; the soft window is applied here.
        matrix: (2, 3) similarity, photograph pixels to crop pixels.
        crop: (S, S, 3) float32 in [0, 1], the aligned target crop; not needed by ``detail="plain"``.
        detail: one of `DETAILS`, see the module's text.
        coverage: (H, W) uint8 that collects the mask in photograph pixels (maximum over faces), or None.

    Returns:
        The box outside which nothing was changed; it may be empty.

    Raises:
        InputError: wrong shapes, values that are not finite, or an unknown `detail`.
    """
    size = _check(face, mask, crop, detail)
    forward = np.asarray(matrix, dtype=np.float64)
    floored = np.where(mask < _MASK_FLOOR, np.float32(0), np.clip(mask, 0, 1))
    weight = _antialias(floored * _window(size), scale_of(forward))
    layers = [_antialias(layer, scale_of(forward)) for layer in _layers(face, crop, detail)]
    reach = _reach(weight, forward, image.shape[1], image.shape[0])
    for left, top, right, bottom in _strips(reach):
        box = (left, top, right, bottom)
        shown = _warp(weight, forward, box, cv2.BORDER_CONSTANT)  # the mask is 0 outside the crop, others repeat
        _blend(image[top:bottom, left:right], shown, [_warp(layer, forward, box) for layer in layers], detail)
        if coverage is not None:
            covered = coverage[top:bottom, left:right]
            np.maximum(covered, np.rint(shown * 255).astype(np.uint8), out=covered)
    return reach


@lru_cache(maxsize=8)
def _window(size: int) -> FloatArray:
    """`border_window` of one size, made once; not to be written to."""
    return border_window(size)


def _layers(face: FloatArray, crop: FloatArray | None, detail: Detail) -> list[FloatArray]:
    """What is resampled beside the mask, colours in grey levels: [y - c], [y] or [y, c, w] of the module's text.

    Resampling is linear, so U(y) - U(c) is one warp of y - c.
    """
    if detail == "plain" or crop is None:
        return [np.multiply(face, np.float32(255), dtype=np.float32)]
    change = np.subtract(face, crop, dtype=np.float32)
    if detail == "residual":
        return [change * np.float32(255)]
    return [face.astype(np.float32) * 255, crop.astype(np.float32) * 255, _kept_detail(change)]


def _reach(weight: FloatArray, forward: npt.NDArray[np.float64], width: int, height: int) -> Box:
    """The part of a photograph where the mask (S, S) is not 0; empty when there is none."""
    rows, columns = np.flatnonzero(weight.max(axis=1) > 0), np.flatnonzero(weight.max(axis=0) > 0)
    if len(rows) == 0:
        return 0, 0, 0, 0
    # A bilinear sample reaches one pixel beyond; the rest is for OpenCV, which rounds positions to 1/32 pixel.
    low, high = (columns[0] - 1.1, rows[0] - 1.1), (columns[-1] + 1.1, rows[-1] + 1.1)
    return _bounding_box(forward, low, high, width, height)


def _strips(box: Box) -> list[Box]:
    """Cut a box into strips of whole rows; none for an empty box."""
    left, top, right, bottom = box
    if left >= right:
        return []
    rows = max(1, _STRIP_PIXELS // (right - left))
    return [(left, start, right, min(start + rows, bottom)) for start in range(top, bottom, rows)]


def _check(face: FloatArray, mask: FloatArray, crop: FloatArray | None, detail: str) -> int:
    """Shapes, values and option; returns the crop's side."""
    if detail not in DETAILS:
        raise InputError(f"detail must be one of {', '.join(DETAILS)}, not {detail!r}")
    size = int(face.shape[0])
    if face.shape != (size, size, 3) or mask.shape != (size, size):
        raise InputError(f"a square face (S, S, 3) and its mask (S, S) are needed, not {face.shape} and {mask.shape}")
    if detail != "plain" and (crop is None or crop.shape != face.shape):
        raise InputError(f"detail={detail!r} needs the aligned target crop, of the face's shape")
    if not (np.isfinite(face).all() and np.isfinite(mask).all()):
        raise InputError("the network returned values that are not finite: its weights are damaged")
    return size


def _kept_detail(change: FloatArray) -> FloatArray:
    """The adaptive weight w (S, S) of the module's text, from y - c (S, S, 3)."""
    slow, local = (max(0.5, fraction * change.shape[0]) for fraction in _DETAIL_BLUR)
    structure = np.abs(change - np.asarray(cv2.GaussianBlur(change, (0, 0), slow))).max(axis=2)
    amplitude = np.asarray(cv2.GaussianBlur(structure, (0, 0), local), dtype=np.float32)
    weight: FloatArray = np.exp(-np.square(amplitude / np.float32(DETAIL_TOLERANCE)))
    return weight


def _antialias(layers: FloatArray, scale: float) -> FloatArray:
    """Low-pass the crop when it has more pixels than its place in the photograph (`scale` crop pixels per pixel).

    A Gaussian whose variance is that of a box of `scale` pixels less that of the one-pixel box the data already has.
    """
    if scale <= 1.0:
        return layers
    sigma = math.sqrt((scale * scale - 1.0) / 12.0)
    return np.asarray(cv2.GaussianBlur(layers, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)


def _warp(
    layer: FloatArray, forward: npt.NDArray[np.float64], box: Box, border: int = cv2.BORDER_REPLICATE
) -> FloatArray:
    """Resample a crop layer, colours (S, S, 3) or a weight (S, S), into one box of the photograph."""
    left, top, right, bottom = box
    matrix = forward.copy()
    matrix[:, 2] += matrix[:, :2] @ np.array([left, top], dtype=np.float64)  # box pixels to crop pixels
    # Cubic for the colours, linear for the weights: no overshoot.
    kind = cv2.INTER_CUBIC if layer.ndim == 3 else cv2.INTER_LINEAR
    flags = kind | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(layer, matrix, (right - left, bottom - top), flags=flags, borderMode=border)
    return np.asarray(warped, dtype=np.float32)


def _blend(region: npt.NDArray[np.uint8], mask: FloatArray, layers: list[FloatArray], detail: Detail) -> None:
    """The module's formula on one box, in place; `layers` are those of `_layers`. Exact where the mask is 0."""
    change = layers[0]
    if detail != "residual":
        target = region.astype(np.float32)
        change -= target
        if len(layers) == 3:
            _, crop, keep = layers
            change += keep[..., None] * (target - crop)
    # OpenCV's own loops: several times as fast as numpy's here, and its sum rounds once, to even, and saturates.
    weighted = cv2.multiply(change, cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR), dst=change)
    cv2.add(region, weighted, dst=region, dtype=cv2.CV_8U)
