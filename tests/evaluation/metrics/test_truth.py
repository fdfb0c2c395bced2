"""Errors to the truth against scikit-image, and the two ends: the truth itself and the untouched target."""

from __future__ import annotations

import pytest
import skimage.metrics
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.truth import BEST_PSNR, absolute_errors, psnr, ssim, truth_metrics


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor]:
    """Smooth pictures, and the same with noise; (3, 3, 48, 48)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(48, 48), mode="bilinear", align_corners=False)
    return smooth, (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def test_psnr_and_ssim_are_scikit_images(pictures: tuple[Tensor, Tensor]) -> None:
    for row, (a, b) in enumerate(zip(*(one.double().numpy() for one in pictures), strict=True)):
        wanted = skimage.metrics.peak_signal_noise_ratio(a, b, data_range=1)
        assert psnr(*pictures)[row] == pytest.approx(wanted, abs=1e-6)
        alone = [
            skimage.metrics.structural_similarity(
                a[c], b[c], data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
            for c in range(3)
        ]
        assert ssim(*pictures)[row] == pytest.approx(sum(alone) / 3)
        assert 0.2 < ssim(*pictures)[row] < 0.99


def test_equal_pictures_have_a_finite_best() -> None:
    picture = torch.rand(2, 3, 16, 16)
    assert psnr(picture, picture).tolist() == [BEST_PSNR] * 2
    assert pytest.approx(58.92, abs=0.01) == BEST_PSNR
    assert absolute_errors(picture, picture).tolist() == [0, 0]


def test_grey_levels_of_bytes() -> None:
    dark = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    assert absolute_errors(dark + 7, dark).tolist() == pytest.approx([7])


def test_truth_and_target_are_told_apart(pictures: tuple[Tensor, Tensor]) -> None:
    target, truth = pictures
    exact = {m.name: m.value for m in truth_metrics(truth, truth, target)}
    nothing = {m.name: m.value for m in truth_metrics(target, truth, target)}
    assert (exact["error"], exact["error_ratio"], exact["ssim"]) == (0, 0, pytest.approx(1))
    assert nothing["error_ratio"] == 1
    assert nothing["error"] == exact["error_of_target"] > 1
    assert nothing["psnr"] < 30 < exact["psnr"]
    assert "lp_mnv2" not in exact
    same = truth_metrics(truth, target, target)
    assert "error_ratio" not in {m.name for m in same}


def test_unequal_stacks_are_refused(pictures: tuple[Tensor, Tensor]) -> None:
    for function in (absolute_errors, psnr, ssim):
        with pytest.raises(InputError, match="equal stacks"):
            function(pictures[0], pictures[1][:1])
