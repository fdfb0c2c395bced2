"""Means keep their samples; intervals cover, respect groups, and refuse nonsense."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.samples import SampleMean, bootstrap_interval, percent
from mfs_lib.results import Metric, Record, append_record, load_records


def test_a_mean_is_a_metric_and_can_be_recorded(tmp_path: Path) -> None:
    mean = SampleMean(name="m", samples=[1.0, 2.0, 6.0], unit="degree", backend="b", protocol="p")
    assert isinstance(mean, Metric)
    assert (mean.value, mean.n, str(mean)) == (3.0, 3, "3°")
    assert set(asdict(mean)) == {"name", "value", "unit", "backend", "protocol", "n"}
    record = Record(experiment="e", profile="smoke", seed=0, metrics=(mean,), device="cpu", wall_seconds=1.0)
    append_record(tmp_path / "r.jsonl", record)
    assert load_records(tmp_path / "r.jsonl")[0].metric("m").value == 3.0


def test_ratio_of_sums() -> None:
    ratio = SampleMean(name="m", samples=[1, 0, 3], over=[2, 0, 2], protocol="p")
    assert (ratio.value, ratio.n) == (1.0, 2)
    assert percent("m", np.array([True, False, True, True]), "p", "b").value == 75
    assert percent("m", [1, 0, 0], "p", "b", over=[1, 0, 1]).value == 50


@pytest.mark.parametrize(("samples", "over"), [([], None), ([1, np.nan], None), ([[1, 2]], None), ([1, 2], [0, 0])])
def test_nothing_to_average_is_refused(samples: list[float], over: list[float] | None) -> None:
    with pytest.raises(InputError):
        SampleMean(name="m", samples=samples, over=over, protocol="p")


def test_interval_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(np.full(9, 3.0)) == (3.0, 3.0)


def test_people_are_drawn_and_not_their_pairs() -> None:
    person = np.random.default_rng(2).normal(size=20)
    values, groups = np.repeat(person, 50), [f"p{k // 50}" for k in range(1000)]
    naive, fair = bootstrap_interval(values), bootstrap_interval(values, groups=groups)
    assert fair[1] - fair[0] > 5 * (naive[1] - naive[0])
    once = bootstrap_interval(person)
    assert fair == pytest.approx(once, abs=1e-12)


def test_interval_of_a_ratio() -> None:
    rng = np.random.default_rng(3)
    over = rng.uniform(1, 2, 300)
    low, high = bootstrap_interval(0.7 * over, over=over)
    assert (low, high) == pytest.approx((0.7, 0.7))


def test_too_little_for_an_interval_is_refused() -> None:
    for arguments in (
        {"samples": [1.0]},
        {"samples": [1.0, 2.0], "groups": ["a", "a"]},
        {"samples": [1, 2], "level": 1},
    ):
        with pytest.raises(InputError, match="two groups"):
            bootstrap_interval(**arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="don't fit"):
        bootstrap_interval([1.0, 2.0], groups=["a"])
