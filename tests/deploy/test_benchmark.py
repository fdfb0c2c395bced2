"""Turns, ratios, and refusals; no test looks at a clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfs_lib.deploy.benchmark import Candidate, Entry, interleaved, with_ratios
from mfs_lib.errors import InputError


def _candidate(name: str, calls: list[str]) -> Candidate:
    return Candidate(name=name, runtime="none", threads=1, resolution="1x1", run=lambda: calls.append(name))


def _entry(name: str, median: float, kind: str = "network") -> Entry:
    return Entry(
        name=name, runtime="none", threads=1, resolution="1x1", kind=kind, median_ms=median, p95_ms=median, rounds=3,
        ratio_to_released=None,
    )  # fmt: skip


def test_candidates_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    entries = interleaved(
        [_candidate("released", calls), _candidate("ours", calls)], rounds=4, warmup=2, progress=False
    )
    assert calls == ["released"] * 2 + ["ours"] * 2 + ["released", "ours"] * 4
    assert [entry.rounds for entry in entries] == [4, 4]
    assert entries[0].ratio_to_released == 1.0
    assert all(0 <= entry.median_ms <= entry.p95_ms for entry in entries)


def test_ratios_say_how_many_times_as_fast() -> None:
    entries = with_ratios([_entry("released", 9.0), _entry("ours", 3.0), _entry("paste", 1.0, "stage")])
    assert [entry.ratio_to_released for entry in entries] == [1.0, 3.0, None]
    assert with_ratios([_entry("ours", 3.0)])[0].ratio_to_released is None
    own = replace(_entry("ours, other", 2.0), baseline="released, other")
    entries = with_ratios([_entry("released", 9.0), _entry("released, other", 5.0), own])
    assert (entries[2].ratio_to_released, entries[2].ratio_to_baseline) == (4.5, 2.5)


def test_what_cannot_be_timed_is_refused() -> None:
    for candidates, rounds in (([], 3), ([_candidate("a", [])], 0), ([_candidate("a", []), _candidate("a", [])], 3)):
        with pytest.raises(InputError, match="names of their own"):
            interleaved(candidates, rounds=rounds, progress=False)
