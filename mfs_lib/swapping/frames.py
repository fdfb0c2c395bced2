"""The pixels of one video frame, touched only where they are needed.

A decoded frame is planar: luma Y at full and chroma U, V at half resolution. A face is a tenth of it, so only regions
are converted to RGB; and what a swap changed goes back as a difference, since the conversion is linear:

    Y += K_y d,   U += mean over 2 x 2 of K_u d,   V likewise,   with d = RGB after - RGB before

Where nothing was changed the frame stays bit for bit what the decoder gave.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError
from mfs_lib.swapping.paste import Box

UInt8Image = npt.NDArray[np.uint8]

LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""Shares of red and blue in the luma (ITU-R BT.601, BT.709, BT.2020)."""

_THUMBNAIL = 64


class Frame(Protocol):
    """A frame of any layout."""

    width: int
    height: int

    def region(self, box: Box) -> UInt8Image:
        """The pixels of a box inside the frame, a copy, (h, w, 3) RGB."""

    def half(self, box: Box) -> UInt8Image:
        """A box with even sides and corners at half its resolution, (h/2, w/2, 3) RGB."""

    def small(self, width: int, height: int) -> UInt8Image:
        """The whole frame shrunk to (height, width, 3) RGB."""

    def thumbnail(self) -> UInt8Image:
        """A sparse sample of the luma, of any small shape."""

    def write(self, box: Box, before: UInt8Image, after: UInt8Image) -> None:
        """Put a changed region back, of which `before` is what `region` gave."""


class ArrayFrame:
    """A frame as one (H, W, 3) uint8 RGB array; `write` changes that array."""

    def __init__(self, image: UInt8Image) -> None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise InputError(f"an RGB uint8 frame (H, W, 3) is needed, not {image.dtype} {image.shape}")
        self.image = image
        self.height, self.width = image.shape[:2]

    def region(self, box: Box) -> UInt8Image:
        """See `Frame`."""
        left, top, right, bottom = box
        return self.image[top:bottom, left:right].copy()

    def half(self, box: Box) -> UInt8Image:
        """See `Frame`."""
        left, top, right, bottom = box
        size = ((right - left) // 2, (bottom - top) // 2)
        part = self.image[top:bottom, left:right]
        return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def small(self, width: int, height: int) -> UInt8Image:
        """See `Frame`."""
        return np.asarray(cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def thumbnail(self) -> UInt8Image:
        """See `Frame`."""
        return _sparse(self.image[..., 1])

    def write(self, box: Box, before: UInt8Image, after: UInt8Image) -> None:
        """See `Frame`."""
        left, top, right, bottom = box
        self.image[top:bottom, left:right] = after


class PlanarFrame:
    """A frame as planes Y (H, W), U and V (H/2, W/2), uint8; `write` changes them."""

    def __init__(
        self, y: UInt8Image, u: UInt8Image, v: UInt8Image, *, matrix: str = "bt709", full: bool = False
    ) -> None:
        """Wrap planes.

        Args:
            y, u, v: 4:2:0; of odd sides the chroma is rounded up.
            matrix: one of `LUMA_WEIGHTS`.
            full: values use the full range 0..255 instead of 16..235 and 16..240.

        Raises:
            InputError: shapes that don't belong together, or an unknown matrix.
        """
        half = ((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2)
        if u.shape != half or v.shape != half:
            raise InputError(f"chroma planes of {half} are needed for a luma of {y.shape}, not {u.shape} and {v.shape}")
        self.y, self.u, self.v = y, u, v
        self.height, self.width = y.shape
        self._from_rgb, self._to_rgb = colour_matrices(matrix, full=full)

    def region(self, box: Box) -> UInt8Image:
        """See `Frame`."""
        left, top, right, bottom = box
        # Chroma of the even box around, so that both planes start at the same place.
        x0, y0 = left // 2, top // 2
        x1, y1 = (right + 1) // 2, (bottom + 1) // 2
        size = (2 * (x1 - x0), 2 * (y1 - y0))
        chroma = [cv2.resize(plane[y0:y1, x0:x1], size, interpolation=cv2.INTER_LINEAR) for plane in (self.u, self.v)]
        cut = (slice(top - 2 * y0, bottom - 2 * y0), slice(left - 2 * x0, right - 2 * x0))
        merged = cv2.merge([self.y[top:bottom, left:right], *(plane[cut] for plane in chroma)])
        return np.asarray(cv2.transform(merged, self._to_rgb), dtype=np.uint8)

    def half(self, box: Box) -> UInt8Image:
        """See `Frame`. The chroma is taken as it is."""
        left, top, right, bottom = box
        size = ((right - left) // 2, (bottom - top) // 2)
        luma = cv2.resize(self.y[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        cut = (slice(top // 2, bottom // 2), slice(left // 2, right // 2))
        return np.asarray(cv2.transform(cv2.merge([luma, self.u[cut], self.v[cut]]), self._to_rgb), dtype=np.uint8)

    def small(self, width: int, height: int) -> UInt8Image:
        """See `Frame`."""
        planes = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in (self.y, self.u, self.v)]
        return np.asarray(cv2.transform(cv2.merge(planes), self._to_rgb), dtype=np.uint8)

    def thumbnail(self) -> UInt8Image:
        """See `Frame`."""
        return _sparse(self.y)

    def write(self, box: Box, before: UInt8Image, after: UInt8Image) -> None:
        """See `Frame`."""
        left, top, right, bottom = box
        change = cv2.subtract(after, before, dtype=cv2.CV_32F)
        # The even box around, with no change in what was added.
        x0, y0, x1, y1 = left // 2, top // 2, (right + 1) // 2, (bottom + 1) // 2
        sides = (top - 2 * y0, 2 * y1 - bottom, left - 2 * x0, 2 * x1 - right)
        if any(sides):
            change = cv2.copyMakeBorder(change, *sides, cv2.BORDER_CONSTANT, value=0)
        planar = cv2.transform(change, self._from_rgb[:, :3])
        inside = planar[top - 2 * y0 : bottom - 2 * y0, left - 2 * x0 : right - 2 * x0, 0]
        luma = self.y[top:bottom, left:right]
        luma[...] = cv2.add(luma, np.ascontiguousarray(inside), dtype=cv2.CV_8U)
        coarse = cv2.resize(planar, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        for plane, channel in ((self.u, 1), (self.v, 2)):
            part = plane[y0:y1, x0:x1]
            part[...] = cv2.add(part, np.ascontiguousarray(coarse[..., channel]), dtype=cv2.CV_8U)


def colour_matrices(matrix: str, *, full: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Affine maps (3, 4) from RGB to YUV and back, both in [0, 255].

    Args:
        matrix: one of `LUMA_WEIGHTS`.
        full: the full range 0..255 instead of 16..235 (luma) and 16..240 (chroma).

    Raises:
        InputError: an unknown matrix.
    """
    if matrix not in LUMA_WEIGHTS:
        raise InputError(f"a colour matrix is one of {', '.join(LUMA_WEIGHTS)}, not {matrix!r}")
    red, blue = LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    u, v = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)), (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    scale = np.array([1.0, 1.0, 1.0]) if full else np.array([219, 224, 224]) / 255
    linear = np.stack([luma, u, v]) * scale[:, None]
    offset = np.array([0.0 if full else 16.0, 128.0, 128.0])
    back = np.linalg.inv(linear)
    return np.column_stack([linear, offset]), np.column_stack([back, -back @ offset])


def _sparse(plane: UInt8Image) -> UInt8Image:
    """About 64 x 64 single pixels, spread evenly."""
    rows, columns = max(1, plane.shape[0] // _THUMBNAIL), max(1, plane.shape[1] // _THUMBNAIL)
    return np.ascontiguousarray(plane[rows // 2 :: rows, columns // 2 :: columns])
