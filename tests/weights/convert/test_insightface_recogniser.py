"""insightface's recognisers from ONNX, compared by value with what onnxruntime computes from the same file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.networks.iresnet import IResNet
from mfs_lib.weights.convert.insightface_recogniser import convert_insightface_recogniser, recogniser_layers

LAYERS = (2, 1, 3, 1)
WIDTH, SIZE = 4, 10


class Preprocessed(nn.Module):
    """The recogniser as insightface exports it: its input is already in [-1,1]."""

    def __init__(self, network: IResNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.raw((x + 1) / 2)


def recogniser(seed: int = 0) -> IResNet:
    """A narrow one whose normalisations all do something."""
    torch.manual_seed(seed)
    network = IResNet(layers=LAYERS, width=WIDTH, embedding_dim=SIZE)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(part.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.3, 2.0)  # type: ignore[arg-type]
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.3)
        elif isinstance(part, nn.PReLU):
            nn.init.uniform_(part.weight, -0.5, 0.9)
    return network.eval()


def strip_preprocessing(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the arithmetic on the input that turns [-1,1] to [0,1] and back: insightface's files have none."""
    graph = model.graph
    first = next(i for i, node in enumerate(graph.node) if node.op_type == "Conv")
    kept = [node for node in graph.node[:first] if node.op_type == "Identity" and node.input[0] in constants(graph)]
    following = list(graph.node[first:])
    following[0].input[0] = graph.input[0].name
    del graph.node[:]
    graph.node.extend(kept + following)
    return model


def constants(graph: onnx.GraphProto) -> set[str]:
    return {item.name for item in graph.initializer}


def export(path: Path, network: IResNet, *, folded: bool = True) -> onnx.ModelProto:
    """Write the file by PyTorch's own exporter, with all constants renamed to running numbers."""
    mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Preprocessed(network).eval(),
            (torch.rand(1, 3, 112, 112),),
            str(path),
            dynamo=False,
            opset_version=11,
            training=mode,
            do_constant_folding=folded,
            input_names=["input.1"],
        )
    model = strip_preprocessing(onnx.load(str(path)))
    names = {item.name: str(9000 + i) for i, item in enumerate(model.graph.initializer)}
    for item in model.graph.initializer:
        item.name = names[item.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.save(model, str(path))
    return model


def run_file(path: Path, faces: Tensor) -> Tensor:
    """The file's own embeddings of faces in [0,1], one after the other (the exported batch is 1)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    blobs = [((face[None].numpy() * 255 - 127.5) / 127.5).astype(np.float32) for face in faces]
    rows: list[npt.NDArray[np.float32]] = [session.run(None, {session.get_inputs()[0].name: blob})[0] for blob in blobs]
    return torch.from_numpy(np.concatenate(rows))


@torch.no_grad()
def assert_same_embeddings(path: Path) -> dict[str, Tensor]:
    state = convert_insightface_recogniser(path)
    assert recogniser_layers(state) == LAYERS
    network = IResNet(layers=LAYERS, width=WIDTH, embedding_dim=SIZE).eval()
    network.load_state_dict(state, strict=True)
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(9))
    expected = run_file(path, faces)
    assert (expected[0] - expected[1]).abs().max() > 1e-2
    assert torch.allclose(network.raw(faces), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert torch.allclose(network(faces), nn.functional.normalize(expected, dim=1), rtol=0, atol=1e-5)
    return state


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_folded_file_gives_the_same_embeddings(tmp_path: Path) -> None:
    path, network = tmp_path / "w600k_r50.onnx", recogniser()
    model = export(path, network)
    # What is left are the blocks' first normalisations, the one before the linear layer and the one after it.
    assert operators(model).count("BatchNormalization") == sum(LAYERS) + 2
    state = assert_same_embeddings(path)
    original = network.state_dict()
    assert torch.equal(state["layer3.2.bn1.running_var"], original["layer3.2.bn1.running_var"])
    assert torch.equal(state["layer1.1.prelu.weight"], original["layer1.1.prelu.weight"])
    assert torch.equal(state["layer1.0.bn3.running_mean"], torch.zeros(WIDTH))


def test_unfolded_file_gives_back_the_state_itself(tmp_path: Path) -> None:
    path, network = tmp_path / "glintr100.onnx", recogniser(1)
    model = export(path, network, folded=False)
    assert operators(model).count("BatchNormalization") == 3 * sum(LAYERS) + 4 + 3
    state = assert_same_embeddings(path)
    original = network.state_dict()
    assert state.keys() == {name for name in original if not name.endswith("num_batches_tracked")}
    for name, tensor in state.items():
        assert torch.allclose(tensor, original[name], rtol=0, atol=1e-7), name


def other_epsilon(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for item in node.attribute:
            if item.name == "epsilon":
                item.f = 2e-2


def other_forms(model: onnx.ModelProto) -> None:
    """The linear weight untransposed, Reshape for Flatten, dropout in between, an addition turned round."""
    graph = model.graph
    gemm = next(node for node in graph.node if node.op_type == "Gemm")
    weight = next(item for item in graph.initializer if item.name == gemm.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).T.copy(), weight.name))
    next(item for item in gemm.attribute if item.name == "transB").i = 0
    position = next(i for i, node in enumerate(graph.node) if node.op_type == "Flatten")
    flatten = graph.node[position]
    shape = helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(np.array([1, -1], np.int64)))
    inserted = [
        shape,
        helper.make_node("Dropout", [flatten.input[0]], ["kept"]),
        helper.make_node("Reshape", ["kept", "s"], [flatten.output[0]]),
    ]
    del graph.node[position]
    for node in reversed(inserted):
        graph.node.insert(position, node)
    addition = next(node for node in graph.node if node.op_type == "Add")
    addition.input[:] = list(addition.input)[::-1]


def without_last_normalisation(model: onnx.ModelProto) -> None:
    graph = model.graph
    gemm = next(node for node in graph.node if node.op_type == "Gemm")
    last = next(node for node in graph.node if node.input[0] == gemm.output[0])
    gemm.output[0] = last.output[0]
    graph.node.remove(last)


def with_convolution_biases(model: onnx.ModelProto) -> None:
    for i, node in enumerate([node for node in model.graph.node if node.op_type == "Conv"]):
        weight = next(item for item in model.graph.initializer if item.name == node.input[1])
        bias = np.linspace(-0.5, 0.5, weight.dims[0]).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(bias, f"b{i}"))
        node.input.append(f"b{i}")


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "unfolded"])
@pytest.mark.parametrize("change", [other_epsilon, other_forms, without_last_normalisation])
def test_other_exporters_forms_are_read(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], folded: bool
) -> None:
    path = tmp_path / "w.onnx"
    model = export(path, recogniser(2), folded=folded)
    change(model)
    onnx.save(model, str(path))
    assert_same_embeddings(path)


def test_bias_before_a_normalisation_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.onnx"
    model = export(path, recogniser(3), folded=False)
    with_convolution_biases(model)
    onnx.save(model, str(path))
    assert_same_embeddings(path)


def test_identity_nodes_that_share_equal_constants_are_read(tmp_path: Path) -> None:
    path, network = tmp_path / "w.onnx", recogniser(4)
    for part in (network.layer1[1], network.layer3[2]):
        nn.init.constant_(part.prelu.weight, 0.25)  # type: ignore[union-attr, arg-type]
        part.bn1.reset_parameters()  # type: ignore[union-attr, operator]
    model = export(path, network)
    assert "Identity" in operators(model)
    assert_same_embeddings(path)


def skip_the_residual(model: onnx.ModelProto) -> None:
    addition = [node for node in model.graph.node if node.op_type == "Add"][-1]
    addition.input[1] = addition.input[0]


def another_stride(model: onnx.ModelProto) -> None:
    node = [node for node in model.graph.node if node.op_type == "Conv"][1]
    next(item for item in node.attribute if item.name == "strides").ints[:] = [2, 2]


def a_relu(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "PRelu")
    node.op_type = "Relu"
    del node.input[1]


def a_scaled_linear_layer(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Gemm")
    next(item for item in node.attribute if item.name == "alpha").f = 2.0


def a_layer_after_the_embedding(model: onnx.ModelProto) -> None:
    graph = model.graph
    graph.node.append(helper.make_node("Relu", [graph.output[0].name], ["more"]))
    graph.output[0].name = "more"


def an_input_in_the_graph(model: onnx.ModelProto) -> None:
    graph = model.graph
    graph.node.insert(0, helper.make_node("Neg", [graph.input[0].name], ["negative"]))
    next(node for node in graph.node if node.op_type == "Conv").input[0] = "negative"


def a_shared_slope(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "PRelu")
    slope = next(item for item in model.graph.initializer if item.name == node.input[1])
    slope.CopyFrom(numpy_helper.from_array(np.full((1, 1, 1), 0.25, np.float32), slope.name))


@pytest.mark.parametrize(
    "change",
    [
        skip_the_residual, another_stride, a_relu, a_scaled_linear_layer, a_layer_after_the_embedding,
        an_input_in_the_graph, a_shared_slope,
    ],
)  # fmt: skip
def test_another_graph_is_refused(tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    path = tmp_path / "w.onnx"
    model = export(path, recogniser())
    convert_insightface_recogniser(path)
    change(model)
    onnx.save(model, str(path))
    with pytest.raises(AssetError, match="not an insightface recogniser"):
        convert_insightface_recogniser(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.onnx"
    with pytest.raises(AssetError):
        convert_insightface_recogniser(path)
    for content in (b"", b"\x00\xff not onnx at all" * 9):
        path.write_bytes(content)
        with pytest.raises(AssetError):
            convert_insightface_recogniser(path)
    with pytest.raises(AssetError, match="four stages"):
        recogniser_layers({"layer1.0.bn1.weight": torch.zeros(1), "conv1.weight": torch.zeros(1)})
