"""Photographs from shards of crops, two of each person, for teachers and students to learn from (`data: {shards: DIR}`)."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.errors import ConfigError
from mfs_lib.faces.mesh import crop_landmarks
from mfs_lib.faces.morphable.parallel import chunk_generator
from mfs_lib.faces.shard_reader import Crop, read_index, read_shard
from mfs_lib.training.pools import Triplets
from mfs_lib.training.sampled import SampledPool
from mfs_lib.training.warp_swap import face_map, full_mask
from mfs_lib.weights.models import default_mesh


def pairs_from_shards(folder: Path, *, pairs: int, size: int, seed: int) -> Tensor:
    """Pictures (2P, 3, S, S) uint8: picture p and picture P + p show the same person.

    A person who has many photographs gives several pairs. Which are taken depends on the seed. They are held in memory
    while they are gathered: 300 kB a pair at 224 pixels.

    Raises:
        ConfigError: crops of another size, or fewer pairs of the same person than wanted.
        InputError: no finished shards, or damaged ones.
    """
    index = read_index(folder)
    if index.size != size:
        raise ConfigError(f"{folder} holds crops of {index.size} pixels, the experiment wants {size}")
    names = [name for name, _ in index.shards]
    random.Random(seed).shuffle(names)
    pictures, waiting, found = torch.empty(2 * pairs, 3, size, size, dtype=torch.uint8), dict[str, Crop](), 0
    for name in names:
        for crop in read_shard(folder / name, index):
            other = waiting.pop(crop.person, None)
            if other is None:
                waiting[crop.person] = crop
                continue
            for place, one in ((found, other), (pairs + found, crop)):
                pictures[place] = torch.from_numpy(one.picture.copy()).permute(2, 0, 1)
            found += 1
            if found == pairs:
                return pictures
    raise ConfigError(f"{folder} holds {found} pairs of photographs of the same person, the experiment wants {pairs}")


def shard_pool(folder: Path, *, people: int, count: int, size: int, seed: int) -> SampledPool:
    """As `sampled_pool`, of photographs: `count` targets, each with one of `people` pairs to be put onto it.

    The exact swap of photographs isn't known. The target stands in its place, for a teacher to replace, and the pool has
    no identity codes. Where somebody gives several pairs, a target can be of its own source's person.

    Raises:
        ConfigError, InputError: as `pairs_from_shards`.
    """
    sources = pairs_from_shards(folder, pairs=people, size=size, seed=seed)
    generator = chunk_generator(seed, "owners", 0)
    shown = torch.randint(0, 2 * people, (count,), generator=generator)
    who = (shown + torch.randint(1, people, (count,), generator=generator)) % people  # never of the target's own pair
    target = sources[shown]
    triplets = Triplets(target, target, _face_masks(target), torch.stack([who, who + people], 1))
    return SampledPool(triplets, sources, torch.empty(2 * people, 0))


def _face_masks(crops: Tensor) -> Tensor:
    """Where the landmarks see the face: (N,1,S,S) uint8 of crops (N,3,S,S) uint8."""
    mesh = default_mesh()
    triangles = mesh.triangles
    assert isinstance(triangles, Tensor)
    masks = torch.empty((len(crops), 1, *crops.shape[2:]), dtype=torch.uint8)
    for i in tqdm(range(len(crops)), desc="masks"):
        landmarks = crop_landmarks(crops[i].permute(1, 2, 0).contiguous().numpy(), mesh)
        masks[i, 0] = torch.from_numpy(full_mask(face_map(landmarks, triangles.numpy(), crops.shape[3])))
    return masks
