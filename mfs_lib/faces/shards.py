"""Writes photographs, or crops, of large sets as tar shards of aligned crops (WebDataset's layout).

    python -m mfs_lib.faces.shards PHOTOS --output DIR --size 224 --min-eye-distance 70 --processes 16
    python -m mfs_lib.faces.shards CROPS --output DIR --size 256 --aligned      # square crops already: taken as they are
    python -m mfs_lib.faces.shards DIR --check                                  # reads all of them again

The largest face of each photograph is found and cut out as everywhere else (``mfs_lib.faces.folders``); a sub-folder's
photographs show the person after whom it is named. Their order is shuffled once, so that each shard is a sample of the
whole set. What gives no crop is listed in `rejected.jsonl` with its reason. ``mfs_lib.faces.shard_reader`` reads them,
and describes the files.

`--min-eye-distance 70` is the paper's choice among VGGFace2's photographs (section Experiments): faces whose eyes are
more than 70 pixels apart, by the landmarks, in the photograph as it is.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import multiprocessing
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import webdataset
from PIL import Image as PillowImage
from tqdm import tqdm

from mfs_lib.errors import ConfigError, InputError, OutputError
from mfs_lib.faces.alignment import TEMPLATE, FloatArray, Image, align, estimate_similarity, transform_points
from mfs_lib.faces.folders import SUFFIXES, FaceFinder, Photo, default_finder, read_photo
from mfs_lib.faces.shard_reader import INDEX, PICTURES, check_shards
from mfs_lib.weights.safe_io import write_text

REJECTED = "rejected.jsonl"
_CHUNK = 32  # photographs that a process is handed at once


@dataclass(frozen=True)
class ShardConfig:
    """How crops are made.

    Attributes:
        size: side of the crops in pixels.
        min_eye_distance: faces whose eyes are not further apart than this, in pixels of the photograph, are left out.
        aligned: the photographs are crops of this size already.
        picture: `png` (exact) or `jpg` (a quarter of the size).
        per_shard: crops of a shard.
        seed: of the order in which photographs are written.
    """

    size: int = 224
    min_eye_distance: float = 0.0
    aligned: bool = False
    picture: str = "png"
    per_shard: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that can't be."""
        if self.size < 1 or self.per_shard < 1 or self.min_eye_distance < 0 or self.picture not in PICTURES:
            raise ConfigError(f"size and per_shard must be positive, the picture one of {', '.join(PICTURES)}: {self}")
        if self.aligned and self.min_eye_distance:
            raise ConfigError("how far apart the eyes were isn't known of crops: filter the photographs they are from")


@dataclass(frozen=True)
class Written:
    """What came of a folder of photographs."""

    crops: int
    shards: int
    rejected: int


@dataclass(frozen=True)
class _Made:
    """One photograph's outcome: the members of its crop, or why there is none."""

    name: str
    members: dict[str, bytes]
    reason: str = ""


def eye_distance(points: FloatArray) -> float:
    """Pixels between the two eyes of five landmarks (5, 2)."""
    return float(np.linalg.norm(points[0] - points[1]))


def list_photos(folder: Path, seed: int = 0) -> list[Photo]:
    """The pictures in a folder and below it, with who they show, in an order that the seed decides.

    Raises:
        InputError: no folder, or no pictures in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not names:
        raise InputError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
    random.Random(seed).shuffle(names)
    people = (name.parts[0] if len(name.parts) > 1 else name.stem for name in names)
    return [Photo(folder / n, n.as_posix(), person, "unknown") for n, person in zip(names, people, strict=True)]


def _cut(image: Image, config: ShardConfig, find: FaceFinder | None) -> tuple[Image, FloatArray, float | None]:
    """A crop, its points and the distance of the eyes in the photograph.

    Raises:
        InputError: no face, or one that is not wanted.
    """
    if find is None:
        if image.shape[:2] != (config.size, config.size):
            raise InputError(f"it has {image.shape[1]} x {image.shape[0]} pixels: no crop of side {config.size}")
        return image, TEMPLATE * config.size, None
    points = find(image).points
    distance = eye_distance(points)
    if distance <= config.min_eye_distance:
        raise InputError(f"the eyes are {distance:.1f} pixels apart, not more than {config.min_eye_distance:g}")
    matrix = estimate_similarity(points, config.size)
    return align(image, matrix, config.size), transform_points(matrix, points), distance


def _make(photo: Photo, config: ShardConfig, find: FaceFinder | None) -> _Made:
    try:
        crop, points, distance = _cut(read_photo(photo.path), config, find)
    except InputError as error:
        return _Made(photo.name, {}, str(error))
    about = {
        "name": photo.name, "person": photo.person, "points": points.round(3).tolist(),
        "eye_distance": None if distance is None else round(distance, 3),
    }  # fmt: skip
    stream = io.BytesIO()
    if config.picture == "png":
        PillowImage.fromarray(crop).save(stream, "PNG")
    else:
        PillowImage.fromarray(crop).save(stream, "JPEG", quality=95, subsampling=0)
    return _Made(photo.name, {"json": json.dumps(about).encode(), config.picture: stream.getvalue()})


@cache
def _process_finder() -> FaceFinder:
    """The finder of this process."""
    return default_finder()


def _make_here(photo: Photo, config: ShardConfig) -> _Made:
    return _make(photo, config, None if config.aligned else _process_finder())


def write_shards(
    folder: Path,
    output: Path,
    config: ShardConfig,
    *,
    finder: FaceFinder | None = None,
    processes: int = 1,
    progress: bool = True,
) -> Written:
    """Write the crops of a folder's photographs; the index comes last, and a folder without it is unfinished.

    Args:
        folder: photographs, see `list_photos`.
        output: a new or empty folder.
        config: how crops are made.
        finder: another way to find faces, in this process alone.
        processes: how many find faces; the files don't depend on it.
        progress: show a bar on standard error.

    Raises:
        InputError: no photographs, or none that gives a crop.
        OutputError: the output folder holds something, or can't be written.
    """
    photos = list_photos(folder, config.seed)
    try:
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise OutputError(f"{output} is not empty: choose a new folder, or remove what a stopped run left there")
        with ExitStack() as stack:
            if finder is not None or processes == 1:
                work = (
                    partial(_make_here, config=config) if finder is None else partial(_make, config=config, find=finder)
                )
                made: Iterable[_Made] = map(work, photos)
            else:
                made = _made_by(processes, photos, config, stack)
            written = _write(tqdm(made, total=len(photos), desc="crops", disable=not progress), output, config)
    except OSError as error:
        raise OutputError(f"Can't write {output}: {error}. Check free space and permissions.") from error
    if not written.crops:
        raise InputError(f"No usable face in {len(photos)} pictures; {output / REJECTED} says why.")
    return written


def _made_by(processes: int, photos: list[Photo], config: ShardConfig, stack: ExitStack) -> Iterator[_Made]:
    fresh = multiprocessing.get_context("spawn")  # a fork would inherit the locks of this process's threads
    pool = stack.enter_context(ProcessPoolExecutor(processes, fresh))
    return pool.map(partial(_make_here, config=config), photos, chunksize=_CHUNK)


def _write(made: Iterable[_Made], output: Path, config: ShardConfig) -> Written:
    counts, rejected = dict[str, int](), 0
    with (output / REJECTED).open("w", encoding="utf-8") as reasons, _opened(output, config) as open_writer:
        for number, one in enumerate(made):
            if one.reason:
                rejected += 1
                reasons.write(json.dumps({"name": one.name, "reason": one.reason}) + "\n")
                continue
            writer = open_writer()
            writer.write({"__key__": f"{number:08d}", **one.members})
            name = Path(writer.fname).name
            counts[name] = counts.get(name, 0) + 1
    shards = [{"name": name, "count": count} for name, count in counts.items()]
    about = {"size": config.size, "min_eye_distance": config.min_eye_distance, "rejected": rejected, "shards": shards}
    if shards:
        write_text(output / INDEX, json.dumps(about, indent=1) + "\n")
    return Written(sum(counts.values()), len(counts), rejected)


@contextmanager
def _opened(output: Path, config: ShardConfig) -> Iterator[Callable[[], Any]]:
    """Gives the writer of shards, which begins its first file when it is asked for."""
    files: dict[str, IO[bytes]] = {}

    def begin(name: str) -> IO[bytes]:
        files[name] = Path(name).open("wb")  # noqa: SIM115 - closed below, or when the writer is done with it
        return files[name]

    @cache
    def writer() -> Any:
        # Files of our own opening: the library would take some names for addresses.
        return webdataset.ShardWriter(
            f"{str(output).replace('%', '%%')}/crops-%06d.tar", maxcount=config.per_shard, maxsize=math.inf, verbose=0,
            opener=begin, post=lambda name: files.pop(name).close(), encoder=False, mtime=0, user="", group="",
        )  # fmt: skip

    try:
        yield writer
        if writer.cache_info().currsize:
            writer().close()
    finally:
        for file in files.values():
            file.close()


def main() -> None:
    """Command line."""
    usual = ShardConfig()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs; with --check, shards")
    parser.add_argument("--output", type=Path, help="new folder for the shards")
    parser.add_argument("--check", action="store_true", help="read the folder's shards and list what is damaged")
    parser.add_argument("--size", type=int, default=usual.size, help=f"side of the crops (default: {usual.size})")
    parser.add_argument("--min-eye-distance", type=float, default=0.0, metavar="PIXELS", help="leave smaller faces out")
    parser.add_argument("--aligned", action="store_true", help="the pictures are crops of that side already")
    parser.add_argument("--picture", choices=PICTURES, default=usual.picture, help="exact, or a quarter of the size")
    parser.add_argument("--per-shard", type=int, default=usual.per_shard, help="crops of a shard")
    parser.add_argument("--seed", type=int, default=usual.seed, help="of the order of the photographs")
    parser.add_argument("--processes", type=int, default=1, help="processes that find faces")
    options = parser.parse_args()
    if options.check:
        whole, damaged = check_shards(options.folder)
        tqdm.write("\n".join([f"{whole} crops are whole, {len(damaged)} problems", *damaged]))
        raise SystemExit(1 if damaged else 0)
    if options.output is None:
        parser.error("--output is needed")
    config = ShardConfig(
        options.size, options.min_eye_distance, options.aligned, options.picture, options.per_shard, options.seed
    )
    done = write_shards(options.folder, options.output, config, processes=options.processes)
    tqdm.write(f"{done.crops} crops in {done.shards} shards; {done.rejected} photographs gave none ({REJECTED})")


if __name__ == "__main__":
    main()
