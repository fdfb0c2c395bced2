"""Clips: repeatable, in motion, with a swap that changes the face and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mfs_lib.errors import InputError
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.clips import Clip, read_photograph
from mfs_lib.weights.models import load_detector


@pytest.fixture(scope="module")
def clip(world: MorphableWorld) -> Clip:
    """A small clip of the size that the tests need, before a plain photograph."""
    y, x = np.mgrid[0:90, 0:160]
    photograph = np.dstack([x, y * 2, 255 - x]).astype(np.uint8)
    return Clip(world, seed=4, frames=30, width=640, height=360, background=photograph)


def test_a_seed_decides_every_bit_in_any_order(world: MorphableWorld, clip: Clip) -> None:
    again = Clip(world, seed=4, frames=5, width=640, height=360, background=np.full((8, 8, 3), 90, np.uint8))
    first = clip.frame(3)
    assert first.image.shape == (360, 640, 3) and first.image.dtype == np.uint8
    assert np.array_equal(first.image, clip.frame(3).image)
    assert np.array_equal(first.points, again.frame(3).points)  # the background changes nobody
    other = Clip(world, seed=5, frames=5, width=640, height=360)
    assert np.abs(first.image.astype(int) - other.frame(3).image).mean() > 5


def test_frames_move_smoothly(clip: Clip) -> None:
    points = np.stack([clip.frame(index).points for index in (0, 1, 2, 20)])
    steps = np.abs(np.diff(points[:3], axis=0)).max()
    assert 0 < steps < 12
    assert np.abs(points[3] - points[0]).max() > 2
    assert clip.frame(0).pose != clip.frame(20).pose


def test_the_exact_swap_changes_the_face_alone(clip: Clip) -> None:
    own, swapped = clip.frame(10), clip.frame(10, clip.sample_identity(77))
    change = np.abs(own.image.astype(int) - swapped.image.astype(int)).max(axis=2)
    inside = np.maximum(own.face_mask, swapped.face_mask)
    assert change[own.face_mask > 0.99].mean() > 6
    reach = cv2.dilate(inside, np.ones((25, 25), np.uint8))
    assert change[reach == 0].max() <= 1 and change[reach == 0].mean() < 1e-3  # light on skin is smoothed: a last bit
    assert own.pose == swapped.pose


def test_points_are_where_the_detector_sees_them(clip: Clip) -> None:
    frame = clip.frame(0)
    found = load_detector(refine=False).detect(frame.image)
    assert len(found) == 1
    eyes = np.linalg.norm(frame.points[1] - frame.points[0])
    assert np.linalg.norm(found[0].points - frame.points, axis=1).mean() < 0.12 * eyes
    low, high = frame.landmarks.min(axis=0), frame.landmarks.max(axis=0)
    assert (low < frame.points.min(axis=0)).all() and (high > frame.points.max(axis=0)).all()
    assert 0.2 * 360 < high[1] - low[1] < 0.5 * 360


def test_bad_requests_are_refused(world: MorphableWorld, clip: Clip, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="even sides"):
        Clip(world, seed=0, frames=1, width=641, height=360)
    with pytest.raises(InputError, match="at least one frame"):
        Clip(world, seed=0, frames=0)
    with pytest.raises(InputError, match="frames 0 to 29"):
        clip.frame(30)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a readable picture"):
        read_photograph(broken)
