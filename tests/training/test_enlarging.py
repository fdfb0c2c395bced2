"""Enlarged targets: the network sees larger ones, and what the mask leaves alone is the target itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.training.config import experiment_from_dict
from mfs_lib.training.enlarging import swap_enlarged


@pytest.fixture
def student() -> MobileFaceSwap:
    """A tiny one at random."""
    torch.manual_seed(1)
    config = MobileFaceSwapConfig(
        channels=(4, 8, 8, 8, 8), mask_channels=(8, 8, 4, 4, 2), embedding_dim=16, feature_channels=8,
        predictor_width=8, kernel_base=True,
    )  # fmt: skip
    return MobileFaceSwap(config).eval()


@pytest.fixture
def someone() -> IdentityFeatures:
    """Of two people."""
    return IdentityFeatures(torch.eye(2, 16), torch.ones(2, 8, 7, 7))


def test_at_the_same_size_it_is_the_plain_swap(student: MobileFaceSwap, someone: IdentityFeatures) -> None:
    target = torch.rand(2, 3, 64, 64)
    plain, same = student(target, someone), swap_enlarged(student, target, someone, 64)
    assert all(torch.equal(a, b) for a, b in zip(plain, same, strict=True))


def test_the_network_sees_the_larger_picture(student: MobileFaceSwap, someone: IdentityFeatures) -> None:
    target, levels = torch.rand(2, 3, 64, 64), list[Tensor]()
    out = swap_enlarged(student, target, someone, 128, levels=levels)
    large = student(resized(target, 128), someone)
    assert levels[-1].shape[-1] == 64  # the last level lies at half of what the network sees
    assert out.result.shape == target.shape and out.mask.shape == (2, 1, 64, 64)
    assert torch.allclose(out.raw, resized(large.raw, 64), atol=1e-6)
    assert (out.result - target).abs().mean() > 0.01


def test_what_the_mask_leaves_alone_is_untouched(student: MobileFaceSwap, someone: IdentityFeatures) -> None:
    nn.init.constant_(student.fusion.layers[-1].bias, -1e4)  # type: ignore[union-attr, index]
    target = torch.rand(2, 3, 64, 64)
    assert torch.equal(swap_enlarged(student, target, someone, 128).result, target)


def test_sizes(student: MobileFaceSwap) -> None:
    experiment = experiment_from_dict({"data": {"size": 64}, "stages": [{"size": 64}], "enlarge": 2})
    assert experiment.crop_size == 128
    with pytest.raises(ConfigError, match="enlarge"):
        experiment_from_dict({"enlarge": 0})


def test_resizing_averages_down_and_interpolates_up() -> None:
    picture = torch.tensor([[0.0, 1.0], [1.0, 0.0]])[None, None]
    assert resized(picture, 1).item() == 0.5
    assert resized(picture, 2) is picture
    large = resized(picture, 4)
    assert large.shape == (1, 1, 4, 4) and torch.allclose(resized(large, 1), torch.tensor(0.5))
    assert 0.0 < large[0, 0, 1, 1] < 1.0
