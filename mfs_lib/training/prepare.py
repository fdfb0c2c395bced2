"""Builds the pools of an experiment, once for a run folder: a resumed run reads them back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfs_lib.errors import ConfigError
from mfs_lib.faces.folders import PhotoSet, load_photo_set
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.model import MODEL_FILE
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.sface import SFace
from mfs_lib.runinfo import file_digest
from mfs_lib.threads import torch_threads
from mfs_lib.training.config import StudentExperiment
from mfs_lib.training.pools import (
    IdentityBank,
    Triplets,
    describe,
    photo_sources,
    reverse_triplets,
)
from mfs_lib.training.sampled import SampledPool, sampled_people, sampled_pool, to_uint8
from mfs_lib.training.settings import decisive
from mfs_lib.training.shard_faces import pairs_from_shards, shard_pool
from mfs_lib.training.taught import apply_teacher
from mfs_lib.weights.models import load_mesh, load_sface
from mfs_lib.weights.safe_io import write_atomically, write_text

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
        sources, target, truth = (resized(x, size) for x in (self.sources, self.target, self.truth))
        return Watched(sources, target, truth, self.source)


@dataclass(frozen=True)
class Pools:
    """All that a trainer draws from."""

    sampled: Triplets
    reverse: Triplets | None
    bank: IdentityBank
    codes: Tensor  # (K, D) identity codes of the bank's first K pictures: those of sampled people
    watch: Watched


def _watch(size: int, sface: SFace) -> Watched:
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(_WATCH_SEED)
    sources, targets = world.sample(_WATCHED, generator, size=size), world.sample(_WATCHED, generator, size=size)
    truth = world.swap(identity_of=sources, attributes_of=targets).image
    bank = describe(to_uint8(sources.image), sface)
    return Watched(sources.image, targets.image, truth, bank[torch.arange(_WATCHED)])


def _photographs(experiment: StudentExperiment) -> tuple[list[Triplets], list[Tensor]]:
    """Reverse triplets and sources of the experiment's photographs; source indices count within their own set."""
    triangles = load_mesh().triangles
    assert isinstance(triangles, Tensor)
    pools, sources = [], []
    for name in experiment.data.photos:
        photos: PhotoSet = load_photo_set(name, "train", experiment.data.size)
        generator = np.random.default_rng(_seed(experiment))
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


def _build(experiment: StudentExperiment) -> dict[str, object]:
    """Everything that is stored: tensors in plain lists, so that reading them back can run no code."""
    data, sface = experiment.data, load_sface()
    pool = _pool(experiment)
    photos, pictures = _photographs(experiment)
    joint = _joined(photos, [len(p) for p in pictures], len(pool.sources))
    bank, watch = describe(torch.cat([pool.sources, *pictures]), sface), _watch(data.size, sface)
    return {
        "sampled": _fields(pool.triplets), "reverse": _fields(joint) if joint else [],
        "bank": [bank.embedding, bank.feature_map], "codes": pool.codes,
        "watch": [watch.sources, watch.target, watch.truth], "watch_identity": [*watch.source],
    }  # fmt: skip


def _pool(experiment: StudentExperiment) -> SampledPool:
    """Triplets of sampled people, or of photographs in shards."""
    data, seed = experiment.data, _seed(experiment)
    if data.shards:
        return shard_pool(Path(data.shards), people=data.people, count=data.triplets, size=data.size, seed=seed)
    return sampled_pool(
        people=data.people, count=data.triplets, size=data.size, seed=seed, processes=os.cpu_count() or 1
    )


def _sources(experiment: StudentExperiment) -> Tensor:
    """The sources of the `_pool`, made again."""
    data, seed = experiment.data, _seed(experiment)
    if data.shards:
        return pairs_from_shards(Path(data.shards), pairs=data.people, size=data.size, seed=seed)
    return sampled_people(people=data.people, size=data.size, seed=seed, processes=os.cpu_count() or 1)


def _fields(triplets: Triplets) -> list[Tensor]:
    return [triplets.target, triplets.truth, triplets.mask, triplets.source]


def _seed(experiment: StudentExperiment) -> int:
    return experiment.seed if experiment.data.seed is None else experiment.data.seed


def prepare(experiment: StudentExperiment, folder: Path) -> Pools:
    """Pools of an experiment, with its teacher's swaps; built once, then read from `folder`.

    Raises:
        ConfigError: the folder holds pools that were built from other settings.
        AssetError: a file of the teacher is missing or is none.
    """
    path = folder / "pools.pt"
    settings = json.dumps(
        {**decisive(experiment.data), "seed": _seed(experiment), "world": file_digest(MODEL_FILE)}, sort_keys=True
    )
    note = folder / "pools.json"
    if path.is_file():
        if not note.is_file() or note.read_text() != settings:
            raise ConfigError(
                f"{folder} holds pools of other data settings, seed or face world: choose a new run folder"
            )
    else:
        with torch_threads(1):
            built = _build(experiment)
        write_text(note, settings)
        write_atomically(path, lambda temporary: torch.save(built, temporary))
    stored = torch.load(path, weights_only=True, mmap=True)
    reverse = Triplets(*stored["reverse"]) if stored["reverse"] else None
    sources, target, truth = stored["watch"]
    watch = Watched(sources, target, truth, IdentityFeatures(*stored["watch_identity"]))
    bank = IdentityBank(*stored["bank"])
    with torch_threads(1):  # the last bits of identities depend on it, and with them whole runs
        sampled = apply_teacher(
            Triplets(*stored["sampled"]), bank, experiment.teacher, experiment.reweighting, folder=folder,
            sources=lambda: _sources(experiment),
        )  # fmt: skip
    return Pools(sampled, reverse, bank, stored["codes"], watch)
