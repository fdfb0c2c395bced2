"""ONNX, run by ONNX Runtime: the format of the core, and what several other converters read."""

from __future__ import annotations

from pathlib import Path

import onnx

from mfs_lib.deploy.formats.base import FloatArray, Format, Frame, Runner, check_target, named
from mfs_lib.deploy.onnx import OPSET, export_model, save_model
from mfs_lib.deploy.sessions import open_session


def model_of(frame: Frame) -> onnx.ModelProto:
    """The frame as a checked model with its notes."""
    return export_model(frame.network, [frame.example()], inputs=["target"], outputs=frame.outputs, notes=frame.notes)


def export(frame: Frame, path: Path) -> None:
    """Write one self-contained file."""
    save_model(model_of(frame), path)


def load(path: Path, threads: int) -> Runner:
    """Open a file in ONNX Runtime, on the CPU. Raises AssetError for what it can't run."""
    session = open_session(path, threads=threads)
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
