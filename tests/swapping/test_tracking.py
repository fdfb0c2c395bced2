"""Tracking: it stays on the face, steadier than detection, and says when there is none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import transform_points
from mfs_lib.faces.detection import Face, FaceDetector
from mfs_lib.swapping.frames import ArrayFrame
from mfs_lib.swapping.tracking import FaceTracker
from mfs_lib.weights.registry import fetch
from tests.swapping.conftest import ASTRONAUT_POINTS
from tests.swapping.light import moving_frames

Pixels = npt.NDArray[np.uint8]
POINTS = ASTRONAUT_POINTS - [80, 0]  # in the head's picture


def tracker(**options: object) -> FaceTracker:
    return FaceTracker(model=fetch("yunet"), **options)  # type: ignore[arg-type]


def test_it_stays_on_the_face(head: Pixels) -> None:
    follower = tracker()
    frames = moving_frames(head, 20)
    found = [follower.update(ArrayFrame(image)) for image, _ in frames]
    assert all(len(faces) == 1 for faces in found)
    true = np.stack([transform_points(matrix, POINTS) for _, matrix in frames])
    ours = np.stack([faces[0].points for faces in found])
    eyes = np.linalg.norm(true[:, 1] - true[:, 0], axis=1)
    assert (np.linalg.norm(ours - true, axis=2).mean(axis=1) / eyes).max() < 0.15
    assert follower.counts.searched == 1 and follower.counts.frames == 20 and follower.counts.without_face == 0
    assert {faces[0].number for faces in found} == {0}


def test_it_is_steadier_than_detection(head: Pixels) -> None:
    frames = moving_frames(head, 24)
    true = np.stack([transform_points(matrix, POINTS) for _, matrix in frames])
    detector, follower = FaceDetector(model=fetch("yunet"), refine=False), tracker()
    each = np.stack([detector.detect(image)[0].points for image, _ in frames])
    ours = np.stack([follower.update(ArrayFrame(image))[0].points for image, _ in frames])

    def jitter(points: npt.NDArray[np.float64]) -> float:
        return float(np.linalg.norm(np.diff(points - true, axis=0), axis=2).mean())

    assert jitter(ours) < 0.7 * jitter(each)


def test_loss_and_return(head: Pixels) -> None:
    follower, wall = tracker(), np.full((240, 320, 3), 120, np.uint8)
    (first, _), (second, _) = moving_frames(head, 2)
    counts = [len(follower.update(ArrayFrame(image))) for image in (wall, first, second, wall, wall, first)]
    assert counts == [0, 1, 1, 0, 0, 1]
    assert follower.counts.without_face == 3


def test_a_piece_of_wall_taken_for_the_largest_face_is_passed_over(
    head: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, ((image, _),) = tracker(), moving_frames(head, 1)
    wall = Face(
        box=np.array([0.0, 0, 60, 60]),
        score=0.61,
        points=np.array([[10.0, 10], [30, 10], [20, 20], [12, 30], [28, 30]]),
    )
    detect = follower._search.detect
    monkeypatch.setattr(follower._search, "detect", lambda small: [wall, *detect(small)])
    faces = follower.update(ArrayFrame(image))
    assert len(faces) == 1
    assert np.abs(faces[0].points - tracker().update(ArrayFrame(image))[0].points).max() < 1


def test_a_cut_starts_anew(head: Pixels) -> None:
    follower = tracker()
    (first, _), (second, _) = moving_frames(head, 2)
    assert follower.update(ArrayFrame(first))[0].number == 0
    assert follower.update(ArrayFrame(second))[0].number == 0
    other = 255 - np.full_like(first, 30)
    other[60:, 100:] = first[:180, :220]
    assert follower.update(ArrayFrame(other))[0].number == 1
    assert follower.counts.cuts == 1 and follower.counts.searched == 2


def test_the_largest_or_all(head: Pixels) -> None:
    frames = []
    for (small, _), (large, _) in zip(
        moving_frames(head, 3, width=200), moving_frames(head[::1], 3, width=200), strict=True
    ):
        enlarged = np.repeat(np.repeat(large, 2, axis=0), 2, axis=1)
        frames.append(np.hstack([np.vstack([small, small * 0 + 90]), enlarged]))
    one, every = tracker(), tracker(follow="all")
    for image in frames:
        single, both = one.update(ArrayFrame(image)), every.update(ArrayFrame(image))
        assert len(single) == 1 and single[0].points[:, 0].min() > 200
        assert len(both) == 2 and len({face.number for face in both}) == 2


def test_a_face_that_leaves_is_lost(head: Pixels) -> None:
    follower = tracker()
    image, _ = moving_frames(head, 1)[0]
    assert len(follower.update(ArrayFrame(image))) == 1
    for shift in (40, 80, 120, 160, 200):
        moved = np.full_like(image, 120)
        moved[:, : 320 - shift] = image[:, shift:]
        faces = follower.update(ArrayFrame(moved))
    assert faces == []


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match="follow is"):
        tracker(follow="nobody")
    with pytest.raises(InputError, match="at least 1"):
        tracker(every=0)
