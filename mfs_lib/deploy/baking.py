"""A person's weights into the frame file: what a host does when the person changes. Needs no PyTorch.

The frame file takes the weights as inputs (see `onnx`). Baked, they are constants, and a runtime rearranges them once, when a
session opens, instead of on every frame. Whatever the layout computes from the weights alone is folded then, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from mfs_lib.errors import InputError


def bake(frame: onnx.ModelProto, weights: Mapping[str, npt.NDArray[np.float32]]) -> onnx.ModelProto:
    """The frame of one person: `frame` with these weights as constants; `frame` itself is not changed.

    Args:
        frame: with an input for each weight.
        weights: by name, with the shapes of the inputs.

    Raises:
        InputError: a weight is missing, unknown, of another shape, or not finite.
    """
    shapes = {x.name: tuple(d.dim_value for d in x.type.tensor_type.shape.dim) for x in frame.graph.input}
    wanted = set(shapes) - {"target"}
    if wanted != set(weights):
        raise InputError(f"the frame takes other weights: {sorted(wanted ^ set(weights))[:4]} are on one side only")
    baked = onnx.ModelProto()
    baked.CopyFrom(frame)
    kept = [value for value in baked.graph.input if value.name not in wanted]
    del baked.graph.input[:]
    baked.graph.input.extend(kept)
    for name, values in weights.items():
        if values.shape != shapes[name] or not np.isfinite(values).all():
            raise InputError(f"{name} must be finite numbers of shape {shapes[name]}, got {values.shape}")
        baked.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
    return baked
