"""ONNX Runtime sessions as this project uses them: the processor, a stated number of threads, no spinning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from mfs_lib.errors import AssetError

if TYPE_CHECKING:
    import onnx

Arrays: TypeAlias = dict[str, npt.NDArray[np.float32]]
Runner: TypeAlias = Callable[[Mapping[str, npt.NDArray[np.float32]]], Arrays]
"""Inputs by name to outputs by name."""

RUNTIME = f"onnxruntime {onnxruntime.__version__}"
_ERRORS_ONLY = 3


def open_session(
    model: onnx.ModelProto | bytes | Path, *, threads: int = 1, once: bool = False
) -> onnxruntime.InferenceSession:
    """A session on the processor.

    Args:
        model: a file or what is in it.
        threads: of one operator. They don't spin: a waiting pool would take the cores from everybody else.
        once: for a network that runs once: no second copy of its weights in a faster layout.

    Raises:
        AssetError: ONNX Runtime can't run it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS_ONLY
    # Measured on a student's frame: 28 MB with the arena and no plan of buffers, 38 with both, 57 with neither (the
    # heap falls to pieces), all at the same speed.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = not once
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if once:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    name = str(model) if isinstance(model, Path) else "the model"
    content = model if isinstance(model, bytes) else name if isinstance(model, Path) else model.SerializeToString()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own types are private, and each kind of damage has another one
        raise AssetError(f"{name} is no graph that can be run: {str(error).splitlines()[0]}") from error


def runner(session: onnxruntime.InferenceSession) -> Runner:
    """A session as a function of named arrays."""
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, npt.NDArray[np.float32]]) -> Arrays:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run
