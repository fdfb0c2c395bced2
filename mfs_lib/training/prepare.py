"""Builds the pools of an experiment, once for a run folder: a resumed run reads them back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import ConfigError
from mfs_lib.faces.folders import PhotoSet, load_photo_set
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.training.config import StudentExperiment
from mfs_lib.training.pools import (
    IdentityBank,
    Triplets,
    describe,
    photo_sources,
    reverse_triplets,
    sampled_triplets,
)
from mfs_lib.weights.models import load_mesh, load_sface

_WATCHED = 48
_WATCH_SEED = 1_000_003


@dataclass(frozen=True)
class Watched:
    """Sampled pairs beside the training data, looked at while training runs."""

    sources: Tensor  # (B, 3, S, S) in [0, 1]
    target: Tensor
    truth: Tensor
    source: IdentityFeatures

    def at(self, size: int) -> Watched:
        """The same pairs at another resolution."""
        if size == self.target.shape[-1]:
            return self
        pictures = (self.sources, self.target, self.truth)
        sources, target, truth = (F.interpolate(x, size=(size, size), mode="area") for x in pictures)
        return Watched(sources, target, truth, self.source)


@dataclass(frozen=True)
class Pools:
    """All that a trainer draws from."""

    sampled: Triplets
    reverse: Triplets | None
    bank: IdentityBank
    watch: Watched


def _watch(world: MorphableWorld, size: int) -> Watched:
    generator = torch.Generator().manual_seed(_WATCH_SEED)
    sources, targets = world.sample(_WATCHED, generator, size=size), world.sample(_WATCHED, generator, size=size)
    truth = world.swap(identity_of=sources, attributes_of=targets).image
    bank = describe((sources.image * 255).round().to(torch.uint8), load_sface())
    return Watched(sources.image, targets.image, truth, bank[torch.arange(_WATCHED)])


def _photographs(experiment: StudentExperiment) -> tuple[list[Triplets], list[Tensor]]:
    """Reverse triplets and sources of the experiment's photographs; source indices count within their own set."""
    triangles = load_mesh().triangles
    assert isinstance(triangles, Tensor)
    pools, sources = [], []
    for name in experiment.data.photos:
        photos: PhotoSet = load_photo_set(name, "train", experiment.data.size)
        generator = np.random.default_rng(experiment.seed)
        pools.append(reverse_triplets(photos, triangles.numpy(), donors=experiment.data.donors, generator=generator))
        sources.append(photo_sources(photos))
    return pools, sources


def _joined(pools: list[Triplets], sizes: list[int], offset: int) -> Triplets | None:
    """Triplets of several sets, their source indices shifted to the joint bank."""
    if not pools:
        return None
    shifted = []
    for pool, size in zip(pools, sizes, strict=True):
        shifted.append(pool.source + offset)
        offset += size
    target, truth, mask = (torch.cat([getattr(p, name) for p in pools]) for name in ("target", "truth", "mask"))
    return Triplets(target, truth, mask, torch.cat(shifted))


def prepare(experiment: StudentExperiment, folder: Path) -> Pools:
    """Pools of an experiment; built once, then read from `folder/pools.pt`.

    Raises:
        ConfigError: the folder holds pools that were built from other settings.
    """
    path = folder / "pools.pt"
    settings = json.dumps({"seed": experiment.seed, **asdict(experiment.data)}, sort_keys=True)
    note = folder / "pools.json"
    world = MorphableWorld.load()
    watch = _watch(world, experiment.data.size)
    if path.is_file():
        if not note.is_file() or note.read_text() != settings:
            raise ConfigError(f"{folder} holds pools of other data settings or another seed: choose a new run folder")
        sampled, reverse, bank = torch.load(path, weights_only=True, mmap=True)
        joined = Triplets(*reverse) if reverse is not None else None
        return Pools(Triplets(*sampled), joined, IdentityBank(*bank), watch)
    generator = torch.Generator().manual_seed(experiment.seed)
    data = experiment.data
    triplets, sources = sampled_triplets(
        world, people=data.people, count=data.triplets, size=data.size, generator=generator
    )
    photos, pictures = _photographs(experiment)
    bank = describe(torch.cat([sources, *pictures]), load_sface())
    joint = _joined(photos, [len(p) for p in pictures], len(sources))
    folder.mkdir(parents=True, exist_ok=True)
    fields = [[x.target, x.truth, x.mask, x.source] if x is not None else None for x in (triplets, joint)]
    partial = folder / "pools.partial"
    torch.save([*fields, [bank.embedding, bank.feature_map]], partial)
    note.write_text(settings)
    partial.replace(path)
    return Pools(triplets, joint, bank, watch)
