"""SFace in torch against onnxruntime on the original file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from mfs_lib.errors import AssetError, InputError
from mfs_lib.networks.sface import SFace
from mfs_lib.weights.convert.sface import convert_sface
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.registry import fetch

NODES = ("conv_14_relu", "bn1", "fc1")


@pytest.fixture(scope="module")
def sface() -> SFace:
    return load_sface()


@pytest.fixture(scope="module")
def original() -> Any:
    """The original file as an onnxruntime session that also gives the inner nodes in `NODES`."""
    model = onnx.load(str(fetch("sface")))
    data = next(item for item in model.graph.input if item.name == "data")
    # The file lists its constants as inputs, which onnxruntime refuses for quantised ones.
    del model.graph.input[:]
    model.graph.input.append(data)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in NODES[:-1])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def faces() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(3, 3, 14, 14, generator=generator), size=112, mode="bicubic")
    return (0.8 * smooth + 0.2 * torch.rand(3, 3, 112, 112, generator=generator)).clamp(0, 1)


def test_embedding_and_feature_map_equal_onnxruntime(sface: SFace, original: Any, faces: Tensor) -> None:
    with torch.no_grad():
        raw, _ = sface.raw(faces)
        features = sface(faces)
    for index, face in enumerate(faces):
        last, normalised, embedding = original.run(list(NODES), {"data": face[None].numpy() * 255})
        np.testing.assert_allclose(raw[index].numpy(), embedding[0], atol=1e-4)
        np.testing.assert_allclose(features.feature_map[index].numpy(), normalised[0], atol=1e-4)
        # The feature map is the one after the normalisation: the one before it is something else.
        assert np.abs(last - normalised).max() > 0.1
        unit = embedding[0] / np.linalg.norm(embedding[0])
        np.testing.assert_allclose(features.embedding[index].numpy(), unit, atol=1e-5)


def test_shapes_and_unit_length(sface: SFace, faces: Tensor) -> None:
    features = sface(faces)
    assert features.embedding.shape == (3, 128)
    assert features.feature_map.shape == (3, 1024, 7, 7)
    torch.testing.assert_close(features.embedding.norm(dim=1), torch.ones(3))


def test_it_is_frozen_but_differentiable(sface: SFace, faces: Tensor) -> None:
    assert not sface.training
    assert not any(parameter.requires_grad for parameter in sface.parameters())
    # A step along the gradient changes the output by what the gradient promises.
    x = faces[:1].double().requires_grad_()
    network = load_sface().double()
    direction = torch.randn(128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((network(x).embedding @ direction).sum(), x)
    step = 1e-5 * gradient / gradient.norm()
    with torch.no_grad():
        change = ((network(x + step).embedding - network(x - step).embedding) @ direction).sum()
    torch.testing.assert_close(change, 2 * (step * gradient).sum(), rtol=1e-3, atol=0)


def test_batching_changes_nothing(sface: SFace, faces: Tensor) -> None:
    together = sface(faces).embedding
    alone = torch.cat([sface(face[None]).embedding for face in faces])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(3, 112, 112), (1, 3, 128, 128), (1, 1, 112, 112)])
def test_other_shapes_are_typed_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="112"):
        SFace()(torch.zeros(shape))


def test_another_network_is_refused() -> None:
    with pytest.raises(AssetError, match="not the SFace network"):
        convert_sface(fetch("yunet"))
    with pytest.raises(AssetError, match="not the SFace network"):
        convert_sface(fetch("mobilefacenet"))
