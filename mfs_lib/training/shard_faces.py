"""Photographs from shards of crops, two of each person, for a teacher to learn from (`data: {shards: DIR}`)."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.errors import ConfigError
from mfs_lib.faces.shard_reader import Crop, read_index, read_shard


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
