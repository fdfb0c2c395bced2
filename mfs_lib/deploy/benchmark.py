"""Times measured side by side: everything takes turns, round after round, so that a busy moment hits all alike.

An entry's `ratio_to_released` is the median of the entry called "released" over its own: how many times as fast it is. The
released entry is the MobileFaceSwap release's network in the release's own layout, run by ONNX Runtime on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from mfs_lib.errors import InputError

RELEASED = "released"
"""Name of the entry that all others are compared with."""

_SLOW = 0.25
"""Seconds; what takes longer runs in every fourth round only."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something to be timed.

    Attributes:
        name: unique.
        runtime: what executes it, with version.
        threads: that it may use.
        resolution: what is processed, such as "224x224" or "1920x1080".
        run: does it once.
        kind: "network", "stage" or "end to end".
        max_difference: largest absolute difference of its result to the reference's in [0, 1], where there is one.
        mac: multiply-accumulates of one run, where counted.
        baseline: name of the candidate with the released layout in the same runtime, on as many threads, at the same size.
    """

    name: str
    runtime: str
    threads: int
    resolution: str
    run: Callable[[], Any]
    kind: str = "network"
    max_difference: float | None = None
    mac: int | None = None
    baseline: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A candidate's times in milliseconds over `rounds` runs; the other fields are the candidate's.

    `ratio_to_released` compares with the entry "released", `ratio_to_baseline` with the candidate's own baseline.
    """

    name: str
    runtime: str
    threads: int
    resolution: str
    kind: str
    median_ms: float
    p95_ms: float
    rounds: int
    ratio_to_released: float | None
    max_difference: float | None = None
    mac: int | None = None
    baseline: str | None = None
    ratio_to_baseline: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def interleaved(
    candidates: Sequence[Candidate], *, rounds: int = 30, warmup: int = 3, progress: bool = True
) -> list[Entry]:
    """Time all candidates in turn; what takes more than a quarter of a second takes part in every fourth round.

    Raises InputError for less than one round, no candidates, or two of the same name.
    """
    names = [candidate.name for candidate in candidates]
    if rounds < 1 or not names or len(set(names)) != len(names):
        raise InputError(f"a benchmark needs rounds and candidates with names of their own, got {rounds} and {names}")
    slow = {candidate.name: _warm(candidate, warmup) > _SLOW for candidate in candidates}
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in tqdm(range(rounds), desc="timing", disable=not progress, leave=False):
        for candidate in candidates:
            if not (slow[candidate.name] and turn % 4):
                times[candidate.name].append(_timed(candidate))
    return with_ratios([_entry(candidate, times[candidate.name]) for candidate in candidates])


def _timed(candidate: Candidate) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    candidate.run()
    return time.perf_counter() - start


def _warm(candidate: Candidate, warmup: int) -> float:
    """Run a few times; seconds of the last."""
    seconds = _timed(candidate)
    for _ in range(warmup - 1 if seconds < _SLOW else 0):
        seconds = _timed(candidate)
    return seconds


def _entry(candidate: Candidate, seconds: Sequence[float]) -> Entry:
    median, p95 = (1e3 * float(np.percentile(seconds, q)) for q in (50, 95))
    return Entry(
        name=candidate.name, runtime=candidate.runtime, threads=candidate.threads, resolution=candidate.resolution,
        kind=candidate.kind, median_ms=median, p95_ms=p95, rounds=len(seconds), ratio_to_released=None,
        max_difference=candidate.max_difference, mac=candidate.mac, baseline=candidate.baseline,
    )  # fmt: skip


def with_ratios(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries with their ratios, as far as what they are compared with is among them."""
    medians = {entry.name: entry.median_ms for entry in entries}

    def ratio(entry: Entry, name: str | None) -> float | None:
        return medians[name] / entry.median_ms if name in medians and entry.kind == "network" else None

    return [
        replace(entry, ratio_to_released=ratio(entry, RELEASED), ratio_to_baseline=ratio(entry, entry.baseline))
        for entry in entries
    ]
