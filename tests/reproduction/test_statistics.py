"""Intervals and tests against cases worked by hand, against scipy's own, and where there is nothing to test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mfs_lib.errors import InputError
from mfs_lib.reproduction.statistics import Difference, difference, holm, mean_over_seeds, separation


def test_a_mean_of_three_seeds_by_hand() -> None:
    found = mean_over_seeds({0: 1.0, 1: 2.0, 2: 3.0})
    assert (found.value, found.n) == (2.0, 3)
    assert found.half == pytest.approx(4.302653 * 1 / math.sqrt(3), abs=1e-5)  # t of 2 degrees of freedom at 97.5 %
    assert (found.low + found.high) / 2 == pytest.approx(2.0)


def test_one_seed_has_no_interval_and_none_no_mean() -> None:
    found = mean_over_seeds({4: 7.0})
    assert (found.value, found.n) == (7.0, 1) and math.isnan(found.low) and math.isnan(found.half)
    for values in ({}, {0: math.nan}, {0: math.inf}):
        with pytest.raises(InputError, match="finite"):
            mean_over_seeds(values)


def test_runs_that_share_seeds_and_data_are_paired() -> None:
    found = difference({0: 5.0, 1: 7.0, 2: 9.0}, {0: 4.0, 1: 5.0, 2: 6.0})  # gaps 1, 2, 3
    assert isinstance(found, Difference)
    assert (found.method, found.value, found.n) == ("paired", 2.0, (3, 3))
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    reference = stats.ttest_rel([5.0, 7.0, 9.0], [4.0, 5.0, 6.0])
    assert found.p == pytest.approx(reference.pvalue)


def test_a_seed_that_only_one_row_has_is_left_out_of_pairs() -> None:
    found = difference({0: 5.0, 1: 7.0, 9: 100.0}, {0: 4.0, 1: 5.0})
    assert found is not None
    assert (found.method, found.value, found.n) == ("paired", 1.5, (2, 2))


@pytest.mark.parametrize("same_data", [True, False])
def test_otherwise_welch_as_scipy_has_it(same_data: bool) -> None:
    one, two = [3.1, 2.9, 4.0, 3.6], [1.0, 2.2, 1.7]
    seeds = range(10, 13) if same_data else range(3)  # other seeds, or shared seeds on other data
    found = difference(dict(enumerate(one)), dict(zip(seeds, two, strict=True)), same_data=same_data)
    assert found is not None
    reference = stats.ttest_ind(one, two, equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert found.method == "welch" and found.n == (4, 3)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, reference.pvalue))


def test_against_what_has_one_number() -> None:
    found = difference({0: 5.0, 1: 7.0, 2: 9.0}, {0: 4.0}, fixed=True)
    assert found is not None
    reference = stats.ttest_1samp([5.0, 7.0, 9.0], 4.0)
    interval = reference.confidence_interval(0.95)
    assert found.method == "one-sample"
    expected = (3, interval.low - 4, interval.high - 4, reference.pvalue)
    assert (found.value, found.low, found.high, found.p) == pytest.approx(expected)


def test_too_few_runs_have_no_difference() -> None:
    assert difference({0: 1.0}, {0: 2.0}) is None
    assert difference({0: 1.0, 1: 2.0}, {5: 2.0}) is None
    assert difference({0: 1.0}, {0: 2.0}, fixed=True) is None


def test_without_scatter_the_interval_is_the_number() -> None:
    same, apart = difference({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}), difference({0: 3.0, 1: 3.0}, {5: 1.0, 6: 1.0})
    assert same is not None and apart is not None
    assert (same.low, same.value, same.high, same.p) == (0, 0, 0, 1)
    assert (apart.low, apart.value, apart.high, apart.p) == (2, 2, 2, 0)


def test_turned_and_shifted_differences() -> None:
    found = difference({0: 5.0, 1: 7.0, 2: 9.0}, {0: 4.0, 1: 5.0, 2: 6.0})
    assert found is not None
    turned, shifted = found.turned(), found.shifted(1.0)
    assert (turned.value, turned.low, turned.high, turned.p) == (-found.value, -found.high, -found.low, found.p)
    reference = stats.ttest_1samp([1.0, 2.0, 3.0], -1.0)
    assert (shifted.value, shifted.low, shifted.p) == pytest.approx((3.0, found.low + 1, reference.pvalue))


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, and none smaller than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_separation_by_hand_and_as_scipy_has_it() -> None:
    rows = [{0: 1.0, 1: 3.0}, {0: 5.0, 1: 7.0}, {0: 9.0, 1: 11.0}]  # means 2, 6, 10; variance within 2
    found = separation([*rows, {0: 1000.0}])  # a single seed says nothing about scatter
    assert found is not None
    assert found.ratio == pytest.approx(2 * (16 + 0 + 16) / 2 / 2)
    assert (found.between, found.within) == pytest.approx((4.0, math.sqrt(2)))
    reference = stats.f_oneway(*[np.array(list(row.values())) for row in rows])
    assert (found.ratio, found.p) == pytest.approx((reference.statistic, reference.pvalue))


def test_separation_where_nothing_scatters_or_nothing_is_there() -> None:
    apart, alike = separation([{0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}]), separation([{0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}])
    assert apart is not None and alike is not None
    assert (apart.ratio, apart.p) == (math.inf, 0.0)
    assert math.isnan(alike.ratio) and alike.p == 1.0
    assert separation([{0: 1.0, 1: 1.0}, {0: 1.0}]) is None
