"""The judge: values of the original file's own interpreter (LiteRT 2.3, float32), gradient, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.networks.mobilefacenet import MobileFaceNet, SamePadConv2d
from mfs_lib.weights.convert.tflite_networks import convert_face_mesh, convert_mobilefacenet
from mfs_lib.weights.models import load_judge
from mfs_lib.weights.registry import fetch

# First six of the 192 numbers for each of the two noise images below, as the interpreter gives them.
REFERENCE = [
    [-0.11349573731422424, 0.8965840935707092, 0.39141130447387695],
    [-0.08331065624952316, -1.837319016456604, 1.7253646850585938],
    [-0.006850250530987978, 0.9092469215393066, 0.3946360647678375],
    [-0.0724572092294693, -1.7248166799545288, 1.2941389083862305],
]


@pytest.fixture(scope="module")
def judge() -> nn.Module:
    return load_judge()


def _noise() -> Tensor:
    values = np.random.default_rng(0).random((2, 112, 112, 3), dtype=np.float32)
    return torch.from_numpy(values).permute(0, 3, 1, 2)


def test_values_equal_the_interpreters(judge: MobileFaceNet) -> None:
    raw = judge.raw(_noise())[:, :6].reshape(4, 3).numpy()
    np.testing.assert_allclose(raw, REFERENCE, atol=1e-4)


def test_identities_have_unit_length_and_a_gradient(judge: nn.Module) -> None:
    x = _noise().requires_grad_()
    identity = judge(x)
    assert identity.shape == (2, 192)
    torch.testing.assert_close(identity.norm(dim=1), torch.ones(2))
    identity[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in judge.parameters())


def test_same_padding_puts_the_odd_zero_last() -> None:
    layer = SamePadConv2d(channels=1, out=1, kernel=3, stride=2)
    layer.conv.load_state_dict({"weight": torch.arange(9.0).reshape(1, 1, 3, 3), "bias": torch.zeros(1)})
    result = layer(torch.ones(1, 1, 4, 4))
    # The whole kernel fits at the first place; its last row and column hang over at the others.
    assert result.flatten().tolist() == [36.0, 0.0 + 1 + 3 + 4 + 6 + 7, 0.0 + 1 + 2 + 3 + 4 + 5, 0.0 + 1 + 3 + 4]


def test_refusals() -> None:
    with pytest.raises(InputError, match="112"):
        MobileFaceNet()(torch.zeros(1, 3, 96, 112))
    with pytest.raises(ConfigError, match="mobilefacenet"):
        load_judge("facenet")
    with pytest.raises(AssetError, match="another network"):
        convert_mobilefacenet(fetch("face-landmark"))
    with pytest.raises(AssetError, match="another network"):
        convert_face_mesh(fetch("mobilefacenet"))
    with pytest.raises(AssetError, match="not a TensorFlow Lite"):
        convert_mobilefacenet(fetch("sface"))
