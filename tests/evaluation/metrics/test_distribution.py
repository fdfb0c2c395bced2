"""Fréchet and kernel distances against closed forms, scipy's matrix root, and a direct double loop."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.distribution import (
    distribution_metrics,
    frechet_distance,
    frechet_gaussians,
    kernel_distance,
    ledoit_wolf,
    unbiased_mmd,
)
from mfs_lib.evaluation.metrics.features import FeatureSpace

SPACE = FeatureSpace(backend="b", frechet="fd_x", kernel="kid_x", pooled=lambda x: x)


def test_gaussians_in_closed_form() -> None:
    assert frechet_gaussians([0, 0], np.eye(2), [3, 4], np.eye(2)) == pytest.approx(25)
    # one dimension: (m - n)² + (s - t)²
    assert frechet_gaussians([1], [[9]], [3], [[4]]) == pytest.approx(4 + 1)
    # commuting covariances: the sum over axes of (s - t)²
    assert frechet_gaussians(np.zeros(3), np.diag([1, 4, 9]), np.zeros(3), np.diag([4, 4, 1])) == pytest.approx(1 + 4)


def test_gaussians_against_scipys_matrix_root() -> None:
    rng = np.random.default_rng(0)
    a, b = (root @ root.T for root in rng.normal(size=(2, 12, 12)))
    m, n = rng.normal(size=(2, 12))
    wanted = ((m - n) ** 2).sum() + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert frechet_gaussians(m, a, n, b) == pytest.approx(wanted, rel=1e-8)
    assert frechet_gaussians(m, a, m, a) == pytest.approx(0, abs=1e-9)


def test_rank_deficient_covariances() -> None:
    flat, other = np.diag([1.0, 0, 0]), np.diag([0, 4.0, 0])
    assert frechet_gaussians(np.zeros(3), flat, np.zeros(3), other) == pytest.approx(5)


def test_samples_give_their_gaussians() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(40_000, 2)), rng.normal(size=(40_000, 2)) * [2, 1] + [1, 0]
    assert frechet_distance(first, second) == pytest.approx(1 + 1, rel=0.03)
    assert frechet_distance(first, first[::-1]) == pytest.approx(0, abs=1e-9)


def test_too_few_samples_need_shrinkage() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(12, 30)), rng.normal(size=(12, 30)) + 1
    with pytest.raises(InputError, match="ledoit-wolf"):
        frechet_distance(first, second)
    assert frechet_distance(first, second, shrinkage="ledoit-wolf") > frechet_distance(
        first, first[::-1], shrinkage="ledoit-wolf"
    )
    with pytest.raises(InputError, match="two or more"):
        frechet_distance(first[:1], second)


def test_ledoit_wolf_by_its_definition() -> None:
    x = np.random.default_rng(3).normal(size=(15, 6)) * [1, 1, 2, 3, 1, 1]
    centred = x - x.mean(0)
    sample = centred.T @ centred / 15
    middle = np.trace(sample) / 6
    spread = np.linalg.norm(sample - middle * np.eye(6)) ** 2
    noise = sum(np.linalg.norm(np.outer(row, row) - sample) ** 2 for row in centred) / 15**2
    found, share = ledoit_wolf(x)
    assert share == pytest.approx(min(noise / spread, 1))
    assert 0 < share < 1
    np.testing.assert_allclose(found, (1 - share) * sample + share * middle * np.eye(6))


def test_mmd_against_a_double_loop() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(7, 5)), rng.normal(size=(6, 5)) + 0.5

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 5 + 1) ** 3)

    xx = sum(kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    yy = sum(kernel(y[i], y[j]) for i in range(6) for j in range(6) if i != j) / (6 * 5)
    xy = sum(kernel(a, b) for a in x for b in y) / (7 * 6)
    assert unbiased_mmd(x, y) == pytest.approx(xx + yy - 2 * xy)


def test_kernel_distance_is_zero_for_one_distribution_and_grows() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, 1500, 8))
    mean, deviation = kernel_distance(first, second, subset_size=200)
    assert abs(mean) < 0.02
    assert deviation > 0
    shifted = [kernel_distance(first, second + shift, subset_size=200)[0] for shift in (0.3, 0.6)]
    assert 0.1 < shifted[0] < shifted[1]
    assert kernel_distance(first, second, subset_size=200) == (mean, deviation)


def test_a_set_against_itself_is_at_zero_only_where_kin_are_kept_apart() -> None:
    features = np.random.default_rng(6).normal(size=(60, 20)) * 2
    rows = range(60)
    biased, _ = kernel_distance(features, features, subsets=400)
    fair, _ = kernel_distance(features, features, kin=(rows, rows), subsets=400)
    assert biased < -0.5
    assert abs(fair) < 0.15


def test_bad_subsets_are_refused() -> None:
    features = np.zeros((10, 3))
    for size in (1, 11):
        with pytest.raises(InputError, match="can't be drawn"):
            kernel_distance(features, features, subset_size=size)
    with pytest.raises(InputError, match="labels"):
        kernel_distance(features, features, kin=([0], range(10)))
    with pytest.raises(InputError, match="subset"):
        kernel_distance(features, features, subsets=0)


def test_protocols_say_how() -> None:
    rng = np.random.default_rng(7)
    few = distribution_metrics(rng.normal(size=(10, 16)), rng.normal(size=(10, 16)), SPACE)
    many = distribution_metrics(rng.normal(size=(40, 16)), rng.normal(size=(30, 16)), SPACE)
    assert [m.name for m in many] == ["fd_x", "kid_x", "kid_x_std"]
    assert "Ledoit" in few[0].protocol
    assert "full" in many[0].protocol
    assert "subsets of 15" in many[1].protocol
    assert {m.n for m in many} == {40}
