"""What is measured of a system, trained or not: the evaluation suite on sampled pairs of people that nobody learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.evaluation.evaluate import Backends, Evaluation, evaluate
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.evaluation.metrics.samples import SampleMean
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.reproduction.sampled_pairs import SampledPairs
from mfs_lib.training.enlarging import swap_enlarged
from mfs_lib.training.teachers import Teacher

_BATCH = 25


System = Callable[[SampledPairs], Tensor]
"""Swaps (n,3,S,S) of some pairs."""


def student_system(student: MobileFaceSwap, size: int) -> System:
    """A student, in eval mode, that swaps targets enlarged or reduced to `size`; its swaps get the targets' own size."""
    return lambda pairs: swap_enlarged(student, pairs.target, pairs.identity, size).result


def teacher_system(teacher: Teacher) -> System:
    """A teacher that swaps, told all that a teacher may be told."""
    return lambda pairs: teacher.swap(
        pairs.source, pairs.target, truth=pairs.truth, embedding=pairs.identity.embedding
    )  # fmt: skip


@torch.no_grad()
def swaps_of(system: System, pairs: SampledPairs) -> Tensor:
    """A system's swaps (N,3,S,S) of all pairs, in [0,1]."""
    rows = [slice(start, start + _BATCH) for start in range(0, len(pairs.target), _BATCH)]
    return torch.cat([system(pairs.part(some)) for some in tqdm(rows, desc="swaps")]).clamp(0, 1)


def measure(swaps: Tensor, pairs: SampledPairs, *, backends: Backends | None = None) -> Evaluation:
    """All metrics of the suite, and how far the colour of the face moved."""
    crops = SwapSet.of_pairs(swaps, pairs.source, pairs.target, pairs.truth)
    found = evaluate(crops, backends=backends, progress=False)
    colour = [
        colour_shift(swaps, pairs, "colour_shift", "result"),
        colour_shift(pairs.truth, pairs, "colour_shift_of_truth", "exact swap"),
    ]
    return replace(found, metrics=(*found.metrics, *colour))


def colour_shift(swaps: Tensor, pairs: SampledPairs, name: str, what: str) -> SampleMean:
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
