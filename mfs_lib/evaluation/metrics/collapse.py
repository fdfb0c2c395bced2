"""The guard against the oldest failure of the field: a 'swap' that is its target.

Doing nothing keeps pose, expression and background perfectly and gives the best Fréchet distance there is, so a table
that leaves retrieval out, or averages over it, praises it. Each result is held against its target and its source:

* *unchanged*: inside the face it differs from its target by less than 1 grey level of 255, or the recogniser sees the
  target in it (cosine above 0.9) and nothing of the source (the cosine to it rose by less than 0.1). The second catches
  targets that were only re-encoded, blurred or recoloured.
* *copied*: its aligned crop differs from the source's by less than 3 grey levels.

Pairs whose source and target are alike already (cosine above 0.6: one person) say nothing and are left out. Half of
the others being unchanged or copied is a verdict, from a twentieth on a warning. A set whose results do change, but on
average come less than 0.05 nearer to the source, has changed something else than the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mfs_lib.evaluation.metrics.samples import FloatArray, SampleMean, percent

CollapseVerdict = Literal["swapped", "output = target", "output = source", "identity not transferred", "not judged"]

SAME_PERSON = 0.6
_LEAST_CHANGE, _COPY = 1.0, 3.0  # grey levels
_STILL_TARGET, _NOT_NEARER = 0.9, 0.1  # cosines
_VERDICT, _WARNING, _TRANSFER = 0.5, 0.05, 0.05


@dataclass(frozen=True)
class Collapse:
    """What the guard found: `verdict`, sentences for people, and the share of unchanged results (None: not judged)."""

    verdict: CollapseVerdict
    warnings: tuple[str, ...]
    metric: SampleMean | None


def judge_collapse(
    *,
    to_source: FloatArray,
    to_target: FloatArray,
    before: FloatArray,
    face_change: FloatArray,
    source_change: FloatArray,
    backend: str,
) -> Collapse:
    """Hold results against their targets and sources.

    Args:
        to_source, to_target, before: (N,) cosines of result and source, result and target, target and source.
        face_change: (N,) mean absolute difference of result and target inside the face, grey levels.
        source_change: (N,) the same between the aligned crops of result and source, whole crops.
        backend: the recogniser.
    """
    told = before < SAME_PERSON
    if not told.any():
        text = "Sources and targets are alike in every pair: whether anything was swapped can't be judged."
        return Collapse("not judged", (text,), None)
    gain = to_source - before
    still = (to_target > _STILL_TARGET) & (gain < _NOT_NEARER)
    unchanged = (face_change < _LEAST_CHANGE) | still
    found = unchanged[told], (source_change < _COPY)[told], gain[told]
    protocol = "results that are their target, of pairs of different people"
    metric = percent("unchanged", unchanged & told, protocol, backend, over=told)
    verdict = _verdict(*found)
    return Collapse(verdict, _sentences(verdict, *found), metric)


def _verdict(unchanged: npt.NDArray[np.bool_], copied: npt.NDArray[np.bool_], gain: FloatArray) -> CollapseVerdict:
    if unchanged.mean() >= _VERDICT:
        return "output = target"
    if copied.mean() >= _VERDICT:
        return "output = source"
    return "identity not transferred" if gain.mean() < _TRANSFER else "swapped"


def _sentences(
    verdict: CollapseVerdict, unchanged: npt.NDArray[np.bool_], copied: npt.NDArray[np.bool_], gain: FloatArray
) -> tuple[str, ...]:
    """Warnings in words; empty where all is well."""
    count, texts = len(unchanged), []
    loud = "COLLAPSE: " if verdict != "swapped" else ""
    if unchanged.mean() >= _WARNING:
        texts.append(
            f"{loud}{int(unchanged.sum())} of {count} results are their targets (output = target): nothing was swapped "
            "in them, and their pose, background and Fréchet distance are worth nothing."
        )
    if copied.mean() >= _WARNING:
        texts.append(f"{loud}{int(copied.sum())} of {count} results are copies of their sources (output = source).")
    if verdict == "identity not transferred":
        texts.append(
            f"{loud}the results come only {gain.mean():.3f} (cosine) nearer to their sources: no identity moved."
        )
    return tuple(texts)
