"""The page's graphs compute what the package's networks compute."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mfs_lib.deploy.browser_graphs import export_pair, person_names, specialised
from mfs_lib.errors import ConfigError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.swapping import Swapper

Graphs = tuple[onnx.ModelProto, onnx.ModelProto]
Feeds = dict[str, np.ndarray]


def _run(model: onnx.ModelProto, feeds: Feeds) -> Feeds:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


@pytest.fixture(scope="module")
def crops() -> tuple[torch.Tensor, torch.Tensor]:
    """A source's ArcFace view and a target crop, both of sampled people."""
    image = MorphableWorld.load().sample(2, torch.Generator().manual_seed(5)).image
    return arcface_view(image[:1]), image[1:]


@pytest.fixture(scope="module")
def weights(graphs: Graphs, crops: tuple[torch.Tensor, torch.Tensor]) -> Feeds:
    return _run(graphs[0], {"face": crops[0].numpy()})


@torch.no_grad()
def test_source_then_frame_is_the_specialised_network(
    swapper: Swapper, graphs: Graphs, crops: tuple[torch.Tensor, torch.Tensor], weights: Feeds
) -> None:
    face, target = crops
    wanted = swapper.student.specialise(swapper.identity(face))(target)
    found = _run(graphs[1], {"target": target.numpy(), **weights})
    assert np.abs(found["raw"] - wanted.raw.numpy()).max() < 1e-4
    assert np.abs(found["mask"] - wanted.mask.numpy()).max() < 1e-4
    assert np.abs(wanted.result.numpy() - target.numpy()).max() > 0.2


def test_frame_graph_reads_the_weights(
    graphs: Graphs, crops: tuple[torch.Tensor, torch.Tensor], weights: Feeds
) -> None:
    """Another person's weights give another face."""
    face, target = crops
    others = _run(graphs[0], {"face": face.flip(2).numpy()})
    one, other = (_run(graphs[1], {"target": target.numpy(), **given})["raw"] for given in (weights, others))
    assert np.abs(one - other).max() > 0.05


def test_specialised_graph_is_the_frame_graph_with_one_input(
    graphs: Graphs, crops: tuple[torch.Tensor, torch.Tensor], weights: Feeds
) -> None:
    target = crops[1].numpy()
    alone = specialised(graphs[1], weights)
    onnx.checker.check_model(alone)
    assert [entry.name for entry in alone.graph.input] == ["target"]
    apart, baked = _run(graphs[1], {"target": target, **weights}), _run(alone, {"target": target})
    for name in ("raw", "mask"):
        np.testing.assert_allclose(baked[name], apart[name], atol=1e-5)
    assert len(graphs[1].graph.input) == 1 + len(weights)  # the frame graph itself is left as it was


def test_weights_go_by_the_names_of_the_static_network(swapper: Swapper, weights: Feeds) -> None:
    static = swapper.student.specialise(swapper.identity(torch.rand(1, 3, 112, 112)))
    assert list(weights) == person_names(static)
    assert all(weights[name].shape == tuple(static.get_parameter(name).shape) for name in weights)


def test_other_weights_are_refused(graphs: Graphs, weights: Feeds) -> None:
    with pytest.raises(ConfigError, match="asks for"):
        specialised(graphs[1], {"somebody": weights[next(iter(weights))]})


def test_ablations_are_refused(swapper: Swapper) -> None:
    student = MobileFaceSwap(MobileFaceSwapConfig(pointwise="adain", embedding_dim=128, feature_channels=1024))
    with pytest.raises(ConfigError, match="modulated"):
        export_pair(swapper.identity, student, 128)
