"""A person's weights into the frame file: what a host does when the person changes. Needs no PyTorch.

The frame file takes the weights as inputs (see `onnx`). Baked, they are constants, and a runtime rearranges them once, when a
session opens, instead of on every frame. Whatever the layout computes from the weights alone is folded then, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from mfs_lib.errors import AssetError


def bake(frame: onnx.ModelProto, weights: Mapping[str, npt.NDArray[np.float32]]) -> onnx.ModelProto:
    """The frame of one person: `frame` with these weights as constants; `frame` itself is not changed.

    Args:
        frame: with an input for each weight.
        weights: by name, with the shapes of the inputs.

    Raises:
        AssetError: a weight is missing, unknown, of another shape, or not finite: the files don't belong together.
    """
    shapes = {x.name: tuple(d.dim_value for d in x.type.tensor_type.shape.dim) for x in frame.graph.input}
    wanted = set(shapes) - {"target"}
    if wanted != set(weights):
        raise AssetError(f"the frame takes other weights: {sorted(wanted ^ set(weights))[:4]} are on one side only")
    baked = onnx.ModelProto()
    baked.CopyFrom(frame)
    kept = [value for value in baked.graph.input if value.name not in wanted]
    del baked.graph.input[:]
    baked.graph.input.extend(kept)
    for name, values in weights.items():
        if values.shape != shapes[name] or not np.isfinite(values).all():
            raise AssetError(f"{name} must be finite numbers of shape {shapes[name]}, got {values.shape}")
        baked.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
    return baked


def load_frame(path: Path) -> onnx.ModelProto:
    """A frame file. Raises AssetError for what is none."""
    try:
        model = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise AssetError(f"{path} is no ONNX file ({error}): export it again") from error
    if "target" not in [value.name for value in model.graph.input]:
        raise AssetError(f"{path} has no input 'target': export it again")
    return model


def crop_size(frame: onnx.ModelProto) -> int:
    """Side of the crop that a frame takes, in pixels."""
    return next(int(v.type.tensor_type.shape.dim[-1].dim_value) for v in frame.graph.input if v.name == "target")
