"""The guard: each kind of failure has its verdict, and a swap has none."""

from __future__ import annotations

import numpy as np
import pytest

from mfs_lib.evaluation.metrics.collapse import Collapse, judge_collapse


def judge(
    *, to_source: float = 0.6, to_target: float = 0.3, before: float = 0.1, change: float = 15, copy: float = 40,
    swapped: int = 0, count: int = 20,
) -> Collapse:  # fmt: skip
    """`count` equal pairs, of which the first `swapped` are proper swaps."""

    def column(value: float, good: float) -> np.ndarray:
        return np.array([good] * swapped + [value] * (count - swapped))

    return judge_collapse(
        to_source=column(to_source, 0.6), to_target=column(to_target, 0.3), before=column(before, 0.1),
        face_change=column(change, 15), source_change=column(copy, 40), backend="x",
    )  # fmt: skip


def test_a_swap_passes() -> None:
    found = judge()
    assert (found.verdict, found.warnings) == ("swapped", ())
    assert found.metric is not None
    assert found.metric.value == 0


def test_targets_are_unmasked_by_pixels_and_by_identity() -> None:
    by_pixels = judge(to_source=0.1, to_target=0.5, change=0.4)
    by_identity = judge(to_source=0.12, to_target=0.96, change=6)
    for found in (by_pixels, by_identity):
        assert found.verdict == "output = target"
        assert "COLLAPSE: 20 of 20" in found.warnings[0]
        assert found.metric is not None
        assert found.metric.value == 100


def test_some_unchanged_results_are_a_warning() -> None:
    found = judge(to_source=0.1, to_target=1, change=0, swapped=17)
    assert found.verdict == "swapped"
    assert "3 of 20" in found.warnings[0]
    assert "COLLAPSE" not in found.warnings[0]
    assert judge(to_source=0.1, to_target=1, change=0, swapped=9).verdict == "output = target"


def test_copies_of_the_source_and_other_changes() -> None:
    assert judge(to_source=1, to_target=0.1, copy=0.5).verdict == "output = source"
    moved = judge(to_source=0.12, to_target=0.5)
    assert moved.verdict == "identity not transferred"
    assert "0.020" in moved.warnings[0]


def test_pairs_of_one_person_are_not_judged() -> None:
    alone = judge(to_source=0.9, to_target=1, before=0.9, change=0)
    assert (alone.verdict, alone.metric) == ("not judged", None)
    mixed = judge(to_source=0.9, to_target=1, before=0.9, change=0, swapped=5)
    assert mixed.verdict == "swapped"
    assert mixed.metric is not None
    assert (mixed.metric.value, mixed.metric.n) == (pytest.approx(0), 5)
