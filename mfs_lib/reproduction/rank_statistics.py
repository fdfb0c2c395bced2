"""Rank correlations with intervals: how well one number orders pictures as another does.

Spearman's ρ; the partial one takes from both rankings what a linear function of the ranks of other columns (covariates)
explains. Intervals are percentile bootstraps (Efron 1979) over groups, so that pictures of one pair stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.results import Metric

Rows = npt.NDArray[np.int64]

INTERVAL = "95 % percentile bootstrap, 1000 draws of pairs"
_DRAWS, _LEVEL, _FLAT = 1000, 0.95, 1e-9


@dataclass(frozen=True)
class Estimate:
    """A number and its interval."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0

    def text(self, digits: int = 2) -> str:
        """`-0.31 (-0.39 to -0.22)`, with so many digits after the point and a true minus sign."""
        value, low, high = (f"{x:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})".replace("-", "−")

    def __str__(self) -> str:
        """With two digits."""
        return self.text()


def spearman(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rank correlation of two lists (N,); 0 where one of them is all alike and ranks nothing.

    Raises:
        InputError: lists of different lengths, or fewer than two numbers.
    """
    return partial_spearman(first, second, None)


def partial_spearman(first: FloatArray, second: FloatArray, covariates: FloatArray | None) -> float:
    """Rank correlation of what covariates (N, C) leave of two rankings (N,); 0 where they leave nothing.

    Raises:
        InputError: sizes don't fit, or too few numbers for so many covariates.
    """
    columns = 0 if covariates is None else covariates.shape[1]
    if first.shape != second.shape or first.ndim != 1 or (covariates is not None and len(covariates) != len(first)):
        raise InputError(f"ranks need lists of as many numbers, got {first.shape} and {second.shape}")
    if len(first) < columns + 2:
        raise InputError(f"{len(first)} numbers are too few to be ranked beside {columns} covariates")
    known = np.ones((len(first), 1))
    if covariates is not None:
        known = np.concatenate([known, rankdata(covariates, axis=0)], 1)
    ranks = np.stack([rankdata(first), rankdata(second)], 1)
    left = ranks - known @ np.linalg.lstsq(known, ranks, rcond=None)[0]
    size = np.linalg.norm(left, axis=0)
    if (size <= _FLAT * np.linalg.norm(ranks, axis=0)).any():
        return 0.0
    return float(left[:, 0] @ left[:, 1] / size.prod())


def explained(outcome: FloatArray, covariates: FloatArray) -> float:
    """Multiple rank correlation: that of an outcome (N,) and the best linear function of the covariates' ranks (N, C).

    Raises:
        InputError: as `partial_spearman`.
    """
    if covariates.ndim != 2 or len(covariates) != len(outcome) or len(outcome) < covariates.shape[1] + 2:
        raise InputError(f"{covariates.shape} covariates don't fit {outcome.shape} outcomes")
    known = np.concatenate([np.ones((len(outcome), 1)), rankdata(covariates, axis=0)], 1)
    ranks = rankdata(outcome)
    left = ranks - known @ np.linalg.lstsq(known, ranks, rcond=None)[0]
    total = np.square(ranks - ranks.mean()).sum()
    return float(np.sqrt(max(0.0, 1 - np.square(left).sum() / total))) if total > 0 else 0.0


def mean_within(first: FloatArray, second: FloatArray) -> float:
    """Mean over the columns of two tables (K, N) of the rank correlation within a column."""
    if first.shape != second.shape or first.ndim != 2:
        raise InputError(f"two tables of one shape are compared, got {first.shape} and {second.shape}")
    return float(np.mean(column_correlations(first, second)))


def column_correlations(first: FloatArray, second: FloatArray) -> FloatArray:
    """The rank correlations (N,) within the columns of two tables (K, N)."""
    return np.array([spearman(a, b) for a, b in zip(first.T, second.T, strict=True)])


def bootstrap(statistic: Callable[[Rows], float], groups: int, *, seed: int = 0, draws: int = _DRAWS) -> Estimate:
    """A statistic of chosen groups, with its interval.

    Args:
        statistic: takes indices of groups, which may repeat.
        groups: how many there are; the value itself is taken of each of them once.
        seed: of the draws.
        draws: how many.

    Raises:
        InputError: fewer than two groups.
    """
    if groups < 2:
        raise InputError("an interval needs two pairs at least")
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(0, groups, groups)) for _ in range(draws)]
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(statistic(np.arange(groups)), float(low), float(high))


def estimate_rows(
    name: str, found: Estimate, protocol: str, n: int, *, backend: str = "spearman", unit: str = "1"
) -> list[Metric]:
    """The metrics `name`, `name_low` and `name_high` of a record."""
    ends = (("", found.value), ("_low", found.low), ("_high", found.high))
    return [
        Metric(
            name=name + end, value=value, unit=unit, backend=backend, n=n,
            protocol=protocol if not end else f"{end[1:]} end of the {INTERVAL}; {protocol}",
        )
        for end, value in ends
    ]  # fmt: skip


def read_estimate(metrics: Sequence[Metric], name: str) -> Estimate:
    """An estimate as `estimate_rows` recorded it.

    Raises:
        InputError: it wasn't recorded.
    """
    values = {metric.name: metric.value for metric in metrics}
    if missing := [name + end for end in ("", "_low", "_high") if name + end not in values]:
        raise InputError(f"the record has no {', '.join(missing)}")
    return Estimate(*(values[name + end] for end in ("", "_low", "_high")))
