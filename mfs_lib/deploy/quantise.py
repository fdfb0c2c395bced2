"""Variants of fewer bits. Each changes the function; how much a swap loses is measured by the evaluation suite, not assumed.

| variant        | weights                        | activations                     | arithmetic              |
|----------------|--------------------------------|---------------------------------|-------------------------|
| "float32"      | 32-bit                         | 32-bit                          | 32-bit                  |
| "float16"      | stored in 16 bits              | 32-bit                          | 32-bit, a smaller file  |
| "int8-weights" | 8-bit, a scale per channel     | 32-bit                          | 32-bit, a smaller file  |
| "int8"         | 8-bit, a scale per channel     | 8-bit, calibrated on faces      | 8-bit                   |

Weights that are only stored in fewer bits are brought back when a session opens, which costs nothing on a frame.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from mfs_lib.deploy.onnx import quiet
from mfs_lib.errors import ConfigError, InputError

Bits = Literal["float32", "float16", "int8-weights", "int8"]
VARIANTS: tuple[Bits, ...] = get_args(Bits)
_SMALL = 256
"""Tensors with fewer values (biases, sizes) stay as they are."""


def quantised(model: onnx.ModelProto, bits: Bits, *, faces: Sequence[npt.NDArray[np.float32]] = ()) -> onnx.ModelProto:
    """A variant of a one-input model; the model itself is not changed.

    Args:
        model: with float32 weights.
        bits: which variant.
        faces: target crops (1,3,S,S) in [0,1] to calibrate "int8" on; a few dozen that differ.

    Raises:
        ConfigError: no such variant.
        InputError: "int8" without faces.
    """
    if bits not in VARIANTS:
        raise ConfigError(f"bits must be one of {VARIANTS}, got {bits!r}")
    if bits == "float32":
        return model
    if bits == "int8":
        return _calibrated(model, faces)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _store(copy.graph, bits)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _store(graph: onnx.GraphProto, bits: Bits) -> None:
    """Hold every large weight in fewer bits, with a node that brings it back under its own name."""
    nodes = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        graph.initializer.remove(tensor)
        stored, scale = (values.astype(np.float16), None) if bits == "float16" else channel_int8(values)
        graph.initializer.append(numpy_helper.from_array(stored, f"{name}_stored"))
        # Plain operations, not a DequantizeLinear: runtimes fold these once and would run that on every frame.
        raw = name if scale is None else f"{name}_steps"
        nodes.append(helper.make_node("Cast", [f"{name}_stored"], [raw], to=TensorProto.FLOAT))
        if scale is not None:
            scale = scale.reshape(-1, *[1] * (values.ndim - 1))
            graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
            nodes.append(helper.make_node("Mul", [raw, f"{name}_scale"], [name]))
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *kept])


def channel_int8(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Weights (O,...) as int8 with one scale (O,) for each output channel, symmetric around zero."""
    largest = np.abs(values.reshape(len(values), -1)).max(axis=1)
    scale = np.maximum(largest / 127, np.finfo(np.float32).tiny).astype(np.float32)
    stored = np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1)))
    return np.clip(stored, -127, 127).astype(np.int8), scale


def _calibrated(model: onnx.ModelProto, faces: Sequence[npt.NDArray[np.float32]]) -> onnx.ModelProto:
    """Weights and activations in 8 bits, by ONNX Runtime's own quantiser in its QDQ form."""
    from onnxruntime import quantization as ort

    if not faces:
        raise InputError("int8 needs faces to calibrate on: give a few dozen target crops")

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        """Hands the faces out one after the other."""

        def __init__(self) -> None:
            self._rest: Iterator[npt.NDArray[np.float32]] = iter(faces)

        def get_next(self) -> dict[str, Any] | None:
            """The next input, or None at the end."""
            face = next(self._rest, None)
            return None if face is None else {"target": face}

    with tempfile.TemporaryDirectory() as folder, quiet():
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(model, before)
        ort.quantize_static(
            before, after, Reader(), quant_format=ort.QuantFormat.QDQ, per_channel=True,
            activation_type=ort.QuantType.QUInt8, weight_type=ort.QuantType.QInt8, op_types_to_quantize=["Conv"],
        )  # fmt: skip
        return onnx.load_model(after)
