"""Folding changes no function."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from mfs_lib.deploy.folding import folded_norm, joined_separable, through_pointwise
from mfs_lib.errors import InputError


@pytest.mark.parametrize(("bias", "affine"), [(True, True), (False, True), (True, False)])
def test_a_normalisation_folds_into_the_convolution_before_it(bias: bool, affine: bool) -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, padding=1, bias=bias), nn.BatchNorm2d(5, affine=affine)
    for _ in range(3):
        norm(torch.randn(4, 5, 6, 6) * 3 + 1)
    norm.eval()
    x = torch.randn(2, 3, 8, 8)
    weight, shift = folded_norm(conv, norm)
    folded = functional.conv2d(x, weight, shift, padding=1)
    torch.testing.assert_close(folded, norm(conv(x)), atol=1e-5, rtol=1e-5)
    assert (folded - conv(x)).abs().max() > 0.1  # the normalisation did something


def test_a_normalisation_by_the_batch_is_refused() -> None:
    with pytest.raises(InputError, match="running statistics"):
        folded_norm(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))


def test_depthwise_bias_and_kernel_move_through_a_pointwise_layer() -> None:
    torch.manual_seed(0)
    depthwise, pointwise = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 6, 1, bias=False)
    x = torch.randn(1, 4, 7, 7)
    kernel = joined_separable(depthwise.weight, pointwise.weight)
    assert depthwise.bias is not None
    joined = functional.conv2d(x, kernel, through_pointwise(pointwise.weight, depthwise.bias), padding=1)
    torch.testing.assert_close(joined, pointwise(depthwise(x)), atol=1e-6, rtol=1e-5)
