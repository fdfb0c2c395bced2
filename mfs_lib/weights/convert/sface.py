"""SFace: block-quantised ONNX to our module's state.

The file is the OpenCV Zoo's ``int8bq`` variant: weights are int8 with one scale and zero point per block of values
along the second axis, ``w = (q - zero_point) * scale``, undone here exactly as the graph's DequantizeLinear nodes do.
The file also lists its constants as graph inputs, which onnxruntime refuses and which does not matter here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.networks.sface import BLOCKS
from mfs_lib.weights.convert.folding import fold, scale_and_shift

Array = npt.NDArray[Any]


def convert_sface(path: Path) -> dict[str, Tensor]:
    """State of ``networks.sface.SFace`` from the ONNX file.

    Raises:
        AssetError: not an ONNX file, or not SFace's graph.
    """
    try:
        graph = onnx.load(str(path)).graph
        constants = _constants(graph)
        state = {**_layer(graph, constants, "conv_1", "stem.0", "stem.1")}
        for index in range(len(BLOCKS)):
            name = f"conv_{index + 2}"
            state |= _layer(graph, constants, f"{name}_dw", f"blocks.{index}.0", f"blocks.{index}.1")
            state |= _layer(graph, constants, name, f"blocks.{index}.2", f"blocks.{index}.3")
        scale, shift = _normalisation(graph, constants, "bn1")
        state["normalise.scale"], state["normalise.shift"] = scale.float(), shift.float()
        weight, bias = constants["pre_fc1_weight_dequantized"], constants["pre_fc1_bias_dequantized"]
        state["linear.weight"], state["linear.bias"] = fold(weight, bias, *_normalisation(graph, constants, "fc1"))
    except (DecodeError, KeyError, ValueError, StopIteration, RuntimeError) as error:
        raise AssetError(f"{path} is not the SFace network that was expected ({error!r}).") from error
    return state


def _constants(graph: Any) -> dict[str, Tensor]:
    """All constants by name, with those that DequantizeLinear and Reshape make from them."""
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            options = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
            arrays[node.output[0]] = _dequantise(*(arrays[name] for name in node.input), **options)
        elif node.op_type == "Reshape" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]].reshape(arrays[node.input[1]])
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _dequantise(quantised: Array, scales: Array, zero_points: Array, *, axis: int, block_size: int) -> Array:
    length = quantised.shape[axis]
    wide_scales = np.repeat(scales, block_size, axis=axis).take(range(length), axis=axis)
    wide_zeros = np.repeat(zero_points, block_size, axis=axis).take(range(length), axis=axis)
    steps = quantised.astype(np.int32) - wide_zeros.astype(np.int32)
    return np.asarray(steps * wide_scales, dtype=np.float32)


def _normalisation(graph: Any, constants: dict[str, Tensor], output: str) -> tuple[Tensor, Tensor]:
    node = next(n for n in graph.node if n.op_type == "BatchNormalization" and n.output[0] == output)
    epsilon = next(item.f for item in node.attribute if item.name == "epsilon")
    gamma, beta, mean, variance = (constants[name] for name in node.input[1:])
    return scale_and_shift(gamma, beta, mean, variance, epsilon)


def _layer(graph: Any, constants: dict[str, Tensor], name: str, conv: str, prelu: str) -> dict[str, Tensor]:
    scale, shift = _normalisation(graph, constants, f"{name}_batchnorm")
    weight, bias = fold(constants[f"{name}_conv2d_weight_reshaped"], None, scale, shift)
    slopes = constants[f"{name}_relu_gamma"].reshape(-1).float()
    return {f"{conv}.weight": weight, f"{conv}.bias": bias, f"{prelu}.weight": slopes}
