"""Networks as ONNX files: one self-contained file each, checked, without traces of the exporter.

| file       | inputs                                     | outputs                            | runs            |
|------------|--------------------------------------------|------------------------------------|-----------------|
| person     | target (1,3,S,S)                           | of "result", "raw", "mask"         | every frame     |
| source     | face (1,3,112,112), the ArcFace view       | the person's weights, by name      | once per person |
| frame      | target (1,3,S,S), the person's weights     | of "result", "raw", "mask"         | every frame     |

All pictures are RGB in [0,1]. A person's file is one specialised network; source and frame together are the form for hosts
that change the person often. Shapes are fixed: runtimes plan their memory once, and accelerators ask for it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import onnx
import torch
from torch import Tensor, nn

from mfs_lib import __version__
from mfs_lib.deploy.frame import Layout, OpenFrame, Output, WithOutputs, injected_weights, person_weights, specialised
from mfs_lib.errors import InputError
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.idn import STRIDE
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, StaticSwapper
from mfs_lib.weights.safe_io import write_atomically

OPSET = 18
"""Operator set of every file: all runtimes of the last three years read it."""

FACE_SIZE = 112
"""Side of the recogniser's input in pixels."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's remarks about packages that aren't installed and its own internals."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def export_model(
    network: nn.Module,
    example: Sequence[Tensor],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    notes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Any network as a checked ONNX model with the shapes of `example`.

    Args:
        network: in eval mode.
        example: its arguments.
        inputs: their names.
        outputs: names of what it returns.
        notes: texts for the model's metadata.
    """
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(), tuple(example), dynamo=True, verbose=False,
            input_names=list(inputs), output_names=list(outputs), opset_version=OPSET,
        )  # fmt: skip
    model: onnx.ModelProto = cast(torch.onnx.ONNXProgram, program).model_proto
    _tidy(model, notes or {})
    onnx.checker.check_model(model, full_check=True)
    return model


def _tidy(model: onnx.ModelProto, notes: Mapping[str, str]) -> None:
    """Take out what tells of the exporter (source lines, module names), and say what the file is."""
    model.producer_name, model.producer_version, model.doc_string = "mfs_lib", __version__, ""
    del model.metadata_props[:]
    for key, value in sorted(notes.items()):
        model.metadata_props.add(key=key, value=value)
    graph = model.graph
    graph.name, graph.doc_string = "mobilefaceswap", ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    _rename_weights(graph)


def _rename_weights(graph: onnx.GraphProto) -> None:
    """A person's weights are called by their own names, without the modules that hold them."""
    renamed = {}
    for tensor in graph.initializer:
        short = tensor.name.rsplit("weights.", 1)[-1]
        renamed[tensor.name] = short
        tensor.name = short
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _check_size(size: int) -> None:
    if size < STRIDE or size % STRIDE:
        raise InputError(f"a crop's side must be a multiple of {STRIDE}, got {size}")


def person_model(
    static: StaticSwapper,
    *,
    size: int,
    layout: Layout = "packed",
    outputs: Sequence[Output] = ("raw", "mask"),
    half_mask: bool = False,
    notes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """One person's network for crops of side `size` (pixels, a multiple of 32)."""
    _check_size(size)
    network = WithOutputs(specialised(static, layout=layout, half_mask=half_mask), outputs)
    return export_model(network, [torch.zeros(1, 3, size, size)], inputs=["target"], outputs=outputs, notes=notes)


def frame_model(
    static: StaticSwapper,
    *,
    size: int,
    layout: Layout = "folded",
    outputs: Sequence[Output] = ("raw", "mask"),
    half_mask: bool = False,
    notes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Anybody's network, the person's weights being inputs; what `static` holds of a person is ignored."""
    _check_size(size)
    frame = OpenFrame(static, layout=layout, half_mask=half_mask)
    held = person_weights(static)
    example = [torch.zeros(1, 3, size, size), *(torch.zeros_like(held[name]) for name in frame.names)]
    network = WithOutputs(frame, outputs)
    return export_model(network, example, inputs=["target", *frame.names], outputs=outputs, notes=notes)


class SourceNetwork(nn.Module):
    """From a face to its person's weights: identity network and injection network in one."""

    def __init__(self, identity: nn.Module, student: MobileFaceSwap) -> None:
        super().__init__()
        self.identity, self.iin = identity, student.iin

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """`face` (1,3,112,112), RGB in [0,1] -> weights in the order of `frame.weight_names`."""
        features = cast(IdentityFeatures, self.identity(face))
        return injected_weights(self.iin(features))


def source_model(
    identity: nn.Module, student: MobileFaceSwap, *, names: Sequence[str], notes: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """The network that runs once per person; `names` are those of the weights (`OpenFrame.names`)."""
    network = SourceNetwork(identity, student)
    face = torch.zeros(1, 3, FACE_SIZE, FACE_SIZE)
    return export_model(network, [face], inputs=["face"], outputs=names, notes=notes)


def pair_models(
    identity: nn.Module,
    student: MobileFaceSwap,
    *,
    size: int,
    layout: Layout = "folded",
    outputs: Sequence[Output] = ("raw", "mask"),
    notes: Mapping[str, str] | None = None,
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Source and frame of a student and its recogniser, for anybody.

    Raises:
        ConfigError: a student whose person isn't in its kernels alone (ablations with AdaIN).
        InputError: a size that is no multiple of 32.
    """
    with torch.no_grad():
        static = student.specialise(identity(torch.zeros(1, 3, FACE_SIZE, FACE_SIZE)))
    frame = frame_model(static, size=size, layout=layout, outputs=outputs, notes=notes)
    names = [value.name for value in frame.graph.input if value.name != "target"]
    return source_model(identity, student, names=names, notes=notes), frame


def save_model(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model whole or not at all; returns the path. Raises OutputError where it can't be written."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(model.SerializeToString())

    write_atomically(path, write)
    return path
