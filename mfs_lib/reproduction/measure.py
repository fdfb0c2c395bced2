"""What is measured of a system, trained or not: the evaluation suite on sampled pairs of people that nobody learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mfs_lib.evaluation.evaluate import Backends, Evaluation, evaluate
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.evaluation.metrics.samples import SampleMean
from mfs_lib.evaluation.student_report import identity_of
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.training.enlarging import swap_enlarged
from mfs_lib.training.teachers import Teacher

_BATCH = 25


@dataclass(frozen=True)
class HeldOutPairs:
    """N people put onto pictures of N others: crops (N,3,S,S) in [0,1], and where a face is, (N,1,S,S) in [0,1]."""

    source: Tensor
    target: Tensor
    truth: Tensor
    face: Tensor
    identity: IdentityFeatures

    def part(self, rows: slice) -> HeldOutPairs:
        """Some of the pairs."""
        who = IdentityFeatures(self.identity.embedding[rows], self.identity.feature_map[rows])
        return HeldOutPairs(self.source[rows], self.target[rows], self.truth[rows], self.face[rows], who)


System = Callable[[HeldOutPairs], Tensor]
"""Swaps (n,3,S,S) of some pairs."""


@torch.no_grad()
def held_out_pairs(count: int, size: int, seed: int) -> HeldOutPairs:
    """`count` pairs of the face world with their exact swaps; the same for the same arguments."""
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(seed)
    columns: tuple[list[Tensor], ...] = ([], [], [], [])
    for start in range(0, count, _BATCH):
        some = min(_BATCH, count - start)
        source, target = (world.sample(some, generator, size=size) for _ in range(2))
        truth = world.swap(identity_of=source, attributes_of=target)
        face = torch.maximum(target.face_mask, truth.face_mask)
        for column, found in zip(columns, (source.image, target.image, truth.image, face), strict=True):
            column.append(found)
    pictures = [torch.cat(column) for column in columns]
    return HeldOutPairs(pictures[0], pictures[1], pictures[2], pictures[3], identity_of(pictures[0]))


def student_system(student: MobileFaceSwap, size: int) -> System:
    """A student, in eval mode, that swaps targets enlarged or reduced to `size`; its swaps get the targets' own size."""
    return lambda pairs: swap_enlarged(student, pairs.target, pairs.identity, size).result


def teacher_system(teacher: Teacher) -> System:
    """A teacher that swaps, told all that a teacher may be told."""
    return lambda pairs: teacher.swap(
        pairs.source, pairs.target, truth=pairs.truth, embedding=pairs.identity.embedding
    )  # fmt: skip


@torch.no_grad()
def swaps_of(system: System, pairs: HeldOutPairs) -> Tensor:
    """A system's swaps (N,3,S,S) of all pairs, in [0,1]."""
    rows = [slice(start, start + _BATCH) for start in range(0, len(pairs.target), _BATCH)]
    return torch.cat([system(pairs.part(some)) for some in rows]).clamp(0, 1)


def measure(swaps: Tensor, pairs: HeldOutPairs, *, backends: Backends | None = None) -> Evaluation:
    """All metrics of the suite, and how far the colour of the face moved."""
    crops = SwapSet.of_pairs(swaps, pairs.source, pairs.target, pairs.truth)
    found = evaluate(crops, backends=backends, progress=False)
    colour = [
        colour_shift(swaps, pairs, "colour_shift", "result"),
        colour_shift(pairs.truth, pairs, "colour_shift_of_truth", "exact swap"),
    ]
    return replace(found, metrics=(*found.metrics, *colour))


def colour_shift(swaps: Tensor, pairs: HeldOutPairs, name: str, what: str) -> SampleMean:
    """How far the face's mean colour lies from the target's, in grey levels of 255.

    The paper's "color difference between the generated image and the target image"; it doesn't say how to measure it.
    """
    inside = (pairs.face > 0.5).float()
    area = inside.sum((2, 3)).clamp(min=1)
    means = [(picture * inside).sum((2, 3)) / area for picture in (swaps, pairs.target)]
    return SampleMean(
        name=name, samples=255 * (means[0] - means[1]).abs().mean(1), unit="grey levels", backend="world's masks",
        protocol=f"difference of the mean colour inside the exact face masks, {what} and target, mean of RGB",
    )  # fmt: skip
