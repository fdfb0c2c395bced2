"""Depthwise convolution in which every sample of a batch has its own kernels, and fast upsampling before it.

| backend     | bilinear upsampling         | final block's 1x1      | for                     |
|-------------|-----------------------------|------------------------|-------------------------|
| "reference" | `interpolate`               | after the upsampling   | counting, export, tests |
| "matmul"    | two small matrix products   | before it (they commute) | training on a CPU     |

Folding the batch into the channels makes per-sample filtering one grouped convolution: (B,C,H,W) is read as
(1,B*C,H,W). On a CPU, upsampling and its gradient take as long as the convolutions when done by `interpolate`; both
backends compute the same function up to rounding.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.networks.common import upsample2x

Backend = Literal["reference", "matmul"]


def depthwise_grouped(x: Tensor, kernel: Tensor, *, stride: int = 1) -> Tensor:
    """Filter `x` (B,C,H,W) with `kernel` (B,C,k,k) or one identity's (1,C,k,k); zero padding 1.

    Stride 1 with k = 3 keeps the size; stride 2 with k = 4 halves it.
    """
    batch, channels, height, width = x.shape
    size = kernel.shape[-1]
    if kernel.shape[0] == 1:
        weight = kernel.reshape(channels, 1, size, size)
        return functional.conv2d(x, weight, stride=stride, padding=1, groups=channels)
    folded = functional.conv2d(
        x.reshape(1, batch * channels, height, width),
        kernel.reshape(batch * channels, 1, size, size),
        stride=stride,
        padding=1,
        groups=batch * channels,
    )
    return folded.view(batch, channels, folded.shape[2], folded.shape[3])


@cache
def _matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The (2*size, size) matrix that upsamples a line."""
    with torch.inference_mode(mode=False), torch.no_grad():  # kept for later calls, which may want gradients
        lines = torch.eye(size, dtype=dtype, device=device)[None]
        doubled = functional.interpolate(lines, scale_factor=2.0, mode="linear", align_corners=True)
        return doubled[0].t().contiguous()


def upsample_matmul(x: Tensor) -> Tensor:
    """`upsample2x` of `x` (B,C,H,W) as products with two small matrices."""
    rows = _matrix(x.shape[2], x.dtype, x.device)
    columns = _matrix(x.shape[3], x.dtype, x.device)
    return torch.matmul(rows, torch.matmul(x.contiguous(), columns.t()))


def upsample(x: Tensor, *, backend: Backend) -> Tensor:
    """Double height and width of `x` (B,C,H,W), bilinear with corners aligned."""
    return upsample2x(x) if backend == "reference" else upsample_matmul(x)


def upsample_depthwise(x: Tensor, kernel: Tensor, *, backend: Backend) -> Tensor:
    """Double `x` (B,C,H,W), then filter it with `kernel` (B,C,3,3) or (1,C,3,3) under zero padding 1."""
    return depthwise_grouped(upsample(x, backend=backend), kernel)
