"""Making graphs small enough to be downloaded: few levels for each weight, entropy coding for the file.

A matrix is stored as 8-bit integers with one step for each of its output channels, and the graph multiplies them out
when it runs. A step is a fraction of the channel's spread, 1/levels, so that a weight takes fewer than 256 values; gzip,
which every browser undoes, then packs it into little more than the entropy of a normal distribution cut into such
steps: log2(4.13 levels) bits, 4.4 for 5 levels, 7.4 for 40. Any number of bits can be had so, in one encoding.

Where the bits go was measured on forty sampled pairs. The two layers with by far the most weights, which sum over 50,176
and 16,384 inputs, bear coarse steps without a trace (errors average out); the recogniser's convolutions and the rest of
the injection do not. So 5 and 6 levels there, `LEVELS` elsewhere, are as good as 8 full bits everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from mfs_lib.errors import AssetError

FloatArray: TypeAlias = npt.NDArray[np.float32]

LEVELS = 40.0
"""Steps to a channel's root mean square."""

COARSE_LEVELS = {"identity.linear.weight": 5.0, "iin.code.first.weight": 6.0}
"""The same for weights of the source graph that bear less."""

_LARGE = 4096  # smaller tensors stay as they are: together they are less than 1 % of the source graph
_INT8 = 127
_YUNET_OUTPUTS = 12
_GZIP_WINDOW = 31  # zlib's number for its largest window with gzip's header


def coarse_weights(
    model: onnx.ModelProto, *, levels: float = LEVELS, coarse: Mapping[str, float] = COARSE_LEVELS
) -> onnx.ModelProto:
    """A copy of a graph whose large weights are 8-bit integers, multiplied out when it runs.

    Unlike `quantise.quantised`, whose weights a session multiplies out once: this graph runs once a person, and its session
    keeps 15 MB instead of 62.

    Args:
        model: float32 graph, without external data.
        levels: steps to the root mean square of each output channel (first axis).
        coarse: other numbers of levels, by name of the weight.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model)
    nodes, kept = [], []
    for tensor in small.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2 or np.prod(tensor.dims) < _LARGE:
            kept.append(tensor)
            continue
        values, steps = quantise(onnx.numpy_helper.to_array(tensor), coarse.get(tensor.name, levels))
        name = tensor.name
        kept.append(onnx.numpy_helper.from_array(values, f"{name}.integers"))
        kept.append(onnx.numpy_helper.from_array(steps, f"{name}.steps"))
        nodes.append(onnx.helper.make_node("DequantizeLinear", [f"{name}.integers", f"{name}.steps"], [name], axis=0))
    del small.graph.initializer[:]
    small.graph.initializer.extend(kept)
    nodes.extend(small.graph.node)
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    return small


def quantise(weight: FloatArray, levels: float = LEVELS) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """A weight (C, ...) as integers in [-127, 127] of its shape and one step for each of its C channels.

    The step is the channel's root mean square over `levels`, or larger where the channel has outliers that would not
    fit into 127 steps.
    """
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    spread = np.sqrt(np.square(flat).mean(axis=1))
    steps = np.maximum(np.maximum(spread / levels, np.abs(flat).max(axis=1) / _INT8), 1e-12)
    integers = np.rint(flat / steps[:, None]).astype(np.int8)
    return integers.reshape(weight.shape), steps.astype(np.float32)


def plain_detector(detector: onnx.ModelProto) -> onnx.ModelProto:
    """YuNet's graph in float32, for pictures (1, 3, H, W) of any height and width that are multiples of 32.

    The published file keeps its weights as blocks of 8-bit integers with a step and an offset each. ONNX Runtime refuses
    those of a single block, so they are multiplied out here, as OpenCV does when it loads the file. The file also states
    a size of 640 x 640, on which nothing in it depends.

    Raises:
        AssetError: the graph is not YuNet's.
    """
    if [entry.name for entry in detector.graph.input] != ["input"] or len(detector.graph.output) != _YUNET_OUTPUTS:
        raise AssetError("the detector's file is not YuNet's: fetch it again with 'mfs fetch yunet'")
    model = onnx.ModelProto()
    model.CopyFrom(detector)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            values[node.output[0]] = _multiplied_out(node, values)
        elif node.op_type == "Reshape" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].reshape(values[node.input[1]])
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        nodes, "yunet", [_free_sides(model.graph.input[0])], [_free_length(entry) for entry in model.graph.output],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items() if name in used],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _multiplied_out(node: onnx.NodeProto, values: Mapping[str, npt.NDArray[np.generic]]) -> FloatArray:
    """(integers - offset) x step, where a step and an offset hold for a block of entries along one axis."""
    integers, steps, offsets = (values[name].astype(np.float32) for name in node.input)
    options = {entry.name: entry.i for entry in node.attribute}
    if steps.size > 1:
        axis, block = options.get("axis", 1), options["block_size"]
        keep = [slice(0, length) for length in integers.shape]
        steps, offsets = (np.repeat(part, block, axis=axis)[tuple(keep)] for part in (steps, offsets))
    result: FloatArray = ((integers - offsets) * steps).astype(np.float32)
    return result


def _free_sides(entry: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The same input with its height and width left open."""
    return onnx.helper.make_tensor_value_info(entry.name, onnx.TensorProto.FLOAT, [1, 3, "height", "width"])


def _free_length(entry: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The same output (1, places, n) with the number of places left open."""
    last = entry.type.tensor_type.shape.dim[2].dim_value
    places = f"places_{entry.name.rsplit('_', 1)[-1]}"
    return onnx.helper.make_tensor_value_info(entry.name, onnx.TensorProto.FLOAT, [1, places, last])


def packed(content: bytes) -> bytes:
    """Content in gzip's format; the same content gives the same bytes (no time, no name).

    The smaller one of two ways: `Z_FILTERED` ignores short repetitions, which in quantised weights are accidents (2 %
    of the source graph); graphs with other contents are better off without it.
    """
    ways = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
        packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP_WINDOW, 9, strategy)
        ways.append(packer.compress(content) + packer.flush())
    return min(ways, key=len)
