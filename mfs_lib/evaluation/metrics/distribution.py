"""Distances between sets of pictures: Fréchet distance and kernel distance of deep features.

* **Fréchet distance** (Heusel et al. 2017): two sets of features taken for Gaussians,
  |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½). Biased: it falls with the number of pictures, so values compare at equal n only.
  With no more pictures than dimensions the covariances have no full rank; then either an error, or, if asked for,
  covariances shrunk towards a multiple of the identity (Ledoit and Wolf 2004), which the protocol says.
* **Kernel distance** (KID; Bińkowski et al. 2018): unbiased squared maximum mean discrepancy with the kernel
  (x·y / D + 1)³, averaged over random subsets; may come out below 0. Its standard deviation is over the subsets.
  It is only unbiased for sets that have nothing to do with one another, but a result shares its background with its own
  target: therefore the results of a subset are never those of the targets that they are compared with.

With swaps compared to their targets both are 0 for a system that changes nothing: neither says that a face was swapped.
Names carry the network (`fd_mnv2`, `kid_mnv2`); FID is only what Inception's features give. All in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.features import FeatureSpace
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.results import Metric

Shrinkage = Literal["none", "ledoit-wolf"]
Labels = npt.NDArray[np.integer[Any]]

SUBSETS = 100
LARGEST_SUBSET = 1000


def frechet_gaussians(mean: npt.ArrayLike, cov: npt.ArrayLike, mean2: npt.ArrayLike, cov2: npt.ArrayLike) -> float:
    """Fréchet (2-Wasserstein, squared) distance of two Gaussians with means (D,) and covariances (D, D)."""
    m, n = np.asarray(mean, np.float64), np.asarray(mean2, np.float64)
    a, b = np.asarray(cov, np.float64), np.asarray(cov2, np.float64)
    if m.ndim != 1 or m.shape != n.shape or a.shape != (len(m), len(m)) or a.shape != b.shape:
        raise InputError(f"Two means (D,) and covariances (D, D) are needed, got {m.shape} {a.shape} and {b.shape}.")
    values, vectors = np.linalg.eigh((a + a.T) / 2)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    # Σ₁Σ₂ has the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric: no matrix square root, no complex numbers.
    product = root @ b @ root
    cross = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(min=0)).sum()
    return max(0.0, float(((m - n) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * cross))


def frechet_distance(first: npt.ArrayLike, second: npt.ArrayLike, *, shrinkage: Shrinkage = "none") -> float:
    """Fréchet distance of two sets of features (N, D) and (M, D).

    Raises:
        InputError: shapes don't fit, fewer than two samples, or no more samples than dimensions without shrinkage.
    """
    x, y = _checked(first, second)
    if shrinkage == "none" and min(len(x), len(y)) <= x.shape[1]:
        raise InputError(
            f"{min(len(x), len(y))} pictures can't give a covariance of {x.shape[1]} features: take more pictures, the "
            "kernel distance, or shrinkage='ledoit-wolf'."
        )
    covariances = [np.cov(z, rowvar=False) if shrinkage == "none" else ledoit_wolf(z)[0] for z in (x, y)]
    shaped = [np.atleast_2d(cov) for cov in covariances]
    return frechet_gaussians(x.mean(0), shaped[0], y.mean(0), shaped[1])


def ledoit_wolf(samples: npt.ArrayLike) -> tuple[FloatArray, float]:
    """Shrunk covariance (D, D) of samples (N, D), and how much of it is the multiple of the identity, in [0, 1].

    Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices, section 3.3.
    """
    x = np.asarray(samples, np.float64)
    count, size = x.shape
    x = x - x.mean(0)
    cov = x.T @ x / count
    middle = np.trace(cov) / size
    spread = float((cov**2).sum() - size * middle**2)
    noise = float(((x**2).sum(1) ** 2).sum() / count - (cov**2).sum()) / count
    share = min(1.0, max(0.0, noise / spread)) if spread > 0 else 1.0
    return (1 - share) * cov + share * middle * np.eye(size), share


def kernel_distance(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    kin: tuple[Sequence[int], Sequence[int]] | None = None,
    subsets: int = SUBSETS,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation, over random subsets, of the unbiased squared MMD with the cubic kernel.

    Args:
        first, second: features (N, D) and (M, D).
        kin: (N,) and (M,) labels; pictures of one label, such as a result and its target, share something. Each draw
            splits the labels into two halves and takes the first set's subset from one, the second's from the other.
        subsets: how many are drawn, without replacement within each.
        subset_size: pictures in each; by default `usual_subset`.
        seed: of the draws.

    Raises:
        InputError: shapes don't fit, or there are too few pictures (or labels) for subsets of that size.
    """
    x, y = _checked(first, second)
    labels = None if kin is None else (np.asarray(kin[0]), np.asarray(kin[1]))
    if labels is not None and (len(labels[0]) != len(x) or len(labels[1]) != len(y)):
        raise InputError(f"{len(labels[0])} and {len(labels[1])} labels don't fit {len(x)} and {len(y)} pictures.")
    size = usual_subset(x, y) if subset_size is None else subset_size
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        rows = [np.arange(len(x)), np.arange(len(y))] if labels is None else _apart(*labels, rng)
        if not 2 <= size <= min(len(rows[0]), len(rows[1])):
            raise InputError(f"Subsets of {size} can't be drawn from {len(x)} and {len(y)} pictures: take more.")
        a, b = (rng.choice(one, size, replace=False) for one in rows)
        values.append(unbiased_mmd(x[a], y[b]))
    if not values:
        raise InputError("At least one subset is needed.")
    return float(np.mean(values)), float(np.std(values))


def usual_subset(first: FloatArray, second: FloatArray) -> int:
    """Pictures in a subset: 1000 (KID's), at most half of the smaller set, so that subsets differ."""
    return max(2, min(LARGEST_SUBSET, min(len(first), len(second)) // 2))


def _apart(first: Labels, second: Labels, rng: np.random.Generator) -> list[Labels]:
    """Rows of the first set with one random half of the labels, and of the second with the other half."""
    labels = rng.permutation(np.union1d(first, second))
    half = labels[: len(labels) // 2]
    return [np.flatnonzero(np.isin(first, half)), np.flatnonzero(~np.isin(second, half))]


def unbiased_mmd(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Unbiased squared maximum mean discrepancy of (N, D) and (M, D) with the kernel (x·y / D + 1)³."""
    x, y = _checked(first, second)
    size = x.shape[1]

    def kernel(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.asarray((a @ b.T / size + 1) ** 3)

    def among(a: FloatArray) -> float:
        gram = kernel(a, a)
        return float((gram.sum() - np.trace(gram)) / (len(a) * (len(a) - 1)))

    return among(x) + among(y) - 2 * float(kernel(x, y).mean())


def distribution_metrics(
    result: FloatArray,
    real: FloatArray,
    space: FeatureSpace,
    *,
    kin: tuple[Sequence[int], Sequence[int]] | None = None,
    to: str = "targets",
    suffix: str = "",
) -> list[Metric]:
    """Fréchet and kernel distance of features of results (N, D) from those of real pictures (M, D).

    Args:
        result, real: features in `space`.
        space: names and backend.
        kin: which results belong to which real pictures, see `kernel_distance`.
        to: what the real pictures are, for the protocol.
        suffix: end of the metrics' names.
    """
    few = min(len(result), len(real)) <= result.shape[1]
    shrinkage: Shrinkage = "ledoit-wolf" if few else "none"
    how = (
        "covariances shrunk after Ledoit and Wolf (2004), too few pictures for full ones" if few else "full covariances"
    )
    size = usual_subset(result, real)
    mean, deviation = kernel_distance(result, real, kin=kin, subset_size=size)

    def metric(name: str, value: float, protocol: str) -> Metric:
        return Metric(name=name, value=value, backend=space.backend, protocol=protocol, n=len(result))

    kernel = f"unbiased squared MMD, cubic kernel, {SUBSETS} subsets of {size}, results to {to}"
    kernel += " of other pairs" if kin is not None else ""
    frechet = frechet_distance(result, real, shrinkage=shrinkage)
    return [
        metric(space.frechet + suffix, frechet, f"results to {to}, {how}"),
        metric(space.kernel + suffix, mean, kernel),
        metric(f"{space.kernel}{suffix}_std", deviation, f"standard deviation over the subsets; {kernel}"),
    ]


def _checked(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise InputError(f"Two sets of two or more features (N, D) are needed, got {x.shape} and {y.shape}.")
    return x, y
