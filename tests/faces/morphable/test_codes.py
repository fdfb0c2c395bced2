"""Sampling of people and pictures: a seed decides everything, and angles keep to their ranges."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.codes import MAX_PITCH, MAX_ROLL, MAX_YAW, sample_attributes, sample_identities


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_seed_decides_everything(world: MorphableWorld) -> None:
    first, again, other = (world.sample_identities(5, _generator(seed)).vector() for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.allclose(first, other)
    first, again, other = (world.sample_attributes(5, _generator(seed)).vector() for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.allclose(first, other)


def test_a_slice_of_codes_is_those_people(world: MorphableWorld) -> None:
    people = world.sample_identities(6, _generator(0))
    chosen = people[[4, 1]]
    assert len(chosen) == 2
    assert torch.equal(chosen.vector(), people.vector()[[4, 1]])
    assert torch.equal(chosen.group, people.group[[4, 1]])


def test_angles_fill_their_ranges_and_never_leave_them(world: MorphableWorld) -> None:
    angles = sample_attributes(world.model, 300, _generator(1)).angles
    limits = torch.tensor([MAX_YAW, MAX_PITCH, MAX_ROLL])
    assert (angles.abs() <= limits).all()
    assert (angles.amax(0) > 0.9 * limits).all() and (angles.amin(0) < -0.9 * limits).all()
    assert (angles.mean(0).abs() < 0.1 * limits).all()


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_as_many_are_occluded_as_asked_for(world: MorphableWorld, chance: float) -> None:
    kind = sample_attributes(world.model, 200, _generator(2), occluded=chance).occluder[:, 0]
    assert set(kind.tolist()) <= {0.0, 1.0, 2.0}
    assert (kind > 0).float().mean() == pytest.approx(chance, abs=0.1)
    if chance:
        assert {1.0, 2.0} <= set(kind.tolist())


def test_hair_suits_its_wearer(world: MorphableWorld) -> None:
    people = world.sample_identities(60, _generator(5))
    surround = world.sample_attributes(60, _generator(6), wearers=people).surround
    owner = torch.cdist(surround, world.model.surround_codes).argmin(1)
    assert torch.equal(world.model.group[owner], people.group)


def test_spread_makes_people_more_distinct(world: MorphableWorld) -> None:
    narrow, wide = (sample_identities(world.model, 50, _generator(7), spread=s) for s in (0.5, 1.5))
    torch.testing.assert_close(wide.shape, narrow.shape * 3)
    assert wide.texture.std() > 1.4 * narrow.texture.std()
