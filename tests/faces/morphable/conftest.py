"""The face world that ships with the package, and a few of its pictures, made once."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from mfs_lib.faces.morphable import MorphableWorld, WorldSample

PAIRS = 40


class Pairs(NamedTuple):
    """People (`source`), other pictures (`target`) and the exact swaps of the first onto the second (`truth`)."""

    source: WorldSample
    target: WorldSample
    truth: WorldSample


@pytest.fixture(scope="session")
def world() -> MorphableWorld:
    """The shipped world on the CPU."""
    return MorphableWorld.load()


@pytest.fixture(scope="session")
def pairs(world: MorphableWorld) -> Pairs:
    """Pictures of 128 px with all the world's variety: pose, light, occluders, camera flaws."""
    generator = torch.Generator().manual_seed(11)
    source, target = world.sample(PAIRS, generator, size=128), world.sample(PAIRS, generator, size=128)
    return Pairs(source, target, world.swap(identity_of=source, attributes_of=target))
