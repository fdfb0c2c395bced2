"""Deep features of crops, for distances between sets of pictures and between pictures.

`FeatureSpace` is where another network plugs in: whoever has Inception's weights makes one with ``frechet="fid"``,
``kernel="kid"`` and the function that gives its 2048 pooled features. What comes with the package is MobileNetV2, and
numbers made with it are never called FID, KID or LPIPS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from mfs_lib.evaluation.metrics.meshes import in_unit
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features

SIDE = 224
"""Side in pixels that crops are resized to before MobileNetV2 sees them."""

MNV2_BACKEND = "mobilenet-v2"


@dataclass(frozen=True, kw_only=True)
class FeatureSpace:
    """A network's pooled features.

    Attributes:
        backend: name of the network in records.
        frechet: name of the Fréchet distance in this space.
        kernel: name of the kernel distance.
        pooled: crops (B, 3, S, S) float32 in [0, 1] to features (B, D); resizing is its own business.
    """

    backend: str
    frechet: str
    kernel: str
    pooled: Callable[[Tensor], Tensor]


def mobilenet_space(network: MobileNetV2Features) -> FeatureSpace:
    """MobileNetV2's 1280 pooled features as a space: fd_mnv2 and kid_mnv2."""
    return FeatureSpace(
        backend=MNV2_BACKEND, frechet="fd_mnv2", kernel="kid_mnv2", pooled=lambda x: network.pooled(resized(x))
    )


def resized(crops: Tensor) -> Tensor:
    """Crops (B, 3, S, S) as (B, 3, 224, 224): bilinear, without aliasing where it shrinks."""
    if crops.shape[-1] == SIDE:
        return crops
    return functional.interpolate(crops, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


@torch.no_grad()
def pooled_features(
    crops: Tensor,
    space: FeatureSpace,
    *,
    device: torch.device | str = "cpu",
    batch: int = 32,
    progress: bool = False,
    label: str = "features",
) -> FloatArray:
    """Features (N, D) in float64 of crops (N, 3, S, S) in [0, 1] or uint8."""
    parts = tqdm(crops.split(batch), desc=label, disable=not progress)  # type: ignore[no-untyped-call]
    return torch.cat([space.pooled(in_unit(part.to(device))).cpu() for part in parts]).double().numpy()


@torch.no_grad()
def feature_distances(first: Tensor, second: Tensor, network: MobileNetV2Features, batch: int = 16) -> Tensor:
    """Perceptual distance of pairs of crops (N, 3, S, S): (N,), 0 for equal ones.

    As LPIPS (Zhang et al. 2018) without its learned weights: at each of the five feature maps the channels of a place
    are scaled to length 1, the squared differences are summed over channels and averaged over places; then the mean
    over the maps.
    """
    device = next(network.parameters()).device
    rows = []
    for a, b in zip(first.split(batch), second.split(batch), strict=True):  # type: ignore[no-untyped-call]
        pairs = [network(resized(in_unit(part.to(device)))) for part in (a, b)]
        layers = [(_unit(x) - _unit(y)).square().sum(1).mean((1, 2)) for x, y in zip(*pairs, strict=True)]
        rows.append(torch.stack(layers).mean(0).cpu())
    return torch.cat(rows)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True) + 1e-10).sqrt()
