"""Error to the truth, where the exact swap is known (the face world) or taken to be (a teacher's picture).

Pictures are compared pixel by pixel over the whole crop, in the target's frame.
"""

from __future__ import annotations

import numpy as np
import skimage.metrics
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.features import MNV2_BACKEND, feature_distances
from mfs_lib.evaluation.metrics.meshes import in_unit
from mfs_lib.evaluation.metrics.samples import FloatArray, SampleMean
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features

LEAST_MSE = 1 / (12 * 255**2)
"""Mean squared error of rounding to 8 bits. Equal pictures count as if they erred by it, because infinity has no mean."""

BEST_PSNR = 10 * np.log10(1 / LEAST_MSE)
"""What that is in decibels, 58.92."""


def absolute_errors(first: Tensor, second: Tensor) -> FloatArray:
    """Mean absolute difference (N,) in grey levels of 255 of crops (N, 3, S, S) in [0, 1] or uint8."""
    _check(first, second)
    rows = [float((in_unit(a) - in_unit(b)).abs().mean()) * 255 for a, b in zip(first, second, strict=True)]
    return np.asarray(rows, np.float64)


def psnr(first: Tensor, second: Tensor) -> FloatArray:
    """Peak signal-to-noise ratio (N,) in decibels, at most `BEST_PSNR`."""
    _check(first, second)
    pairs = zip(first, second, strict=True)
    mse = np.array([float((in_unit(a).double() - in_unit(b).double()).square().mean()) for a, b in pairs])
    return np.asarray(10 * np.log10(1 / np.maximum(mse, LEAST_MSE)))


def ssim(first: Tensor, second: Tensor) -> FloatArray:
    """Structural similarity (N,) as Wang et al. (2004): Gaussian window of 1.5 pixels, mean of the three channels."""
    _check(first, second)
    rows = [
        skimage.metrics.structural_similarity(  # type: ignore[no-untyped-call]
            in_unit(a).cpu().double().numpy(), in_unit(b).cpu().double().numpy(), data_range=1.0, channel_axis=0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        for a, b in zip(first, second, strict=True)
    ]  # fmt: skip
    return np.asarray(rows, np.float64)


def truth_metrics(
    result: Tensor, truth: Tensor, target: Tensor, network: MobileNetV2Features | None = None
) -> list[SampleMean]:
    """Errors of results to truths.

    Args:
        result, truth, target: (N, 3, S, S) in [0, 1] or uint8, of one frame.
        network: MobileNetV2 with its weights; without it there is no lp_mnv2.

    Returns:
        error, psnr, ssim, lp_mnv2, error_of_target and error_ratio, the last where targets differ from truths at all.

    Raises:
        InputError: shapes differ.
    """
    error, nothing = absolute_errors(result, truth), absolute_errors(target, truth)

    def pixels(name: str, samples: FloatArray, protocol: str, unit: str = "1", backend: str = "pixels") -> SampleMean:
        return SampleMean(name=name, samples=samples, unit=unit, backend=backend, protocol=protocol)

    metrics = [
        pixels("error", error, "mean absolute error to the truth, grey levels of 255", "grey levels"),
        pixels("psnr", psnr(result, truth), f"mean over pairs, each at most {BEST_PSNR:.2f} dB (8-bit rounding)", "dB"),
        pixels("ssim", ssim(result, truth), "Gaussian window, sigma 1.5 pixels, RGB channels", backend="scikit-image"),
        pixels("error_of_target", nothing, "the error of the untouched target", "grey levels"),
    ]
    if network is not None:
        distance = feature_distances(result, truth, network).double().numpy()
        protocol = "squared distance of unit-length channels, mean of five maps, no learned weights, at 224 pixels"
        metrics.append(pixels("lp_mnv2", distance, protocol, backend=MNV2_BACKEND))
    if nothing.sum() > 0:
        protocol = "error to the truth over the target's own, means over pairs"
        ratio = SampleMean(name="error_ratio", samples=error, over=nothing, backend="pixels", protocol=protocol)
        metrics.append(ratio)
    return metrics


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4 or not len(first):
        raise InputError(f"Two equal stacks of crops (N, 3, S, S) are needed, got {first.shape} and {second.shape}.")
