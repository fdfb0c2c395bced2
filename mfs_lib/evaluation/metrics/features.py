"""Deep features of crops, for distances between sets of pictures and between pictures.

Two spaces, never mixed under one name; `FeatureSpace` is where another network plugs in:

* ``mobilenet-v2`` (`fd_mnv2`, `kid_mnv2`) comes with the package. Numbers made with it are never called FID, KID or
  LPIPS.
* ``inception-2015-12-05`` (`fid`, `kid`), FID's own network, where the user has its weights. It has 2048 features: with
  no more pictures than that the covariances are shrunk, and the number isn't what others call FID (``distribution``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from mfs_lib.errors import AssetError
from mfs_lib.evaluation.metrics.meshes import in_unit
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.networks.inception_fid import InceptionFID
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.weights.convert.cached import converted_state
from mfs_lib.weights.convert.inception_fid import convert_inception_fid

SIDE = 224
"""Side in pixels that crops are resized to before MobileNetV2 sees them."""

MNV2_BACKEND = "mobilenet-v2"
INCEPTION_BACKEND = "inception-2015-12-05"


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


def inception_space(network: InceptionFID) -> FeatureSpace:
    """Inception's 2048 pooled features as a space: fid and kid. It resizes by itself."""
    return FeatureSpace(backend=INCEPTION_BACKEND, frechet="fid", kernel="kid", pooled=network)


def load_inception(*, device: torch.device | str = "cpu", offline: bool = False) -> InceptionFID:
    """FID's Inception, frozen. Raises AssetError, with what to do, where its weights are not there."""
    state = converted_state("inception-fid", convert_inception_fid, offline=offline)
    with torch.device("meta"):
        network = InceptionFID()  # without drawing weights that would be thrown away
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    return network.to(device)


def find_inception(*, device: torch.device | str = "cpu") -> InceptionFID | None:
    """FID's Inception if its weights are in the cache or the mirror, else None; nothing is downloaded."""
    try:
        return load_inception(device=device, offline=True)
    except AssetError:
        return None


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
