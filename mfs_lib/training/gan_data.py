"""What teachers learn from: pictures of sampled people, two of each, without any truth; and pairs to watch, with it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.faces.morphable.model import MODEL_FILE
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.runinfo import file_digest
from mfs_lib.training.gan_config import GanExperiment
from mfs_lib.training.pools import describe
from mfs_lib.training.prepare import Watched
from mfs_lib.training.sampled import sampled_pool
from mfs_lib.training.settings import decisive
from mfs_lib.training.shard_faces import pairs_from_shards
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import write_atomically, write_text

WATCHED = 48
"""Pairs of people beside the training data that a run is looked at with."""

WATCH_SEED = 2_000_003

_DESCRIBED = 2048  # pictures at a time: feature maps, which are dropped, take 100 kB each

Same = Literal["person", "picture"]
"""What a reconstructed target's source is: the person's other picture, or the target itself."""


class GanBatch(NamedTuple):
    """Targets (B,3,S,S) in [0,1], identities of the sources (B,E), and where the result must be the target (B,) bool."""

    target: Tensor
    embedding: Tensor
    same: Tensor


@dataclass(frozen=True)
class Faces:
    """Pictures (2P,3,S,S) uint8 of P people (person p is at p and at P + p) and SFace's identities of them (2P,E)."""

    pictures: Tensor
    embedding: Tensor

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self.pictures) // 2

    def sources(self, target: Tensor, same: Tensor, kind: Same, generator: torch.Generator) -> Tensor:
        """For pictures `target` (B,) the source pictures' indices: the same person's where `same`, else a stranger's."""
        people, count = self.people, len(target)
        shift = torch.randint(1, people, (count,), generator=generator)  # never a multiple of all people
        picture = torch.randint(0, 2, (count,), generator=generator)
        stranger = (target % people + shift) % people + people * picture
        own = target if kind == "picture" else (target + people) % (2 * people)
        return torch.where(same, own, stranger)

    def draw(self, same: Tensor, kind: Same, generator: torch.Generator) -> GanBatch:
        """A batch of as many targets as `same` (B,) has entries, each mirrored or not."""
        target = torch.randint(0, 2 * self.people, (len(same),), generator=generator)
        source = self.sources(target, same, kind, generator)
        mirrored = torch.rand((len(same),), generator=generator) < 0.5
        picture = self.pictures[target].float() / 255
        picture = torch.where(mirrored.view(-1, 1, 1, 1), picture.flip(3), picture)
        return GanBatch(picture, self.embedding[source], same)


def _build(experiment: GanExperiment) -> dict[str, list[Tensor]]:
    """Everything that is stored, in plain lists, so that reading it back can run no code."""
    data, sface, processes = experiment.data, load_sface(), os.cpu_count() or 1
    if data.shards:
        pictures = pairs_from_shards(Path(data.shards), pairs=data.people, size=data.size, seed=experiment.seed)
    else:  # Only the people's pictures are wanted: a pool has one triplet at least, which is left.
        pictures = sampled_pool(
            people=data.people, count=1, size=data.size, seed=experiment.seed, processes=processes
        ).sources
    watch = sampled_pool(people=WATCHED, count=WATCHED, size=data.size, seed=WATCH_SEED, processes=processes)
    sources = watch.sources[watch.triplets.source[:, 0]]
    shown = [x.float() / 255 for x in (sources, watch.triplets.target, watch.triplets.truth)]
    identity = describe(sources, sface)
    return {
        "faces": [pictures, torch.cat([describe(part, sface).embedding for part in pictures.split(_DESCRIBED)])],  # type: ignore[no-untyped-call]
        "watch": shown, "watch_identity": [identity.embedding, identity.feature_map.float()],
    }  # fmt: skip


def prepare_faces(experiment: GanExperiment, folder: Path) -> tuple[Faces, Watched]:
    """Pictures of an experiment and pairs to watch; built once, then read from `folder/pools.pt`.

    Raises:
        ConfigError: the folder holds pictures that were made from other settings.
        InputError: the file doesn't hold what it should.
    """
    path, note = folder / "pools.pt", folder / "pools.json"
    made_from = {"seed": experiment.seed, "world": file_digest(MODEL_FILE), "watched": WATCHED}
    settings = json.dumps({**made_from, **decisive(experiment.data)}, sort_keys=True)
    if path.is_file():
        if not note.is_file() or note.read_text("utf-8") != settings:
            raise ConfigError(
                f"{folder} holds pictures of other data settings, seed or face world: choose a new run folder"
            )
    else:
        built = _build(experiment)
        write_text(note, settings)
        write_atomically(path, lambda temporary: torch.save(built, temporary))
    stored = torch.load(path, weights_only=True, mmap=True)
    faces = Faces(*stored["faces"])
    if len(faces.pictures) != 2 * experiment.data.people:
        raise InputError(f"{path} holds other pictures than it says: remove it, and it is made again")
    sources, target, truth = stored["watch"]
    return faces, Watched(sources, target, truth, IdentityFeatures(*stored["watch_identity"]))
