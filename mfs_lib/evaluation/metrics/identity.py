"""Identity cosines: how near a result is to its source and to its target, as a recogniser sees them."""

from __future__ import annotations

import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.identity_metrics import IdentityScores, identity_scores
from mfs_lib.evaluation.metrics.samples import SampleMean, percent


def pair_scores(result: Tensor, target: Tensor, source: Tensor) -> IdentityScores:
    """Cosines of pairs; all three (N, E), L2-normalised, row by row of one pair.

    Raises:
        InputError: shapes differ, or there is no pair.
    """
    if result.ndim != 2 or not len(result) or not result.shape == target.shape == source.shape:
        shapes = [tuple(one.shape) for one in (result, target, source)]
        raise InputError(f"Identities of pairs must be equally many and long, got {shapes}.")
    return identity_scores(result, target, source, torch.arange(len(result), device=result.device))


def identity_metrics(result: Tensor, target: Tensor, source: Tensor, *, backend: str) -> list[SampleMean]:
    """cos_source, cos_target, cos_before and two shares; embeddings as for `pair_scores`."""
    scores = pair_scores(result, target, source)

    def cosine(name: str, samples: Tensor, protocol: str) -> SampleMean:
        return SampleMean(name=name, samples=samples, backend=backend, protocol=protocol)

    return [
        cosine("cos_source", scores.to_source, "cosine of result and source"),
        cosine("cos_target", scores.to_target, "cosine of result and target"),
        cosine("cos_before", scores.before, "cosine of target and source: what doing nothing gives"),
        percent(
            "nearer_than_target", scores.to_source > scores.before, "result nearer to the source than the target was",
            backend,
        ),
        percent(
            "nearer_to_source", scores.to_source > scores.to_target, "result nearer to the source than to the target",
            backend,
        ),
    ]  # fmt: skip
