"""The people of the page: the same each time, all different, each with a face that can be found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfs_lib.deploy.browser_people import PEOPLE, PICTURE_SIDE, PICTURES, PORTRAIT_SIDE, picture, portraits
from mfs_lib.faces.identity import identity_of
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.weights.models import load_detector


@pytest.fixture(scope="module")
def world() -> MorphableWorld:
    return MorphableWorld.load()


def test_people_are_unlike_one_another(world: MorphableWorld) -> None:
    crops = torch.cat([portraits(world, person, crop_size=128)[0] for person in PEOPLE])
    embedding = identity_of(crops).embedding
    alike = embedding @ embedding.T - torch.eye(len(PEOPLE))
    assert alike.max() < 0.5


def test_portraits_are_the_same_each_time(world: MorphableWorld) -> None:
    one, other = (portraits(world, PEOPLE[0], crop_size=128) for _ in range(2))
    assert torch.equal(one[1], other[1])
    assert one[0].shape == (1, 3, 128, 128) and one[1].shape == (1, 3, PORTRAIT_SIDE, PORTRAIT_SIDE)


def test_every_picture_shows_one_face(world: MorphableWorld) -> None:
    detector = load_detector(refine=False)
    images = [portraits(world, person, crop_size=128)[1] for person in PEOPLE]
    images += [picture(world, target).image for target in PICTURES]
    assert images[-1].shape[-1] == PICTURE_SIDE
    for image in images:
        pixels = (image[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
        assert len(detector.detect(np.ascontiguousarray(pixels))) == 1
