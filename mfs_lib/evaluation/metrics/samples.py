"""Metrics that are means over pairs keep the values of the pairs, so that an interval can be drawn about them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.results import Metric

FloatArray = npt.NDArray[np.float64]

INTERVAL = "95 % percentile bootstrap, 2000 draws of source people (all pairs of a person together)"
"""How intervals of an evaluation are made."""

_CHUNK = 100  # draws at a time: memory stays small for many thousands of pairs


class SampleMean(Metric):
    """A `Metric` that is the mean of `samples`, or the sum of `samples` over the sum of `over` where that is given.

    Records keep the metric's own fields; the samples are for intervals and for finding the best and worst pairs.
    """

    samples: FloatArray
    over: FloatArray

    def __init__(
        self,
        *,
        name: str,
        samples: npt.ArrayLike | Tensor,
        protocol: str,
        unit: str = "1",
        backend: str = "none",
        over: npt.ArrayLike | Tensor | None = None,
    ) -> None:
        """`samples` (N,) and `over` (N,), finite. Raises InputError for none, others, or an `over` that sums to 0."""
        values = _array(samples)
        counts = np.ones_like(values) if over is None else _array(over)
        if values.ndim != 1 or values.shape != counts.shape or not np.isfinite([values, counts]).all():
            raise InputError(f"{name}: one finite number for each pair is needed, got {values.shape} {counts.shape}.")
        if not counts.sum() > 0:
            raise InputError(f"{name}: there is nothing to take a mean over.")
        value = float(values.sum() / counts.sum())
        super().__init__(
            name=name, value=value, unit=unit, backend=backend, protocol=protocol, n=int(np.count_nonzero(counts))
        )
        self.samples, self.over = values, counts

    def interval(self, groups: Sequence[Hashable] | None = None, *, seed: int = 0) -> tuple[float, float]:
        """`bootstrap_interval` of the samples at 95 %."""
        return bootstrap_interval(self.samples, over=self.over, groups=groups, seed=seed)


def percent(
    name: str, samples: npt.ArrayLike | Tensor, protocol: str, backend: str, *, over: npt.ArrayLike | None = None
) -> SampleMean:
    """The share, in percent, of samples in [0, 1] or of True ones; `over` as for `SampleMean`."""
    return SampleMean(
        name=name, samples=100 * _array(samples), unit="percent", backend=backend, protocol=protocol, over=over
    )


def bootstrap_interval(
    samples: npt.ArrayLike,
    *,
    over: npt.ArrayLike | None = None,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron 1979).

    Args:
        samples: (N,).
        over: (N,) denominators; the statistic is then the ratio of the two sums.
        groups: label of each sample. Groups are drawn, not samples: pairs of one person are not independent, and an
            interval that took them for so would be too narrow.
        level: share of the draws inside.
        draws: how many.
        seed: of the draws.

    Returns:
        (low, high).

    Raises:
        InputError: fewer than two groups (samples where there are none), or a level outside (0, 1).
    """
    values = _array(samples)
    counts = np.ones_like(values) if over is None else _array(over)
    labels = range(len(values)) if groups is None else groups
    if len(labels) != len(values) or len(counts) != len(values):
        raise InputError(f"{len(values)} samples, {len(counts)} denominators and {len(labels)} labels don't fit.")
    number = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    if len(number) < 2 or not 0 < level < 1 or draws < 1:
        raise InputError("An interval needs two groups at least, a level between 0 and 1, and draws.")
    index = np.array([number[label] for label in labels])
    totals = np.stack([np.bincount(index, weights=array) for array in (values, counts)])
    rng = np.random.default_rng(seed)
    shares = np.full(len(number), 1 / len(number))
    sizes = [min(_CHUNK, draws - start) for start in range(0, draws, _CHUNK)]
    sums = np.concatenate([rng.multinomial(len(number), shares, size=size) @ totals.T for size in sizes])
    kept = sums[sums[:, 1] > 0]  # a draw may miss every pair that counts
    low, high = np.quantile(kept[:, 0] / kept[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _array(values: npt.ArrayLike | Tensor) -> FloatArray:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(array, dtype=np.float64)
