"""One person's network in several shapes, untrained but lively: image and mask vary, and the person matters."""

from __future__ import annotations

import dataclasses

import onnx
import pytest
import torch
from torch import Tensor, nn

from mfs_lib.deploy.browser import source_and_frame
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, StaticSwapper
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.shipped import load_student
from tests.networks.conftest import SMALL, random_identities, randomise_norms

SHAPES: dict[str, dict[str, object]] = {
    "release": {},
    "first-skip": {"first_skip": True},
    "autoencoder": {"architecture": "autoencoder"},
    "mask-once": {"mask_upsampling": "once"},
    "no-fusion": {"fusion_mask": False},
    "plain": {"pointwise": "plain", "predictor_input": "embedding"},
    # More than one group of channels in the last decoder layer.
    "wide": {"channels": (40, 70, 72, 74, 76)},
}


def lively_model(**options: object) -> MobileFaceSwap:
    """A small network whose heads are turned up until mask and image use their range."""
    torch.manual_seed(3)
    model = MobileFaceSwap(dataclasses.replace(SMALL, kernel_base=True, **options))  # type: ignore[arg-type]
    randomise_norms(model)
    with torch.no_grad():
        for layer in [*model.fusion.modules(), *model.idn.final.modules()]:
            if isinstance(layer, nn.Conv2d):
                layer.weight.mul_(3)
    return model.eval()


def lively_static(name: str = "release", *, person: int = 0) -> StaticSwapper:
    """One person's network of a shape of `SHAPES`."""
    model = lively_model(**SHAPES[name])
    return model.specialise(random_identities(1, config=model.config, seed=person))


def picture(*, size: int = 64, batch: int = 1) -> Tensor:
    """Targets (B,3,size,size) in [0,1]."""
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def static() -> StaticSwapper:
    """One person's network of the release's shape."""
    return lively_static()


@pytest.fixture(scope="session")
def graphs() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The shipped student's source graph and frame graph, made once."""
    return source_and_frame(load_sface(), load_student())
