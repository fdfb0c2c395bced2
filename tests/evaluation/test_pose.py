"""The mesh's pose sees how far a head was turned."""

from __future__ import annotations

import torch

from mfs_lib.evaluation.pose import pose_errors
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.weights.models import load_mesh


def test_pose_error_sees_a_turned_head() -> None:
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(8)
    who = world.sample_identities(4, generator)
    how = world.sample_attributes(4, generator, occluded=0)
    frontal = type(how)(**{**how.__dict__, "angles": torch.zeros(4, 3)})
    turned = type(how)(**{**how.__dict__, "angles": torch.tensor([[20.0, 0, 0]] * 4)})
    size = 192
    errors = pose_errors(
        world.render(who, turned, size=size).image, world.render(who, frontal, size=size).image, load_mesh()
    )
    assert abs(errors[:, 0].mean() - 20) < 6  # yaw
    assert errors[:, 2].mean() < 6  # roll is aligned away
