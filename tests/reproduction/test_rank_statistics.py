"""Rank correlations agree with a library's, take covariates out, and their intervals cover what they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.reproduction.rank_statistics import (
    Estimate,
    bootstrap,
    column_correlations,
    estimate_rows,
    explained,
    mean_within,
    partial_spearman,
    read_estimate,
    spearman,
)


def _normal(*shape: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape)


def test_rank_correlation_is_the_librarys_with_ties_and_without() -> None:
    first = _normal(80)
    second = first + _normal(80, seed=1)
    for a, b in ((first, second), (first.round(), second.round()), (first, np.exp(3 * first))):
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(first, np.ones(80)) == 0
    with pytest.raises(InputError, match="as many"):
        spearman(first, second[:3])


def test_covariates_explain_what_they_cause_and_nothing_else() -> None:
    cause = _normal(400)
    first, second = cause + 0.5 * _normal(400, seed=1), cause + 0.5 * _normal(400, seed=2)
    assert spearman(first, second) > 0.6
    assert abs(partial_spearman(first, second, cause[:, None])) < 0.15
    assert partial_spearman(first, second, _normal(400, 1, seed=3)) == pytest.approx(spearman(first, second), abs=0.02)
    assert partial_spearman(cause, second, cause[:, None]) == 0  # nothing is left of the first
    with pytest.raises(InputError, match="too few"):
        partial_spearman(first[:4], second[:4], _normal(4, 3))


def test_facts_explain_an_outcome_as_far_as_they_cause_it() -> None:
    facts = _normal(300, 3)
    assert explained(facts[:, 0] - facts[:, 1], facts) > 0.95
    assert explained(_normal(300, seed=5), facts) < 0.25
    assert explained(np.ones(300), facts) == 0
    one = explained(facts[:, 0] + _normal(300, seed=5), facts[:, :1])
    assert one == pytest.approx(abs(spearman(facts[:, 0] + _normal(300, seed=5), facts[:, 0])))


def test_correlation_within_columns() -> None:
    first = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    second = np.array([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])
    assert column_correlations(first, second).tolist() == pytest.approx([1, -1])
    assert mean_within(first, second) == pytest.approx(0)
    with pytest.raises(InputError, match="tables"):
        mean_within(first, second[:2])


def test_intervals_hold_the_value_and_shrink_with_more_pairs() -> None:
    widths = []
    for count in (40, 640):
        a = _normal(count)
        b = a + 2 * _normal(count, seed=1)
        found = bootstrap(lambda i, a=a, b=b: spearman(a[i], b[i]), count, draws=200)  # type: ignore[misc]
        assert found.low < found.value < found.high and found.value == pytest.approx(spearman(a, b))
        widths.append(found.high - found.low)
    assert widths[1] < 0.5 * widths[0]
    with pytest.raises(InputError, match="two pairs"):
        bootstrap(lambda i: 0.0, 1)


def test_an_estimate_is_recorded_and_read_back() -> None:
    estimate = Estimate(-0.314, -0.4, -0.2)
    assert estimate.sure and not Estimate(0.1, -0.1, 0.3).sure
    assert str(estimate) == "−0.31 (−0.40 to −0.20)"
    rows = estimate_rows("error_by_q", estimate, "over pairs", 20)
    assert [row.name for row in rows] == ["error_by_q", "error_by_q_low", "error_by_q_high"]
    assert rows[1].protocol.startswith("low end of the 95 %") and {row.n for row in rows} == {20}
    assert read_estimate(rows, "error_by_q") == estimate
    with pytest.raises(InputError, match="other_high"):
        read_estimate(rows, "other")
