"""Following faces through a video: detection now and then, in between one small look and the motion of the skin.

Per frame and face, about four milliseconds on one core:

1. *Motion.* Sparse optical flow (Lucas and Kanade 1981, pyramids after Bouguet) between two small level views of the
   face, in this frame and the last, and the similarity that fits it best (least median of squares). It carries the
   five points over: smooth, without lag, but drifting.
2. *Place.* One look of YuNet at a level view (`FaceDetector.look`), mirrored in every other frame: free of drift, but every
   frame errs anew.
3. *Both.* x = x' + g (z - x') with the carried points x' and the seen points z, the mean of the last two looks. The gain g
   is small while the two agree within the detector's own noise and grows to 1 where they don't: a complementary filter.

On three clips of the face world (90 frames each, 1920 x 1080, in percent of the distance between the eyes, of the
similarity that the points give): jitter is the mean change of the error from frame to frame, flutter half its second
difference.

| points                                       | jitter       | flutter      | behind, frames |
|----------------------------------------------|--------------|--------------|----------------|
| one detection a frame at 640 pixels          | 2.6 to 2.8   | 2.0          | -0.1 to 0.2    |
| six more looks at each (`refine`), 20 times the cost | 0.9 to 1.3 | 0.7 to 1.1 | 0.0 to 0.1   |
| looks through a one-euro filter (Casiez and others 2012) | 1.2 to 1.7 | not measured | 0.2 to 0.6 |
| this                                         | 0.8 to 1.0   | 0.3 to 0.5   | 0.2 to 0.4     |

The whole frame is searched when nothing is followed, after a cut of the shot, when a look fails, and every `every`
frames, where it confirms that what is followed still is a face.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import FloatArray, invert, transform_points
from mfs_lib.faces.detection import Face, FaceDetector, level_view, quick_view
from mfs_lib.swapping.frames import Frame, UInt8Image
from mfs_lib.swapping.paste import Box

Follow = Literal["largest", "all"]

DETECTION_SIDE = 480
"""The whole frame is searched at this many pixels along its longer side (12 MB of memory; 640 takes 22)."""

LOOK_SIDE = 192
LOOKS = ((0.6, False), (0.6, True))
"""Shares of the view that the face is high, and whether mirrored, in turns: the filter averages what the detector does
differently on the left and on the right, and at another place of its grid."""

_FLOW_SIDE = 128
_FLOW_SHARE = 0.6  # of the flow's view that the face is high
_FLOW_GRID = 6
_LEAST_FLOW = 8  # points that the flow must have followed

_GAIN = 0.3
_NOISE = 0.12
"""Distance between carried and seen points, in eye distances, up to which the gain stays small."""

_CUT = 28.0
"""Mean change of sparse pixels, in grey levels, that is a cut of the shot."""

_SAME = 0.3  # overlap (intersection over union) of one face in two detections
_LARGE = 1.3  # from this height of its box, in sides of the look, a face is followed at half resolution
_REACH = 1.25  # half side of the region around a face that is looked at, in heights of its box


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
    """One face that is followed: the last look, the steadied points, what still parts the two, the next flow's view."""

    number: int
    face: Face
    points: FloatArray
    rest: FloatArray = field(default_factory=lambda: np.zeros((5, 2)))
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
        # What the search takes for a face may be a piece of wall; a second look tells, and then the next one counts.
        started = (track for face in fresh if (track := self._started(face, frame)) is not None)
        if self.follow == "largest":
            return kept[:1] or list(itertools.islice(started, 1))
        return [*kept, *started]

    def _started(self, face: Face, frame: Frame) -> _Track | None:
        """A new track: looked at twice, since the view of the first look is levelled by coarse points."""
        surroundings: _Surroundings | None = None
        for _ in range(2):
            surroundings = _Surroundings.of(face.points, face, frame)
            seen = None if surroundings is None else self._seen(surroundings, face, (0.6, False))
            if seen is None:
                return None
            face = seen
        track = _Track(number=self._named, face=face, points=face.points)
        self._named += 1
        if surroundings is not None:
            _remember(track, surroundings)
        return track

    def _step(self, track: _Track, frame: Frame) -> bool:
        """Follow one face into the frame; False when it is lost."""
        surroundings = _Surroundings.of(track.points, track.face, frame)
        if surroundings is None:
            return False
        carried = _carried(track, surroundings)
        start = Face(box=track.face.box, score=track.face.score, points=carried)
        seen = self._seen(surroundings, start, LOOKS[self.counts.frames % len(LOOKS)])
        if seen is None:
            return False
        track.face = seen
        apart = seen.points - carried
        eyes = max(float(np.linalg.norm(carried[1] - carried[0])), 1e-6)
        distance = float(np.linalg.norm(apart, axis=1).mean()) / eyes
        gain = min(1.0, _GAIN + max(0.0, distance - _NOISE) * 2.5)
        # Two looks in turn err to different sides: their mean is followed, unless the face has moved away from both.
        wanted = apart if gain > 0.5 else (apart + track.rest) / 2
        track.points = carried + gain * wanted
        track.rest = apart - gain * wanted
        _remember(track, surroundings)
        return True

    def _seen(self, surroundings: _Surroundings, face: Face, look: tuple[float, bool]) -> Face | None:
        """One look at a face of the frame; all in pixels of the frame."""
        share, mirrored = look
        start = surroundings.inside(face)
        seen = self._look.look(surroundings.pixels, start, side=LOOK_SIDE, share=share, mirrored=mirrored)
        return None if seen is None else surroundings.outside(seen)


@dataclass(frozen=True, eq=False)
class _Surroundings:
    """The part of a frame in which a face is looked for, at half resolution when the face is large.

    Attributes:
        pixels: (h, w, 3) RGB.
        matrix: (2, 3), frame pixels to pixels of the part.
    """

    pixels: UInt8Image
    matrix: FloatArray

    @classmethod
    def of(cls, points: FloatArray, face: Face, frame: Frame) -> _Surroundings | None:
        """Around the points of a face; None where the frame has no such part."""
        tall = max(float(face.box[3] - face.box[1]), 8.0)
        centre = points.mean(axis=0)
        low = np.clip(np.floor(centre - _REACH * tall).astype(int), 0, None) // 2 * 2
        limit = np.array([frame.width, frame.height])
        high = np.minimum(np.ceil(centre + _REACH * tall).astype(int), limit)
        if (high - low < 16).any():
            return None
        halving = tall >= _LARGE * LOOK_SIDE
        if halving:
            high = high // 2 * 2
        box: Box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        scale = 0.5 if halving else 1.0
        # Coarse pixel i covers fine pixels 2 i and 2 i + 1: its centre is at 2 i + 0.5.
        shift = -scale * (low + (0.5 if halving else 0.0))
        return cls(frame.half(box) if halving else frame.region(box), np.column_stack([scale * np.eye(2), shift]))

    def inside(self, face: Face) -> Face:
        """A face of the frame in pixels of the part."""
        return _mapped(face, self.matrix)

    def outside(self, face: Face) -> Face:
        """A face of the part in pixels of the frame."""
        return _mapped(face, invert(self.matrix))

    def grey(self, matrix: FloatArray) -> UInt8Image:
        """A small grey view, whose matrix (2, 3) is from frame pixels."""
        linear = matrix[:, :2] @ np.linalg.inv(self.matrix[:, :2])
        own = np.column_stack([linear, matrix[:, 2] - linear @ self.matrix[:, 2]])
        return np.asarray(cv2.cvtColor(quick_view(self.pixels, own, _FLOW_SIDE), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _carried(track: _Track, surroundings: _Surroundings) -> FloatArray:
    """The points of the last frame moved with the skin, in pixels of the frame; unmoved where the flow fails."""
    if track.view is None:
        return track.points
    now = surroundings.grey(track.matrix)
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


def _remember(track: _Track, surroundings: _Surroundings) -> None:
    """Keep the view of this frame that the next flow starts from."""
    face = Face(box=track.face.box, score=track.face.score, points=track.points)
    track.matrix = level_view(face, _FLOW_SIDE * _FLOW_SHARE, _FLOW_SIDE)
    track.view = surroundings.grey(track.matrix)


def _mapped(face: Face, matrix: FloatArray) -> Face:
    """A face under a map (2, 3) that only scales and shifts."""
    box = transform_points(matrix, face.box.reshape(2, 2)).ravel()
    return Face(box=box, score=face.score, points=transform_points(matrix, face.points))


def _scaled(face: Face, factor: FloatArray) -> Face:
    """A face of a shrunk frame in pixels of the frame."""
    return _mapped(face, np.column_stack([np.diag(factor), (factor - 1) / 2]))


def _overlap(first: Face, second: Face) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(first.box[:2], second.box[:2]), np.minimum(first.box[2:], second.box[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    return both / max(first.area + second.area - both, 1e-9)
