"""Motion: smooth, within its limits, decided by the generator."""

from __future__ import annotations

import numpy as np
import torch

from mfs_lib.faces.morphable.motion import Motion


def test_motion_is_smooth_and_bounded() -> None:
    motion = Motion.sample(torch.Generator().manual_seed(1), 8)
    poses = [motion.at(index / 30) for index in range(600)]
    angles = np.array([pose.angles for pose in poses])
    assert (np.abs(angles) <= [24, 9, 9]).all() and angles[:, 0].std() > 3
    assert np.abs(np.diff(angles, axis=0)).max() < 4
    assert all(0.3 < pose.x < 0.7 and 0.3 < pose.y < 0.5 and 0.7 < pose.nearness < 1.4 for pose in poses)
    talk = np.stack([pose.talk for pose in poses])
    assert talk.shape == (600, 8) and talk.std(axis=0).min() > 0.05


def test_the_generator_decides() -> None:
    first, again, other = (Motion.sample(torch.Generator().manual_seed(seed), 3).at(1.5) for seed in (1, 1, 2))
    assert first.angles == again.angles and np.array_equal(first.talk, again.talk)
    assert first.angles != other.angles
