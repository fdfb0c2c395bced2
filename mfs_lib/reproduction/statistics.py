"""Means over seeds with their intervals, differences of two rows of a table, and what many comparisons at once cost.

A number of a table is one draw: the same training from another seed gives another. All intervals here are Student's at
95 %, over seeds; the pairs of people that everything is measured on are the same in all of them and are not drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from mfs_lib.errors import InputError

LEVEL = 0.95
Values = Mapping[int, float]
"""What was measured, by the run's seed."""

Method = Literal["paired", "welch", "one-sample"]


@dataclass(frozen=True)
class Mean:
    """A mean over `n` seeds with its interval; from one seed there is none (NaN)."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the interval's width: the number behind the ±."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference:
    """First minus second: mean, interval, two-sided p and the method that gave them.

    paired       runs that share their seeds and data, compared seed by seed
    welch        two sets of runs of unequal variance (Welch 1947)
    one-sample   runs against one fixed number: what isn't trained has no seeds
    """

    value: float
    low: float
    high: float
    p: float
    method: Method
    n: tuple[int, int]
    error: float = 0.0  # standard error of the value
    freedom: float = math.inf  # of Student's t

    def turned(self) -> Difference:
        """Second minus first."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low, n=(self.n[1], self.n[0]))

    def shifted(self, by: float) -> Difference:
        """With `by` added: its p is that of the difference being -by."""
        return _judged(self.value + by, self.error, self.freedom, self.method, self.n)


def mean_over_seeds(values: Values) -> Mean:
    """Mean and interval over the seeds. Raises InputError where there is no finite number."""
    numbers = _finite(values)
    n, value = len(numbers), float(np.mean(numbers))
    if n < 2:
        return Mean(value, math.nan, math.nan, n)
    reach = _reach(float(np.std(numbers, ddof=1)) / math.sqrt(n), n - 1)
    return Mean(value, value - reach, value + reach, n)


def difference(first: Values, second: Values, *, same_data: bool = True, fixed: bool = False) -> Difference | None:
    """The first row's mean less the second's; None where there are too few runs for an interval.

    Args:
        first, second: by seed.
        same_data: both learned from the same pools. Then runs of one seed also share first weights and order as far as
            they can, and are compared in pairs over the seeds that both have, if those are two at least.
        fixed: the second is no training and has one number.

    Raises:
        InputError: a row without numbers, or with one that isn't finite.
    """
    one, two = _finite(first), _finite(second)
    if fixed:
        return _one_sample(one - float(two.mean()), "one-sample", (len(one), 1))
    shared = sorted(set(first) & set(second))
    if same_data and len(shared) >= 2:
        gaps = np.array([first[seed] - second[seed] for seed in shared])
        return _one_sample(gaps, "paired", (len(shared), len(shared)))
    return _welch(one, two)


def _one_sample(gaps: np.ndarray, method: Method, n: tuple[int, int]) -> Difference | None:
    if len(gaps) < 2:
        return None
    spread = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    return _judged(float(np.mean(gaps)), spread, len(gaps) - 1, method, n)


def _welch(one: np.ndarray, two: np.ndarray) -> Difference | None:
    if min(len(one), len(two)) < 2:
        return None
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (one, two)]
    total = sum(parts)
    freedom = len(one) + len(two) - 2.0
    if total > 0:
        freedom = total**2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (one, two), strict=True))
    return _judged(float(np.mean(one) - np.mean(two)), math.sqrt(total), freedom, "welch", (len(one), len(two)))


def _judged(value: float, error: float, freedom: float, method: Method, n: tuple[int, int]) -> Difference:
    """Without any scatter the interval is the number itself, and any difference is certain."""
    if error == 0:
        return Difference(value, value, value, 1.0 if value == 0 else 0.0, method, n, 0.0, freedom)
    reach = _reach(error, freedom)
    p = float(2 * stats.t.sf(abs(value) / error, freedom))
    return Difference(value, value - reach, value + reach, p, method, n, error, freedom)


def _reach(error: float, freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for all comparisons made (Holm 1979), in the order given; below 0.05 a claim stands among all of them."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class Separation:
    """Variance between rows over that within rows (one-way analysis of variance), its p, and the standard deviations.

    `ratio` is about 1 where rows differ no more than seeds do; infinite where seeds don't differ at all.
    """

    ratio: float
    p: float
    between: float
    within: float


def separation(rows: Sequence[Values]) -> Separation | None:
    """How far rows lie apart beside how far their seeds scatter; None below two rows of two seeds."""
    groups = [_finite(row) for row in rows if len(row) >= 2]
    if len(groups) < 2:
        return None
    everything = np.concatenate(groups)
    outer, inner = len(groups) - 1, len(everything) - len(groups)
    between = sum(len(g) * float(np.mean(g) - np.mean(everything)) ** 2 for g in groups) / outer
    within = sum(float(np.var(g, ddof=1)) * (len(g) - 1) for g in groups) / inner
    spread = float(np.std([np.mean(g) for g in groups], ddof=1))
    if within == 0:
        return Separation(math.inf if between > 0 else math.nan, 0.0 if between > 0 else 1.0, spread, 0.0)
    ratio = between / within
    return Separation(ratio, float(stats.f.sf(ratio, outer, inner)), spread, math.sqrt(within))


def _finite(values: Values) -> np.ndarray:
    numbers = np.array(list(values.values()), dtype=np.float64)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise InputError(f"finite numbers are needed to take a mean over seeds, got {dict(values)}")
    return numbers
