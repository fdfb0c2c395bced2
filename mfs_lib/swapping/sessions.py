"""ONNX Runtime sessions for small graphs on few cores."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from mfs_lib.errors import AssetError

_ERRORS_ONLY = 3


def session_options(threads: int = 1, *, thrifty: bool = False) -> onnxruntime.SessionOptions:
    """Options for small graphs on few cores: no spinning (idle threads would take the time of decoder and encoder).

    Args:
        threads: of one operator.
        thrifty: for a graph that runs once: no second copy of its weights in a faster layout.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Measured on a student's frame: 28 MB with the arena and no plan of buffers, 38 with both, 57 with neither (the
    # heap falls to pieces), all at the same speed.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if thrifty:
        options.enable_cpu_mem_arena = False
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def open_session(model: Path | bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Raises:
        AssetError: ONNX Runtime can't run the model.
    """
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's own types are private, and each kind of damage has another one
        name = "the person's network" if isinstance(model, bytes) else str(model)
        raise AssetError(f"{name} is no graph that can be run: {str(error).splitlines()[0]}") from error
