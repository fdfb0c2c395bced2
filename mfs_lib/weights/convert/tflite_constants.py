"""Constants of a TensorFlow Lite graph, read from the flatbuffer in the order in which its operations use them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tflite
import torch
from torch import Tensor

from mfs_lib.errors import AssetError

_TYPES = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16}
_NAMES = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}


class Operation(NamedTuple):
    """One operation with constants: `kind` (TFLite's name) and its constants, float32, in TFLite's layout."""

    kind: str
    constants: tuple[Tensor, ...]


def read_operations(path: Path) -> list[Operation]:
    """All operations of the first subgraph that have floating-point constants, in order of execution.

    Half-precision constants that pass through a DEQUANTIZE operation are counted where they are used.

    Raises:
        AssetError: not a TFLite file.
    """
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise AssetError(f"{path} is not a TensorFlow Lite model.")
    try:
        return _operations(tflite.Model.GetRootAsModel(data, 0))
    except (struct.error, IndexError, ValueError, AttributeError, TypeError) as error:
        raise AssetError(f"{path} is a broken TensorFlow Lite model ({error!r}).") from error


def convolutions(operations: list[Operation]) -> list[tuple[Tensor, Tensor]]:
    """(weight, bias) of every convolution in order, in PyTorch's layout (O, I, H, W); depthwise (C, 1, H, W)."""
    # TFLite: convolution O,H,W,I; depthwise 1,H,W,C.
    orders = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2)}
    return [
        (op.constants[0].permute(orders[op.kind]).contiguous(), op.constants[1])
        for op in operations
        if op.kind in orders
    ]


def slopes(operations: list[Operation]) -> list[Tensor]:
    """Slopes (C,) of every PRELU in order; also of those spelled out as ``relu(x) + c (x - |x|)``, with slope 2c."""
    found = {"PRELU": 1.0, "MUL": 2.0}
    return [op.constants[0].reshape(-1) * found[op.kind] for op in operations if op.kind in found]


def _operations(model: Any) -> list[Operation]:
    graph = model.Subgraphs(0)
    constants: dict[int, Tensor] = {}
    for index in range(graph.TensorsLength()):
        array = _array(model, graph.Tensors(index))
        if array is not None:
            constants[index] = torch.from_numpy(array.astype(np.float32))
    result: list[Operation] = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = _NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = [int(i) for i in operator.InputsAsNumpy()]
        if kind == "DEQUANTIZE" and inputs[0] in constants:
            constants[int(operator.OutputsAsNumpy()[0])] = constants[inputs[0]]
        elif used := tuple(constants[i] for i in inputs if i in constants):
            result.append(Operation(kind, used))
    return result


def _array(model: Any, tensor: Any) -> npt.NDArray[Any] | None:
    buffer = model.Buffers(tensor.Buffer())
    if tensor.Type() not in _TYPES or not buffer.DataLength():
        return None
    values = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype=_TYPES[tensor.Type()])
    return values.reshape(tuple(tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ())
