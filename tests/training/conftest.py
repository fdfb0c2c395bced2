"""Sampled faces in the place of photographs, and an experiment small enough to run in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from mfs_lib.faces.folders import PhotoSet
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.frame import sample_field
from mfs_lib.training import prepare
from mfs_lib.training.config import experiment_from_dict
from mfs_lib.training.prepare import Pools
from mfs_lib.weights.models import load_mesh

WATCHED = 8

TINY: dict[str, Any] = {
    "seed": 3,
    "network": {
        "channels": [4, 8, 8, 8, 8], "mask_channels": [8, 8, 4, 4, 2], "embedding_dim": 128, "feature_channels": 1024,
        "predictor_width": 8, "code_dim": 6, "kernel_base": True,
    },
    "data": {"size": 64, "people": 5, "triplets": 12, "donors": 2, "photos": ["toy"]},
    "batch": {"sampled": 3, "reverse": 1, "free": 1},
    "identity_samples": 2,
    "loss": {"multiscale": 5.0},
    "stages": [{"size": 32, "steps": 4}, {"size": 64, "steps": 4, "loss": {"per": 1.0, "adv": 0.1}}],
    "schedule": {"warm_up": 2, "final_lr": 1.0e-4},
    "clip": 10.0,
}  # fmt: skip


@pytest.fixture(scope="session")
def world() -> MorphableWorld:
    """The shipped world on the CPU."""
    return MorphableWorld.load()


@pytest.fixture(scope="session")
def triangles() -> npt.NDArray[np.int64]:
    """Triangles (T, 3) of the face mesh."""
    found = load_mesh().triangles
    assert isinstance(found, Tensor)
    return np.asarray(found.numpy(), np.int64)


@pytest.fixture(scope="session")
def photos(world: MorphableWorld) -> PhotoSet:
    """Seven crops of 64 px of four sampled people with their landmarks: two of each of the first three, one of the last."""
    generator = torch.Generator().manual_seed(20)
    who = world.sample_identities(4, generator)[[0, 0, 1, 1, 2, 2, 3]]
    how = world.sample_attributes(7, generator, occluded=0, wearers=who)
    sample = world.render(who, how, size=64)
    depth = sample_field(world.model.depth[None, None].expand(7, -1, -1, -1), world.model.landmarks)
    return PhotoSet(
        crops=np.ascontiguousarray((sample.image * 255).round().byte().permute(0, 2, 3, 1).numpy()),
        points=np.zeros((7, 5, 2), np.float32),
        mesh=torch.cat([sample.landmarks, -64 * depth], 2).numpy(),
        inside=np.ones((7, 64, 64), np.bool_),
        names=tuple("abcdefg"),
        people=("a", "a", "b", "b", "c", "c", "d"),
        expressions=("unknown",) * 7,
    )


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch, photos: PhotoSet) -> None:
    """Few watched pairs, and the sampled photographs under the name of every set."""
    monkeypatch.setattr(prepare, "_WATCHED", WATCHED)
    monkeypatch.setattr(prepare, "load_photo_set", lambda name, split, size: photos)


@pytest.fixture(scope="session")
def tiny_pools(photos: PhotoSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pools, Path]:
    """Pools of `TINY` as they were built, and the run's folder that they were written to."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "_WATCHED", WATCHED)
        patch.setattr(prepare, "load_photo_set", lambda name, split, size: photos)
        return prepare.prepare(experiment_from_dict(TINY), folder), folder
