"""ONNX, run by ONNX Runtime: the format of the core, and what several other converters read."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime

from mfs_lib.deploy.formats.base import FloatArray, Format, Frame, Runner, check_target, named
from mfs_lib.deploy.onnx import OPSET, export_model, save_model
from mfs_lib.errors import AssetError


def model_of(frame: Frame) -> onnx.ModelProto:
    """The frame as a checked model with its notes."""
    return export_model(frame.network, [frame.example()], inputs=["target"], outputs=frame.outputs, notes=frame.notes)


def export(frame: Frame, path: Path) -> None:
    """Write one self-contained file."""
    save_model(model_of(frame), path)


def load(path: Path, threads: int) -> Runner:
    """Open a file in ONNX Runtime, on the CPU. Raises AssetError for what it can't run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own types are private
        raise AssetError(f"{path} can't be run: {str(error).splitlines()[0]}") from error
    names = [output.name for output in session.get_outputs()]

    def run(target: FloatArray) -> dict[str, FloatArray]:
        values = session.run(names, {"target": check_target(target)})
        return named(names, values, target.shape[-1])

    return run


FORMATS = (
    Format(
        name="onnx",
        title=f"ONNX (opset {OPSET})",
        suffix=".onnx",
        export=export,
        load=load,
        packages=("onnxruntime==1.31.1",),
        modules=("onnxruntime",),
        layouts=("packed", "folded", "released"),
    ),
)
