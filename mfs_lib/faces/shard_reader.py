"""Crops from tar shards, in an order that a seed decides; `mfs_lib.faces.shards` writes them.

    crops = ShardedCrops(Path("crops"), seed=0)
    for crop in crops: ...                                      # an epoch; crops.at_epoch(1) is the next
    DataLoader(crops, batch_size=None, num_workers=4)           # its workers, and torchrun's processes, share the shards

| file           | holds                                                                                                |
|----------------|------------------------------------------------------------------------------------------------------|
| shards.json    | the crops' side, the shards' names and how many crops each has; a folder without it is unfinished     |
| crops-N.tar    | KEY.json and KEY.png (or .jpg) of each crop                                                           |
| KEY.json       | name of the photograph, person, five points in crop pixels, distance of the eyes in the photograph    |

This is WebDataset's layout, and that library splits and shuffles. Its reading of archives isn't used: it decodes members by
their suffix (.pyd, .pickle and .pth by unpickling, which runs what they say), unpacks .gz whatever its size, and opens
addresses such as ``pipe:`` by a shell. Here a shard is a plain tar file of the folder, and only regular members of the three
kinds above are read, none above a size; a shard with anything else in it is refused.
"""

from __future__ import annotations

import io
import json
import re
import struct
import tarfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import webdataset
from PIL import Image as PillowImage
from torch.utils.data import IterableDataset
from webdataset.utils import pytorch_worker_info

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.runinfo import file_digest

INDEX = "shards.json"
PICTURES = ("png", "jpg")
"""Suffixes that a crop can have."""

_LARGEST = {"json": 2**14, **dict.fromkeys(PICTURES, 2**25)}
_SHARD_NAME = re.compile(r"[0-9A-Za-z_-]+\.tar")
_MEMBER_NAME = re.compile(r"([0-9A-Za-z_-]{1,64})\.(json|png|jpg)")


@dataclass(frozen=True, eq=False)
class Crop:
    """An aligned crop.

    Attributes:
        name: of the photograph, within its folder.
        person: who is shown.
        picture: (S, S, 3) uint8 RGB.
        points: (5, 2) float32, the five landmarks in crop pixels.
        eye_distance: in pixels of the photograph; None where the photograph was a crop already.
    """

    name: str
    person: str
    picture: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    eye_distance: float | None


@dataclass(frozen=True)
class ShardIndex:
    """What `shards.json` says: the crops' side, and (name, number of crops) of each shard."""

    size: int
    shards: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        """Crops of all shards."""
        return sum(count for _, count in self.shards)


def read_index(folder: Path) -> ShardIndex:
    """The index of a folder of shards.

    Raises:
        InputError: there is none, or it isn't one.
    """
    path = folder / INDEX
    try:
        values = json.loads(path.read_text("utf-8"))
        shards = tuple((str(shard["name"]), int(shard["count"])) for shard in values["shards"])
        index = ShardIndex(int(values["size"]), shards)
    except OSError as error:
        raise InputError(
            f"{folder} holds no finished shards: there is no {INDEX} (python -m mfs_lib.faces.shards writes them)"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no index of shards ({error!r}): write them again") from error
    if wrong := [name for name, count in shards if not _SHARD_NAME.fullmatch(name) or count < 1]:
        raise InputError(f"{path} lists {wrong[0]!r}, which is no shard of crops")
    if not shards or index.size < 1:
        raise InputError(f"{path} lists no crops")
    return index


def shards_digest(folder: Path) -> str:
    """SHA-256 of a folder's index, which tells shards apart wherever they lie; InputError for unfinished ones."""
    read_index(folder)
    return file_digest(folder / INDEX)


def read_shard(path: Path, index: ShardIndex, damaged: list[str] | None = None) -> Iterator[Crop]:
    """The crops of one shard, in its order.

    Damaged ones are added to `damaged`, or end the reading where there is no such list.

    Raises:
        InputError: a damaged crop, or anything in the shard that is no crop at all.
    """
    expected, found = dict(index.shards)[path.name], 0
    for key, parts in _samples(path, damaged):
        found += 1
        try:
            crop = _decode(parts, index.size)
        except InputError as error:
            _report(f"{path.name}: crop {key}: {error}", damaged)
            continue
        yield crop
    if found != expected:
        _report(f"{path.name} holds {found} crops where {expected} were written", damaged)


def _report(problem: str, damaged: list[str] | None) -> None:
    if damaged is None:
        raise InputError(f"{problem}. Write the shards again, or read on without what is damaged.")
    damaged.append(problem)


def _samples(path: Path, damaged: list[str] | None) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Members that follow one another and share a key, by their suffix; what is too large is left out."""
    key, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(path, "r:") as tar:  # plain: nothing is unpacked
            for member in tar:
                match = _MEMBER_NAME.fullmatch(member.name)
                if match is None or not member.isreg():
                    raise InputError(f"{path.name} holds {member.name!r}: that is no crop, and such a shard isn't read")
                if match[1] != key and parts:
                    yield key, parts
                    parts = {}
                key = match[1]
                stream = tar.extractfile(member)
                parts[match[2]] = b"" if stream is None or member.size > _LARGEST[match[2]] else stream.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        _report(f"{path.name} can't be read to its end ({error})", damaged)
    if parts:
        yield key, parts


def _decode(parts: dict[str, bytes], size: int) -> Crop:
    """A crop from its members.

    Raises:
        InputError: something is missing, broken or of another size.
    """
    suffixes = sorted(set(parts) - {"json"})
    if "json" not in parts or len(suffixes) != 1:
        raise InputError(f"a crop is one picture and one .json, not {sorted(parts)}")
    try:
        about = json.loads(parts["json"])
        name, person, distance = about["name"], about["person"], about["eye_distance"]
        points = np.asarray(about["points"], np.float32)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"its .json can't be read ({error!r})") from error
    known = isinstance(name, str) and isinstance(person, str) and isinstance(distance, float | int | None)
    if not known or points.shape != (5, 2) or not np.isfinite(points).all():
        raise InputError("its .json doesn't say what it should")
    return Crop(name, person, _picture(parts[suffixes[0]], size), points, distance)


def _picture(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    try:
        with PillowImage.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.size != (size, size):  # known before a pixel is decoded
                raise InputError(f"its picture has {image.width} x {image.height} pixels, not {size} x {size}")
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, IndexError, struct.error, PillowImage.DecompressionBombError) as error:
        raise InputError(f"its picture can't be read ({error})") from error


def check_shards(folder: Path) -> tuple[int, list[str]]:
    """Read every crop of a folder: how many are whole, and what is damaged.

    Raises:
        InputError: no finished shards, or something in them that is no crop at all.
    """
    index, damaged = read_index(folder), list[str]()
    whole = sum(sum(1 for _ in read_shard(folder / name, index, damaged)) for name, _ in index.shards)
    return whole, damaged


@dataclass(frozen=True, eq=False)
class ShardedCrops(IterableDataset[Crop]):
    """The crops of a folder of shards, for one epoch.

    The order depends on seed, epoch and on how many processes and workers share the shards, on nothing else: shards are
    shuffled, each reader takes every n-th of them, and crops are shuffled within a buffer.

    Attributes:
        folder: with `shards.json`.
        seed, epoch: decide the order.
        buffer: crops that are held in memory to be shuffled.
        on_damage: `raise`, or `skip`: a warning for each shard says what was left out.
    """

    folder: Path
    seed: int = 0
    epoch: int = 0
    buffer: int = 1000
    on_damage: Literal["raise", "skip"] = "raise"

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that can't be."""
        if self.buffer < 1 or self.on_damage not in ("raise", "skip"):
            raise ConfigError(f"a buffer of one crop at least, and on_damage raise or skip, are needed: {self}")

    def at_epoch(self, epoch: int) -> ShardedCrops:
        """The same crops in the order of another epoch."""
        return replace(self, epoch=epoch)

    def __iter__(self) -> Iterator[Crop]:
        index = read_index(self.folder)
        _, processes, _, workers = pytorch_worker_info()
        if (readers := processes * workers) > len(index.shards):
            raise InputError(
                f"{len(index.shards)} shards can't be shared by {readers} readers ({processes} processes with {workers} "
                "workers each): write more shards (--per-shard)"
            )
        seed = self.seed * 1_000_003 + self.epoch
        pipeline = webdataset.DataPipeline(
            webdataset.SimpleShardList([name for name, _ in index.shards], seed=seed),
            webdataset.split_by_node,
            webdataset.split_by_worker,
            lambda shards: self._read(shards, index),
            webdataset.shuffle(self.buffer, initial=self.buffer, seed=seed),
        )
        yield from pipeline

    def _read(self, shards: Iterable[dict[str, str]], index: ShardIndex) -> Iterator[Crop]:
        for shard in shards:
            damaged: list[str] | None = [] if self.on_damage == "skip" else None
            yield from read_shard(self.folder / shard["url"], index, damaged)
            if damaged:
                warnings.warn(
                    f"{len(damaged)} damaged, left out; the first: {damaged[0]}", RuntimeWarning, stacklevel=2
                )
