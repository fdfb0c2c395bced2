"""ONNX Runtime sessions as this project uses them: the processor, a stated number of threads, no spinning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from mfs_lib.errors import InputError

Arrays: TypeAlias = dict[str, npt.NDArray[np.float32]]
Runner: TypeAlias = Callable[[Mapping[str, npt.NDArray[np.float32]]], Arrays]
"""Inputs by name to outputs by name."""

RUNTIME = f"onnxruntime {onnxruntime.__version__}"


def open_session(model: onnx.ModelProto | bytes | Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the processor. Threads don't spin: a waiting pool would take the cores from everybody else.

    Raises InputError for a file that is no model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    try:
        return onnxruntime.InferenceSession(
            str(source) if isinstance(source, Path) else source, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime's exceptions share no base class but this
        name = source.name if isinstance(source, Path) else "the model"
        raise InputError(f"ONNX Runtime can't load {name}: {str(error).splitlines()[0]}") from error


def runner(session: onnxruntime.InferenceSession) -> Runner:
    """A session as a function of named arrays."""
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, npt.NDArray[np.float32]]) -> Arrays:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run
