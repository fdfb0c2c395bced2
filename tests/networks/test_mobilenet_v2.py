"""MobileNetV2: recognises what it should, and folding the normalisation changed nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import AssetError, InputError
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.weights.convert.mobilenet_v2 import convert_mobilenet_v2
from mfs_lib.weights.models import load_mobilenet_v2
from mfs_lib.weights.registry import fetch
from mfs_lib.weights.safe_io import load_foreign_pickle


@pytest.fixture(scope="module")
def network() -> MobileNetV2Features:
    return load_mobilenet_v2()


@pytest.mark.parametrize(("name", "index"), [("cat", 285), ("coffee", 967)])
def test_it_knows_a_cat_and_an_espresso(network: MobileNetV2Features, name: str, index: int) -> None:
    image = getattr(skimage.data, name)()
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = cv2.resize(image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    scores = network.logits(torch.from_numpy(np.asarray(square)).permute(2, 0, 1)[None].float() / 255)
    assert scores.argmax().item() == index


def test_feature_maps(network: MobileNetV2Features) -> None:
    x = torch.rand(2, 3, 96, 128, requires_grad=True)
    maps = network(x)
    assert [m.shape[1] for m in maps] == list(network.channels)
    assert [tuple(m.shape[2:]) for m in maps] == [(48, 64), (24, 32), (12, 16), (6, 8), (3, 4)]
    assert network.pooled(x).shape == (2, 1280)
    sum(m.mean() for m in maps).backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


@torch.no_grad()
def test_fewer_taps_are_the_first_ones(network: MobileNetV2Features) -> None:
    x = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    some, every = network(x, taps=2), network(x)
    assert len(some) == 2 and all(torch.equal(a, b) for a, b in zip(some, every[:2], strict=True))


def test_folding_changes_nothing(network: MobileNetV2Features) -> None:
    """The first two layers, normalised step by step as torchvision does, against ours."""
    state = load_foreign_pickle(fetch("mobilenet-v2"))

    def step(x: Tensor, conv: str, norm: str, **options: int) -> Tensor:
        x = functional.conv2d(x, state[f"{conv}.weight"], **options)
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return functional.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"])

    image = torch.rand(1, 3, 64, 64)
    x = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    x = functional.relu6(step(x, "features.0.0", "features.0.1", stride=2, padding=1))
    x = functional.relu6(step(x, "features.1.conv.0.0", "features.1.conv.0.1", padding=1, groups=32))
    x = step(x, "features.1.conv.1", "features.1.conv.2")
    torch.testing.assert_close(network(image)[0], x, atol=1e-4, rtol=1e-4)


def test_refusals(network: MobileNetV2Features) -> None:
    with pytest.raises(InputError, match="32"):
        network(torch.zeros(1, 3, 16, 64))
    with pytest.raises(AssetError, match="refused"):
        convert_mobilenet_v2(fetch("sface"))
