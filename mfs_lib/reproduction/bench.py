"""What `mfs bench` runs, in three groups, and how it is told.

| group    | what takes turns                                                                                     |
|----------|------------------------------------------------------------------------------------------------------|
| networks | the released graph, our layouts and variants of it, the student, peers, other runtimes where installed |
| stages   | search, follow, align, swap and paste, at 720p and 1080p; a new person                               |
| video    | whole files at 720p and 1080p with decoding and encoding; and the peak of memory                     |

Ratios are taken within one run. The record of a run names its machine; other machines give other times and, with other
vector units, other ratios.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from tabulate import tabulate
from torch import Tensor

from mfs_lib.deploy.bench_networks import (
    our_networks,
    peer_networks,
    quantised_students,
    release_like,
    runtime_networks,
    student_networks,
)
from mfs_lib.deploy.benchmark import RELEASED, Candidate, Entry, interleaved
from mfs_lib.deploy.parity import sampled_faces
from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.mobilefaceswap import StaticSwapper
from mfs_lib.reproduction.bench_video import Memory, Scene, measure_memory, stage_candidates, video_entries
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.runinfo import processor
from mfs_lib.swapping.bundle import default_bundle
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.shipped import load_student

Group = Literal["networks", "stages", "video"]
GROUPS: tuple[Group, ...] = get_args(Group)
PEOPLE_SEED = 45
SIZES = (224, 256)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run: its entries, the memory where it was measured, and the processor."""

    entries: tuple[Entry, ...]
    memory: Memory | None
    processor: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        memory = (
            None
            if self.memory is None
            else {**self.memory.__dict__, "above_interpreter": self.memory.above_interpreter}
        )
        return {
            "entries": [entry.to_dict() for entry in self.entries],
            "memory_mb": memory,
            "processor": self.processor,
        }

    def text(self) -> str:
        """A table for people."""
        rows = [
            (e.name, e.runtime, e.threads, e.resolution, f"{e.median_ms:.2f}", f"{e.p95_ms:.2f}",
             "" if e.ratio_to_released is None else f"{e.ratio_to_released:.3g}",
             "" if e.ratio_to_baseline is None else f"{e.ratio_to_baseline:.3g}",
             "" if e.max_difference is None else f"{e.max_difference:.1e}")
            for e in self.entries
        ]  # fmt: skip
        header = (
            "name",
            "runtime",
            "threads",
            "resolution",
            "median ms",
            "p95 ms",
            "× released",
            "in its runtime",
            "max. difference",
        )
        lines = [tabulate(rows, header, disable_numparse=True), self.processor]
        if self.memory is not None:
            lines.append(str(self.memory))
        return "\n".join(lines)


def sampled_pictures(size: int) -> tuple[Tensor, Tensor]:
    """A sampled source (1,3,128,128) and a sampled target (1,3,size,size)."""
    generator, world = torch.Generator().manual_seed(PEOPLE_SEED), MorphableWorld.load()
    return world.sample(1, generator, size=128).image, world.sample(1, generator, size=size).image


def sampled_person(size: int) -> tuple[StaticSwapper, Tensor]:
    """The shipped student specialised for a sampled person, and a sampled target (1,3,size,size)."""
    source, target = sampled_pictures(size)
    with torch.no_grad():
        return load_student().network.specialise(load_sface()(arcface_view(source))), target


def network_candidates(threads: Sequence[int], folder: Path, *, peers: bool = True) -> Iterator[Candidate]:
    """All networks, whose files of other runtimes are written to `folder`; "released" runs on one thread at 224."""
    student_size = load_student().crop_size
    trained, small = sampled_person(student_size)
    static, targets = release_like(trained), {size: sampled_pictures(size)[1] for size in SIZES}
    for count in threads:
        suffix = "" if count == 1 else f"-{count}-threads"
        for size in SIZES:
            named = suffix if size == SIZES[0] else f"-{size}{suffix}"
            yield from our_networks(static, targets[size], count, suffix=named)
        yield from student_networks(trained, small, count, suffix=suffix)
    faces = [face.numpy() for face in sampled_faces(24, size=student_size, seed=PEOPLE_SEED + 1).split(1)]  # type: ignore[no-untyped-call]
    yield from quantised_students(trained, small, calibration=faces)
    yield from runtime_networks(static, targets[SIZES[0]], folder)
    if peers:
        yield from peer_networks(1)


def run_bench(
    groups: Sequence[Group] = GROUPS, *, threads: Sequence[int] = (1, 2), rounds: int = 30, frames: int = 150,
    peers: bool = True, progress: bool = True,
) -> Bench:  # fmt: skip
    """Measure the groups.

    Args:
        groups: some of `GROUPS`.
        threads: the networks run on so many each; 1 is always among them.
        rounds: turns of the networks and the stages.
        frames: of each video.
        peers: other systems' networks too (minutes: they are up to a hundred times as slow).
        progress: show bars.

    Raises:
        InputError: nothing to measure.
    """
    if not groups or set(groups) - set(GROUPS):
        raise InputError(f"there is nothing to measure in {list(groups)}: choose of {', '.join(GROUPS)}")
    entries: list[Entry] = []
    memory = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "networks" in groups:
            candidates = list(network_candidates(sorted({1, *threads}), folder, peers=peers))
            entries += interleaved(candidates, rounds=rounds, progress=progress)
        if "stages" in groups or "video" in groups:
            scene = Scene.load(default_bundle())
            if "stages" in groups:
                entries += interleaved(list(stage_candidates(scene)), rounds=rounds, progress=progress)
            if "video" in groups:
                entries += video_entries(scene, folder, frames=frames, progress=progress)
                memory = measure_memory(scene, folder / "clip_1080.mp4", folder)
    return Bench(entries=tuple(entries), memory=memory, processor=processor())


def record_bench(bench: Bench, path: Path, *, rounds: int, wall_seconds: float) -> None:
    """Append a record `bench/NAME` for each entry, and `bench/memory`."""
    protocol = f"{len(bench.entries)} entries of one run, those of a kind taking turns in {rounds} rounds, on {bench.processor}"
    for entry in bench.entries:
        append_record(path, _record(entry.name, _metrics(entry, protocol), wall_seconds))
    if bench.memory is not None:
        names = ("interpreter", "libraries", "swapper", "above_interpreter", "video", "preparing")
        metrics = tuple(
            Metric(
                name=n,
                value=getattr(bench.memory, n),
                unit="MB",
                backend="VmHWM",
                protocol="1080p, a process of its own",
                n=1,
            )
            for n in names
        )
        append_record(path, _record("memory", metrics, wall_seconds))


def _record(name: str, metrics: tuple[Metric, ...], wall_seconds: float) -> Record:
    return Record(
        experiment=f"bench/{name}", profile="mini", seed=0, device="cpu", wall_seconds=wall_seconds, metrics=metrics
    )


def _metrics(entry: Entry, protocol: str) -> tuple[Metric, ...]:
    """An entry's numbers; only those that were measured."""
    backend = f"{entry.runtime}, {entry.threads} thread{'s' if entry.threads > 1 else ''}, {entry.resolution}"
    values: list[tuple[str, float | None, str, str]] = [
        ("median_ms", entry.median_ms, "ms", protocol),
        ("p95_ms", entry.p95_ms, "ms", protocol),
        ("ratio_to_released", entry.ratio_to_released, "1", f"median of '{RELEASED}' over its own; {protocol}"),
        ("ratio_to_baseline", entry.ratio_to_baseline, "1", f"median of '{entry.baseline}' over its own; {protocol}"),
        ("max_difference", entry.max_difference, "1", "result to the network's in PyTorch, range 1"),
        ("mac", None if entry.mac is None else float(entry.mac), "1", "counted"),
    ]
    return tuple(
        Metric(name=name, value=value, unit=unit, backend=backend, protocol=text, n=entry.rounds)
        for name, value, unit, text in values
        if value is not None
    )
