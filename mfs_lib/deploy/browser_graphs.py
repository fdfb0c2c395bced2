"""The ONNX graphs that a page runs: one for whom the face is of, one for the frame.

| graph       | inputs                                   | outputs                                          | runs           |
|-------------|------------------------------------------|--------------------------------------------------|----------------|
| source      | `face` (1,3,112,112) RGB in [0,1]        | the person's weights of the frame network        | once a person  |
| frame       | `target` (1,3,S,S) RGB in [0,1], weights | `raw` (1,3,S,S), `mask` (1,1,S,S), both in [0,1] | on every frame |
| specialised | `target`                                 | the same                                         | on every frame |

`face` is the ArcFace view of the aligned source crop. Weights go from the source graph to the frame graph by name; a
specialised graph is the frame graph with one person's weights written in, so that both compute the same.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn
from torch.func import functional_call

from mfs_lib.errors import ConfigError
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.injection import IdnWeights
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, StaticSwapper, SwapOutput
from mfs_lib.networks.modulation import Modulated

FloatArray: TypeAlias = npt.NDArray[np.float32]
OPSET = 20
"""ONNX operator set of all graphs."""


class SourceNetwork(nn.Module):
    """ArcFace view of a source -> the tensors that make the frame network that person's, in the order of `names`."""

    def __init__(self, identity: nn.Module, student: MobileFaceSwap) -> None:
        super().__init__()
        self.identity = identity
        self.iin = student.iin

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """`face` (1,3,112,112) RGB in [0,1] -> depthwise (C,1,k,k) and pointwise (Cout,Cin,1,1) weights, by layer."""
        features: IdentityFeatures = self.identity(face)
        return tuple(person_tensors(self.iin(features)))


class FrameNetwork(nn.Module):
    """The frame network with the person's tensors as arguments beside the target."""

    def __init__(self, static: StaticSwapper, names: Sequence[str]) -> None:
        super().__init__()
        self.static = static
        self.names = tuple(names)

    def forward(self, target: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        """`target` (1,3,S,S) RGB in [0,1] and the tensors named `names` -> raw (1,3,S,S), mask (1,1,S,S) in [0,1]."""
        given = dict(zip(self.names, weights, strict=True))
        output: SwapOutput = functional_call(self.static, given, (target,))
        return output.raw, output.mask


def person_tensors(weights: IdnWeights) -> list[Tensor]:
    """What one person's injection writes into the frame network: two tensors a layer, in the order of `person_names`."""
    tensors = []
    for layer in (*weights.encoder, *weights.decoder):
        tensors += [layer.depthwise[0].unsqueeze(1), cast(Modulated, layer.pointwise).baked()[0]]
    return tensors


def person_names(static: StaticSwapper) -> list[str]:
    """Names of those tensors among the parameters of the frame network."""
    names = []
    for part, offset in (("encoder", 0), ("decoder", 1)):
        for stage in range(len(getattr(static.idn, part))):
            names += [f"idn.{part}.{stage}.{offset}.weight", f"idn.{part}.{stage}.{offset + 1}.weight"]
    return names


@torch.no_grad()
def export_pair(
    identity: nn.Module, student: MobileFaceSwap, crop_size: int
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The source graph and the frame graph of a student with its identity network, in float32.

    Raises:
        ConfigError: a student whose pointwise layers are not modulated (the ablations have other weights).
    """
    if student.config.pointwise != "modulated" or student.config.depthwise != "predicted":
        raise ConfigError("only students with predicted kernels and modulated weights can be put on a page")
    face = torch.rand(1, 3, 112, 112)
    static = student.specialise(identity(face))
    names = person_names(static)
    weights = tuple(static.get_parameter(name).detach() for name in names)
    source = _export(SourceNetwork(identity, student), (face,), ["face"], names)
    target = torch.rand(1, 3, crop_size, crop_size)
    frame = _export(FrameNetwork(static, names), (target, *weights), ["target", *names], ["raw", "mask"])
    return source, frame


def specialised(frame: onnx.ModelProto, weights: Mapping[str, FloatArray]) -> onnx.ModelProto:
    """The frame graph with one person's weights written in; `target` is its only input.

    Raises:
        ConfigError: `weights` are not those that the graph asks for.
    """
    wanted = [entry.name for entry in frame.graph.input if entry.name != "target"]
    if sorted(wanted) != sorted(weights):
        raise ConfigError(f"the frame graph asks for {len(wanted)} tensors, and these are {len(weights)} others")
    model = onnx.ModelProto()
    model.CopyFrom(frame)
    kept = [entry for entry in model.graph.input if entry.name == "target"]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(weights[name], name) for name in wanted)
    return model


def _export(network: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str]) -> onnx.ModelProto:
    """A network's graph, without the exporter's notes on where each node comes from."""
    with _quiet():
        program = torch.onnx.export(
            network.eval(), inputs, dynamo=True, input_names=names, output_names=outputs, opset_version=OPSET,
            verbose=False,
        )  # fmt: skip
    model = onnx.ModelProto()
    model.CopyFrom(cast(torch.onnx.ONNXProgram, program).model_proto)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No word from the exporter about its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
