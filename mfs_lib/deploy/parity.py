"""Is an exported network still the same function? Compared on pictures of sampled people, in the format's own runtime.

Compared are raw image, mask and the swapped face (raw * mask + (1 - mask) * target), all in [0,1]. A function that
gives the target back would be near a swap that changes little. So the reference must change its targets visibly, and
the copy must change them as much.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfs_lib.deploy.formats import FORMATS
from mfs_lib.deploy.formats.base import FloatArray, Format, Runner
from mfs_lib.deploy.two_file import load_two_file
from mfs_lib.errors import InputError, ParityError
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import StaticSwapper

FACES_SEED = 8_000_051
"""Of the people whose pictures the copies are compared on."""

PERSON_SEED = 8_000_059
"""Of the person who is swapped in when nobody is named."""

FACES = 50
LEAST_CHANGE = 1 / 255
"""How much the reference must change its targets in the mean: one grey level."""

_BATCH = 25


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference, of values in [0,1]."""

    max: float
    mean: float


@dataclass(frozen=True)
class ParityReport:
    """What became of a network in another format.

    Attributes:
        format, layout, size: of the file.
        faces: number of pictures.
        difference: "raw", "mask" and "result" (as far as they can be had), the copy from PyTorch's.
        change: the reference's result from the target: how much a swap does.
        copy_change: the copy's result from the target.
        bytes: of all files.
        versions: of the packages that ran it.
        machine: processor and system.
    """

    format: str
    layout: str
    size: int
    faces: int
    difference: Mapping[str, Difference]
    change: Difference
    copy_change: Difference
    bytes: int
    versions: Mapping[str, str]
    machine: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        worst = self.difference["result"]
        return (
            f"on {self.faces} faces the swap differs from PyTorch's by at most {worst.max:.1e} (mean {worst.mean:.1e}); "
            f"it changes the target by {self.change.mean:.3f}"
        )


def sampled_faces(count: int = FACES, *, size: int, seed: int = FACES_SEED) -> Tensor:
    """Aligned pictures (count,3,size,size) in [0,1] of people who don't exist; the same for the same seed."""
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(seed)
    parts = [world.sample(min(_BATCH, count - start), generator, size=size).image for start in range(0, count, _BATCH)]
    return torch.cat(parts)


def sampled_identity(*, seed: int = PERSON_SEED) -> IdentityFeatures:
    """What SFace says of one sampled person."""
    from mfs_lib.faces.identity import identity_of

    return identity_of(sampled_faces(1, size=128, seed=seed))


def _composite(outputs: Mapping[str, FloatArray], target: FloatArray) -> FloatArray:
    """The swapped face: the runner's own, or made of its image and mask."""
    if "result" in outputs:
        return outputs["result"]
    if not {"raw", "mask"} <= set(outputs):
        raise InputError("parity needs the outputs raw and mask, or result: export them")
    return outputs["raw"] * outputs["mask"] + (1 - outputs["mask"]) * target


class _Tally:
    """Largest and mean absolute difference over many arrays of the same size."""

    def __init__(self) -> None:
        self.largest, self.total, self.count = 0.0, 0.0, 0

    def add(self, a: FloatArray, b: FloatArray) -> None:
        if a.shape != b.shape:
            raise ParityError(f"an output has the shape {a.shape} instead of {b.shape}")
        distance = np.abs(a.astype(np.float64) - b)
        # not max(): that would pass over NaN
        self.largest = float(np.maximum(self.largest, distance.max()))
        self.total, self.count = self.total + float(distance.mean()), self.count + 1

    def difference(self) -> Difference:
        return Difference(self.largest, self.total / self.count)


class Comparison(NamedTuple):
    """See `ParityReport`."""

    difference: dict[str, Difference]
    change: Difference
    copy_change: Difference


@torch.no_grad()
def compare(runner: Runner, static: StaticSwapper, faces: Tensor) -> Comparison:
    """Run a copy and the reference on the same faces.

    Args:
        runner: the copy; see `formats.base.Runner`.
        static: the reference.
        faces: (N,3,S,S) in [0,1].

    Raises:
        ParityError: an output has another shape.
        InputError: the outputs don't tell the swap.
    """
    tallies: dict[str, _Tally] = {}
    changes = _Tally(), _Tally()
    for face in faces.split(1):  # type: ignore[no-untyped-call]
        target, reference = face.numpy(), static(face)
        outputs = dict(runner(target))
        outputs["result"] = _composite(outputs, target)
        for name, value in outputs.items():
            tallies.setdefault(name, _Tally()).add(value, getattr(reference, name).numpy())
        changes[0].add(reference.result.numpy(), target)
        changes[1].add(outputs["result"], target)
    difference = {name: tally.difference() for name, tally in tallies.items()}
    return Comparison(difference, changes[0].difference(), changes[1].difference())


def parity(
    form: Format, path: Path, static: StaticSwapper, faces: Tensor, *, layout: str, threads: int = 1
) -> ParityReport:
    """Open a file in its runtime, run it on `faces` (N,3,S,S), and report how near it is to PyTorch's network.

    Raises:
        RuntimeMissingError: the runtime isn't here.
        AssetError: it can't run the file.
    """
    found = compare(form.load(path, threads), static, faces)
    return _report(found, faces, form.name, layout, form.size_in_bytes(path), form.versions())


def pair_parity(
    folder: Path, face: Tensor, static: StaticSwapper, faces: Tensor, *, name: str, layout: str, threads: int = 1
) -> ParityReport:
    """The same for a two-file export: `face` (1,3,112,112) in [0,1] is the person's whose network `static` is."""
    found = compare(load_two_file(folder, threads)(face.numpy()), static, faces)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return _report(found, faces, name, layout, size, FORMATS["onnx"].versions())


def _report(
    found: Comparison, faces: Tensor, name: str, layout: str, size: int, versions: Mapping[str, str]
) -> ParityReport:
    return ParityReport(
        format=name,
        layout=layout,
        size=faces.shape[-1],
        faces=len(faces),
        difference=found.difference,
        change=found.change,
        copy_change=found.copy_change,
        bytes=size,
        versions={**versions, "torch": torch.__version__},
        machine=f"{platform.system()} {platform.machine()}",
    )


def check(report: ParityReport, tolerance: float) -> None:
    """Pass only what swaps as the reference does.

    Raises:
        InputError: the reference hardly changes its targets, so that nothing can be told.
        ParityError: the swap differs by more than `tolerance` (largest difference of any pixel), or doesn't swap.
    """
    if not report.change.mean >= LEAST_CHANGE:
        raise InputError(
            f"the network changes its targets by {report.change.mean:.4f} in the mean, less than a grey level: "
            "parity with it says nothing. Use a trained network and another person"
        )
    if not report.copy_change.mean >= report.change.mean / 2:
        raise ParityError(
            f"{report.format} hardly swaps: it changes the target by {report.copy_change.mean:.4f}, PyTorch's by "
            f"{report.change.mean:.4f}"
        )
    worst = report.difference["result"].max
    if not worst <= tolerance:
        raise ParityError(
            f"{report.format} is another function: its swap differs by {worst:.1e}, more than {tolerance:.1e}. "
            "Try another --layout, or the format's tested version"
        )
