"""Following faces through a video: detection now and then, in between one small look and the motion of the skin.

Per frame and face, about three milliseconds on one core:

1. *Motion.* Sparse optical flow (Lucas and Kanade 1981, pyramids after Bouguet) between two small level views of the
   face, in this frame and the last, and the similarity that fits it best (least median of squares). It carries the
   five points over: smooth, without lag, but drifting.
2. *Place.* One look of YuNet at a level view (`FaceDetector.look`): free of drift, but every frame errs anew.
3. *Both.* x = x' + g (z - x') with the carried points x' and the seen points z. The gain g is small while the two agree
   within the detector's own noise and grows to 1 where they don't: a complementary filter. A one-euro filter
   (Casiez and others 2012) of z alone had half as much jitter again at the same lag on clips of the face world.

The whole frame is searched when nothing is followed, after a cut of the shot, when a look fails, and every `every`
frames, where it confirms that what is followed still is a face.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import FloatArray, invert, transform_points
from mfs_lib.faces.detection import Face, FaceDetector, level_view, quick_view
from mfs_lib.swapping.frames import Frame, UInt8Image
from mfs_lib.swapping.paste import Box

Follow = Literal["largest", "all"]

DETECTION_SIDE = 640
"""The whole frame is searched at this many pixels along its longer side: faces of 3 % of it are found."""

LOOK_SIDE = 192
LOOKS = ((0.6, False), (0.6, True))
"""Shares of the view that the face is high, and whether mirrored, in turns: the filter averages what the detector does
differently on the left and on the right, and at another place of its grid."""

_FLOW_SIDE = 128
_FLOW_SHARE = 0.6  # of the flow's view that the face is high
_FLOW_GRID = 6
_LEAST_FLOW = 8  # points that the flow must have followed

_GAIN = 0.22
_NOISE = 0.09
"""Distance between carried and seen points, in eye distances, up to which the gain stays small."""

_CUT = 28.0
"""Mean change of sparse pixels, in grey levels, that is a cut of the shot."""

_SAME = 0.3  # overlap (intersection over union) of one face in two detections
_REACH = 1.6  # half side of the region around a face that is looked at, in heights of its box


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedFace:
    """One face in one frame.

    Attributes:
        number: the same while it is followed.
        points: (5, 2) pixels, steadied.
        seen: (5, 2) pixels, as the detector sees them in this frame.
        score: of the detector in [0, 1].
    """

    number: int
    points: FloatArray
    seen: FloatArray
    score: float


@dataclass
class TrackingCounts:
    """What happened so far.

    Attributes:
        frames: how many were given.
        searched: whole-frame detections.
        cuts: cuts of the shot.
        without_face: frames in which no face was found.
    """

    frames: int = 0
    searched: int = 0
    cuts: int = 0
    without_face: int = 0


@dataclass(eq=False)
class _Track:
    """One face that is followed: the last look, the steadied points and the view that the next flow starts from."""

    number: int
    face: Face
    points: FloatArray
    view: UInt8Image | None = None
    matrix: FloatArray = field(default_factory=lambda: np.eye(2, 3))


class FaceTracker:
    """Follows faces through frames that are given in order."""

    def __init__(
        self, *, model: Path, follow: Follow = "largest", every: int = 30, detection_side: int = DETECTION_SIDE
    ) -> None:
        """Open the detector.

        Args:
            model: path of YuNet's ONNX file.
            follow: the face that is largest when it is found, until it is lost, or all.
            every: frames between two searches of the whole frame.
            detection_side: see `DETECTION_SIDE`.

        Raises:
            AssetError: the model can't be read.
            InputError: an argument is out of range.
        """
        if follow not in ("largest", "all") or every < 1 or detection_side < 64:
            raise InputError(
                f"follow is 'largest' or 'all', every at least 1 and detection_side at least 64; got {follow!r}, {every} "
                f"and {detection_side}"
            )
        self.follow, self.every, self.detection_side = follow, every, detection_side
        # Two networks: one network that changes its input size for every call lays out its buffers every time.
        self._search = FaceDetector(model=model, max_side=detection_side, refine=False)
        self._look = FaceDetector(model=model, max_side=LOOK_SIDE, refine=False)
        self.counts = TrackingCounts()
        self._tracks: list[_Track] = []
        self._thumbnail: UInt8Image | None = None
        self._since = 0
        self._named = 0

    def update(self, frame: Frame) -> list[TrackedFace]:
        """The faces of the next frame, largest first when they were found; empty where there are none."""
        self.counts.frames += 1
        if self._cut(frame):
            self.counts.cuts += 1
            self._tracks = []
        self._since += 1
        followed = [track for track in self._tracks if self._step(track, frame)]
        if len(followed) < len(self._tracks) or not followed or self._since >= self.every:
            followed = self._searched(frame, followed)
        self._tracks = followed
        self.counts.without_face += not followed
        return [TrackedFace(number=t.number, points=t.points, seen=t.face.points, score=t.face.score) for t in followed]

    def _cut(self, frame: Frame) -> bool:
        """Whether this frame starts another shot."""
        before, self._thumbnail = self._thumbnail, frame.thumbnail()
        if before is None or before.shape != self._thumbnail.shape:
            return before is not None
        return float(cv2.absdiff(before, self._thumbnail).mean()) > _CUT

    def _searched(self, frame: Frame, followed: list[_Track]) -> list[_Track]:
        """What is followed after a search of the whole frame."""
        self._since = 0
        self.counts.searched += 1
        scale = min(1.0, self.detection_side / max(frame.width, frame.height))
        size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
        factor = np.array([frame.width / size[0], frame.height / size[1]])
        found = [_scaled(face, factor) for face in self._search.detect(frame.small(*size))]
        kept = [track for track in followed if any(_overlap(track.face, face) > _SAME for face in found)]
        fresh = [face for face in found if all(_overlap(track.face, face) <= _SAME for track in kept)]
        if self.follow == "largest":
            if kept:
                return kept[:1]
            fresh = fresh[:1]
        return kept + [track for face in fresh if (track := self._started(face, frame)) is not None]

    def _started(self, face: Face, frame: Frame) -> _Track | None:
        """A new track: looked at twice, since the view of the first look is levelled by coarse points."""
        for _ in range(2):
            offset, region = _around(face.points, face, frame)
            seen = None if region is None else self._look.look(region, _moved(face, -offset), side=LOOK_SIDE)
            if seen is None:
                return None
            face = _moved(seen, offset)
        track = _Track(number=self._named, face=face, points=face.points)
        self._named += 1
        _remember(track, offset, region)
        return track

    def _step(self, track: _Track, frame: Frame) -> bool:
        """Follow one face into the frame; False when it is lost."""
        offset, region = _around(track.points, track.face, frame)
        if region is None:
            return False
        carried = _carried(track, offset, region)
        share, mirrored = LOOKS[self.counts.frames % len(LOOKS)]
        start = _moved(track.face, -offset, points=carried - offset)
        looked = self._look.look(region, start, side=LOOK_SIDE, share=share, mirrored=mirrored)
        if looked is None:
            return False
        track.face = _moved(looked, offset)
        apart = track.face.points - carried
        eyes = max(float(np.linalg.norm(carried[1] - carried[0])), 1e-6)
        distance = float(np.linalg.norm(apart, axis=1).mean()) / eyes
        gain = min(1.0, _GAIN + max(0.0, distance - _NOISE) * 2.5)
        track.points = carried + gain * apart
        _remember(track, offset, region)
        return True


def _carried(track: _Track, offset: FloatArray, region: UInt8Image) -> FloatArray:
    """The points of the last frame moved with the skin, in pixels of the frame; unmoved where the flow fails."""
    if track.view is None:
        return track.points
    now = _grey_view(region, _shifted(track.matrix, offset))
    line = np.linspace(0.25, 0.75, _FLOW_GRID, dtype=np.float32) * _FLOW_SIDE
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 1, 2)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        track.view, now, grid, np.empty_like(grid), winSize=(15, 15), maxLevel=2
    )
    good = status[:, 0] > 0
    if good.sum() < _LEAST_FLOW:
        return track.points
    motion, _ = cv2.estimateAffinePartial2D(grid[good], moved[good], method=cv2.LMEDS)
    if motion is None or not np.isfinite(motion).all():
        return track.points
    in_view = transform_points(motion, transform_points(track.matrix, track.points))
    return transform_points(invert(track.matrix), in_view)


def _remember(track: _Track, offset: FloatArray, region: UInt8Image | None) -> None:
    """Keep the view of this frame that the next flow starts from."""
    if region is None:
        return
    track.matrix = level_view(
        _moved(track.face, np.zeros(2), points=track.points), _FLOW_SIDE * _FLOW_SHARE, _FLOW_SIDE
    )
    track.view = _grey_view(region, _shifted(track.matrix, offset))


def _grey_view(region: UInt8Image, matrix: FloatArray) -> UInt8Image:
    """A small grey view (side, side) of a region."""
    return np.asarray(cv2.cvtColor(quick_view(region, matrix, _FLOW_SIDE), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _shifted(matrix: FloatArray, offset: FloatArray) -> FloatArray:
    """A matrix from frame pixels as one from pixels of a region that starts at `offset`."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ offset])


def _around(points: FloatArray, face: Face, frame: Frame) -> tuple[FloatArray, UInt8Image | None]:
    """The corner and the pixels of the region in which a face is looked for; None where the frame has no such part."""
    reach = _REACH * max(float(face.box[3] - face.box[1]), 8.0)
    centre = points.mean(axis=0)
    low, high = np.floor(centre - reach).astype(int), np.ceil(centre + reach).astype(int)
    box: Box = (
        max(0, int(low[0])),
        max(0, int(low[1])),
        min(frame.width, int(high[0])),
        min(frame.height, int(high[1])),
    )
    offset = np.array(box[:2], dtype=np.float64)
    if box[2] - box[0] < 8 or box[3] - box[1] < 8:
        return offset, None
    return offset, frame.region(box)


def _moved(face: Face, by: FloatArray, *, points: npt.NDArray[np.float64] | None = None) -> Face:
    """A face shifted by (2,) pixels; with `points` it gets these instead of its own shifted ones."""
    shifted = face.points + by if points is None else points
    return Face(box=face.box + np.tile(by, 2), score=face.score, points=shifted)


def _scaled(face: Face, factor: FloatArray) -> Face:
    """A face of a shrunk frame in pixels of the frame."""
    return Face(box=face.box * np.tile(factor, 2), score=face.score, points=(face.points + 0.5) * factor - 0.5)


def _overlap(first: Face, second: Face) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(first.box[:2], second.box[:2]), np.minimum(first.box[2:], second.box[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    return both / max(first.area + second.area - both, 1e-9)
