"""Find faces: YuNet (Wu, Peng, Yu 2023) through OpenCV, a box and five landmarks each.

YuNet's landmarks are good for faces that are upright and of a middling size: on photographs with hand-placed pupils
they err by 5 % of the distance between the eyes, but by 13 to 35 % when the face is turned by 35 degrees. So each face
is looked at again, level, until its eyes are level in that view, and the landmarks of six such views are averaged: the
error falls to 3.5 % at any turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mfs_lib.errors import AssetError, InputError
from mfs_lib.faces.alignment import FloatArray, Image, align, halved, invert, scale_of, transform_points

_VIEW_SIDE = 320
_FINAL_VIEWS = ((240.0, False), (240.0, True), (200.0, False), (200.0, True), (160.0, False), (160.0, True))
"""Views of 320 pixels in which a face is looked at again: the height of its box in them, and whether mirrored.

The mean over them takes away most of the jitter that comes from where the face lies on the network's grid.
"""

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
        refine: look at each face again for better landmarks (about 90 ms a face on one core); without it a frame takes a
            third of the time, and faces should be nearly level.
    """

    def __init__(
        self, *, model: Path, threshold: float = 0.6, overlap: float = 0.3, max_side: int = 1024, refine: bool = True
    ) -> None:
        self.max_side = max_side
        self.refine = refine
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
        if self.refine:
            found = [self._look_again(image, face) for face in found]
        return sorted(found, key=lambda face: -face.area)

    def look(
        self, image: Image, face: Face, *, side: int = 192, share: float = 0.6, mirrored: bool = False
    ) -> Face | None:
        """The same face, seen again in one small level view around where it was: what tracking does for each frame.

        Args:
            image: (H, W, 3) RGB uint8.
            face: where it was, a little while ago; its box should be as high as the face along its own axis.
            side: of the view in pixels.
            share: height of the face's box in the view, as a share of the side.
            mirrored: look at the mirrored view; the result is that of the face itself.

        Returns:
            The face with its score in the view and a box of the height that it has there; None where the view shows none.
        """
        matrix = level_view(face, side * share, side)
        view = quick_view(image, matrix, side)
        seen = self._detect_once(np.ascontiguousarray(view[:, ::-1]) if mirrored else view, side)
        if mirrored:
            seen = [_mirrored(one, side) for one in seen]
        middle = (side - 1) / 2
        offsets = [float(np.abs(one.points.mean(axis=0) - middle).max()) for one in seen]
        if not seen or min(offsets) > side * share / 2:
            return None
        found = seen[int(np.argmin(offsets))]
        back = invert(matrix)
        points = transform_points(back, found.points)
        extent = (found.box[2:] - found.box[:2]) / scale_of(matrix) / 2
        centre = transform_points(back, (found.box[:2] + found.box[2:]) / 2)
        return Face(box=np.concatenate([centre - extent, centre + extent]), score=found.score, points=points)

    def _look_again(self, image: Image, face: Face) -> Face:
        """The same face with landmarks from level views of it; as it was when those show no face."""
        for _ in range(_LOOKS):
            points = self._points_in_view(image, face, _FINAL_VIEWS[0])
            if points is None:
                return face
            x, y = _turned_eyes(face, points)
            face = Face(box=face.box, score=face.score, points=points)
            if abs(np.degrees(np.arctan2(y, x))) < _LEVEL_DEGREES:
                break
        views = [self._points_in_view(image, face, view) for view in _FINAL_VIEWS]
        found = [points for points in views if points is not None]
        return Face(box=face.box, score=face.score, points=np.mean(found, axis=0)) if found else face

    def _points_in_view(self, image: Image, face: Face, view: tuple[float, bool]) -> FloatArray | None:
        """Landmarks (5, 2), in image pixels, from one level view (height of the face in it, mirrored or not)."""
        height, mirrored = view
        matrix = level_view(face, height, _VIEW_SIDE)
        crop = align(image, matrix, _VIEW_SIDE)
        if mirrored:
            crop = np.ascontiguousarray(crop[:, ::-1])
        seen = [one.points for one in self._detect_once(crop, _VIEW_SIDE)]
        middle = (_VIEW_SIDE - 1) / 2
        offsets = [float(np.abs(points.mean(axis=0) - middle).max()) for points in seen]
        if not seen or min(offsets) > height / 2:
            return None
        points = seen[int(np.argmin(offsets))]
        if mirrored:
            points = _mirrored_points(points, _VIEW_SIDE)
        return transform_points(invert(matrix), points)

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


def _mirrored_points(points: FloatArray, side: int) -> FloatArray:
    """Points of a mirrored view in the view itself: left and right change places, in the picture and in the order."""
    return np.column_stack([side - 1 - points[:, 0], points[:, 1]])[[1, 0, 2, 4, 3]]


def _mirrored(face: Face, side: int) -> Face:
    """A face of a mirrored view in the view itself."""
    left, top, right, bottom = face.box
    box = np.array([side - 1 - right, top, side - 1 - left, bottom])
    return Face(box=box, score=face.score, points=_mirrored_points(face.points, side))


def _turned_eyes(face: Face, points: FloatArray) -> FloatArray:
    """From one eye to the other in `points`, (2,), along the axes of the level view that `face` gives."""
    matrix = level_view(face, 1.0, _VIEW_SIDE)
    return np.asarray(matrix[:, :2] @ (points[1] - points[0]))


def level_view(face: Face, height: float, side: int) -> FloatArray:
    """Matrix (2, 3) from the image to a view of side `side` with the face level and its box `height` pixels high."""
    x, y = face.points[1] - face.points[0]
    length = max(float(np.hypot(x, y)), 1e-6)
    scale = height / max(float(face.box[3] - face.box[1]), 1.0)
    linear = scale / length * np.array([[x, y], [-y, x]])
    middle = np.full(2, (side - 1) / 2)
    return np.column_stack([linear, middle - linear @ face.points.mean(axis=0)])


def quick_view(image: Image, matrix: FloatArray, side: int) -> Image:
    """About what ``align`` cuts out, several times as fast: halved while it is twice too fine, then warped."""
    region, matrix = halved(image, matrix, side)
    view = cv2.warpAffine(region, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(view, dtype=np.uint8)


def _face(row: FloatArray, scale: FloatArray) -> Face:
    """A row of YuNet: left, top, width, height, five points, score."""
    corner, extent = row[0:2] * scale, row[2:4] * scale
    # Pixel centres are at integers: a point p of the shrunk image is (p + 0.5) * scale - 0.5 in the original.
    points = (row[4:14].reshape(5, 2) + 0.5) * scale - 0.5
    return Face(box=np.concatenate([corner, corner + extent]), score=float(row[14]), points=points)
