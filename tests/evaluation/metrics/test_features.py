"""MobileNetV2's distances: 0 for equal pictures, growing with the change; another network plugs in under its own name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mfs_lib.evaluation.metrics.distribution import distribution_metrics
from mfs_lib.evaluation.metrics.features import (
    FeatureSpace,
    feature_distances,
    mobilenet_space,
    pooled_features,
    resized,
)
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
