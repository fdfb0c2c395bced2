"""Find faces: YuNet (Wu, Peng, Yu 2023) through OpenCV, a box and five landmarks each.

YuNet's landmarks are good for faces that are upright and of a middling size: on photographs with hand-placed pupils
they err by 5 % of the distance between the eyes, but by 13 to 35 % when the face is turned by 35 degrees. So each face
is looked at again, level and at one size, until its eyes are level in that view.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mfs_lib.errors import AssetError, InputError
from mfs_lib.faces.alignment import FloatArray, Image, align, invert, transform_points

_VIEW_SIDE = 320
_VIEW_FACE = 220
"""A face is looked at again in a view of 320 pixels in which its box is 220 high."""

_LOOKS = 4
_LEVEL_DEGREES = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One face in an image.

    Attributes:
        box: (4,) left, top, right, bottom in pixels; may reach beyond the image.
        score: confidence in [0, 1].
        points: (5, 2) pixels: eye, eye, nose tip, mouth corner, mouth corner; of a face that is upright the one
            further left in the image first.
    """

    box: FloatArray
    score: float
    points: FloatArray

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return float(max(0.0, self.box[2] - self.box[0]) * max(0.0, self.box[3] - self.box[1]))


class FaceDetector:
    """YuNet on the CPU.

    Args:
        model: path of YuNet's ONNX file.
        threshold: least confidence of a face.
        overlap: faces that overlap a better one by more than this (intersection over union) are dropped.
        max_side: larger images are shrunk to this many pixels for detection; the results are in their own pixels.
    """

    def __init__(self, *, model: Path, threshold: float = 0.6, overlap: float = 0.3, max_side: int = 1024) -> None:
        self.max_side = max_side
        # OpenCV 5 warns, each time a network is made, that it has but one place to run it.
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        try:
            self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), threshold, overlap, 5000)
        except cv2.error as error:
            raise AssetError(f"OpenCV can't read the face detector {model}: {error}.") from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, image: Image) -> list[Face]:
        """All faces of an image, largest first; an empty list when there are none.

        Args:
            image: (H, W, 3) RGB uint8.

        Raises:
            InputError: another kind of array.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise InputError(f"An RGB uint8 image (H, W, 3) is needed, got {image.dtype} {image.shape}.")
        found = self._detect_once(image, self.max_side)
        # A face that fills the picture is larger than the detector's largest anchor: look again at less resolution.
        side = min(max(image.shape[:2]), self.max_side)
        while not found and side > 160:
            side //= 2
            found = self._detect_once(image, side)
        return sorted((self._look_again(image, face) for face in found), key=lambda face: -face.area)

    def _look_again(self, image: Image, face: Face) -> Face:
        """The same face with landmarks from a level view of it; as it was when that view shows no face."""
        for _ in range(_LOOKS):
            matrix = _level_view(face)
            middle = np.full(2, (_VIEW_SIDE - 1) / 2)
            seen = self._detect_once(align(image, matrix, _VIEW_SIDE), _VIEW_SIDE)
            near = [one for one in seen if np.abs(one.points.mean(axis=0) - middle).max() < _VIEW_FACE / 2]
            if not near:
                return face
            best = min(near, key=lambda one: float(np.abs(one.points.mean(axis=0) - middle).sum()))
            points = transform_points(invert(matrix), best.points)
            face = Face(box=face.box, score=face.score, points=points)
            x, y = best.points[1] - best.points[0]
            if abs(np.degrees(np.arctan2(y, x))) < _LEVEL_DEGREES:
                return face
        return face

    def _detect_once(self, image: Image, max_side: int) -> list[Face]:
        height, width = image.shape[:2]
        shrink = min(1.0, max_side / max(height, width))
        small_width, small_height = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = image
        if shrink < 1.0:
            small = np.asarray(cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA), np.uint8)
        self._net.setInputSize((small_width, small_height))
        _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        scale = np.array([width / small_width, height / small_height])
        return [_face(np.asarray(row, dtype=np.float64), scale) for row in rows]


def _level_view(face: Face) -> FloatArray:
    """Matrix (2, 3) from the image to a view in which the face's eyes are level and its box has the usual height."""
    x, y = face.points[1] - face.points[0]
    length = max(float(np.hypot(x, y)), 1e-6)
    scale = _VIEW_FACE / max(float(face.box[3] - face.box[1]), 1.0)
    linear = scale / length * np.array([[x, y], [-y, x]])
    middle = np.full(2, (_VIEW_SIDE - 1) / 2)
    return np.column_stack([linear, middle - linear @ face.points.mean(axis=0)])


def _face(row: FloatArray, scale: FloatArray) -> Face:
    """A row of YuNet: left, top, width, height, five points, score."""
    corner, extent = row[0:2] * scale, row[2:4] * scale
    # Pixel centres are at integers: a point p of the shrunk image is (p + 0.5) * scale - 0.5 in the original.
    points = (row[4:14].reshape(5, 2) + 0.5) * scale - 0.5
    return Face(box=np.concatenate([corner, corner + extent]), score=float(row[14]), points=points)
