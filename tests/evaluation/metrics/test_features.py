"""MobileNetV2's distances: 0 for equal pictures, growing with the change; another network plugs in under its own name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.evaluation.metrics import features as module
from mfs_lib.evaluation.metrics.distribution import distribution_metrics
from mfs_lib.evaluation.metrics.features import (
    FeatureSpace,
    feature_distances,
    find_inception,
    inception_space,
    load_inception,
    mobilenet_space,
    pooled_features,
    resized,
)
from mfs_lib.networks.inception_fid import InceptionFID
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.weights.models import load_mobilenet_v2


@pytest.fixture(scope="module")
def network() -> MobileNetV2Features:
    return load_mobilenet_v2()


def test_distance_is_by_the_formula(network: MobileNetV2Features) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 3, 64, 64, generator=generator), torch.rand(2, 3, 64, 64, generator=generator)
    found = feature_distances(first, second, network, batch=1)
    with torch.no_grad():
        maps = network(resized(first)), network(resized(second))
    total = 0.0
    for a, b in zip(*maps, strict=True):
        cosine = torch.nn.functional.cosine_similarity(a[1], b[1], dim=0)
        # where a place has features at all, |a - b|² = 2 - 2 cos for unit vectors
        total += float((2 - 2 * cosine).mean())
    assert float(found[1]) == pytest.approx(total / 5, rel=1e-3)
    assert feature_distances(first, first, network).tolist() == [0, 0]


def test_more_change_is_more_distance(network: MobileNetV2Features) -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 0.5
    picture[..., 16:48, 16:48] += 0.5
    distances = [float(feature_distances(picture, (picture + d).clamp(0, 1), network)) for d in (0.02, 0.1, 0.3)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_bytes_and_floats_give_the_same_features(network: MobileNetV2Features) -> None:
    pixels = torch.randint(0, 256, (3, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    space = mobilenet_space(network)
    found = pooled_features(pixels, space, batch=2)
    assert found.shape == (3, 1280)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, pooled_features(pixels.float() / 255, space), atol=1e-4)


def test_names_say_the_network() -> None:
    assert mobilenet_space(MobileNetV2Features()).frechet == "fd_mnv2"

    def mean_colour(x: Tensor) -> Tensor:
        return x.mean((2, 3))

    space = FeatureSpace(backend="inception-v3", frechet="fid", kernel="kid", pooled=mean_colour)
    features = pooled_features(torch.rand(20, 3, 8, 8), space)
    found = distribution_metrics(features, features, space, suffix="_truth")
    assert [m.name for m in found] == ["fid_truth", "kid_truth", "kid_truth_std"]
    assert {m.backend for m in found} == {"inception-v3"}


class _Coarse(InceptionFID):
    """In Inception's place: twelve features, so that distances take no time."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 12)."""
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


def test_inceptions_distances_are_called_fid_and_kid() -> None:
    space = inception_space(_Coarse())
    generator = torch.Generator().manual_seed(3)
    pictures = [pooled_features(torch.rand(40, 3, 8, 8, generator=generator) * k, space) for k in (1.0, 0.5)]
    same, other = (distribution_metrics(pictures[0], one, space) for one in pictures)
    assert [m.name for m in same] == ["fid", "kid", "kid_std"]
    assert {m.backend for m in same} == {"inception-2015-12-05"}
    assert same[0].value == pytest.approx(0, abs=1e-9) and other[0].value > 0.1
    assert abs(same[1].value) < 0.1 * other[1].value
    assert "full covariances" in same[0].protocol
    assert "shrunk" in distribution_metrics(pictures[0][:12], pictures[1][:12], space)[0].protocol


def test_inception_is_found_and_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        shapes = InceptionFID().state_dict()
    state = {name: torch.full(value.shape, 0.01).to(value.dtype) for name, value in shapes.items()}
    asked: list[tuple[str, bool]] = []

    def converted(name: str, _: object, *, offline: bool) -> dict[str, Tensor]:
        asked.append((name, offline))
        return state

    monkeypatch.setattr(module, "converted_state", converted)
    before = torch.random.get_rng_state()
    network = find_inception()
    assert network is not None and asked == [("inception-fid", True)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert pooled_features(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), inception_space(network)).shape == (1, 2048)


def test_without_weights_there_is_no_inception(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MFS_CACHE", str(tmp_path))
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    assert find_inception() is None
    with pytest.raises(AssetError, match="mfs fetch inception-fid"):
        load_inception(offline=True)
