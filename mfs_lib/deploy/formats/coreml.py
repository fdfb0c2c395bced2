"""Core ML (.mlpackage): Apple's devices. Converts anywhere, executes on macOS only."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch

from mfs_lib.deploy.formats.base import (
    HALF_TOLERANCE,
    TOLERANCE,
    FloatArray,
    Format,
    Frame,
    Runner,
    check_target,
    named,
    need,
    quiet,
    staged,
)
from mfs_lib.errors import AssetError, RuntimeMissingError

PACKAGE = "coremltools==9.0"
OBSTACLE = "" if sys.platform == "darwin" else "Core ML executes on macOS only"


def export(frame: Frame, path: Path, *, half: bool = False) -> None:
    """Write one package (a folder), for iOS 15 and macOS 12 on; with `half` weights and maps in float16."""
    with quiet(), torch.no_grad():
        ct = need("coremltools", PACKAGE)
        # From the exported graph: a trace keeps shape arithmetic that the converter doesn't know.
        program = torch.export.export(frame.network, (frame.example(),)).run_decompositions({})
        model = ct.convert(
            program,
            inputs=[ct.TensorType(name="target", shape=tuple(frame.example().shape))],
            outputs=[ct.TensorType(name=name) for name in frame.outputs],
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS15,
            skip_model_load=True,
        )
        model.short_description = frame.notes.get("note", "")
        for key, value in frame.notes.items():
            model.user_defined_metadata[key] = value
        with staged(path) as folder:
            model.save(str(folder / path.name))


def load(path: Path, threads: int) -> Runner:
    """Open a package on the CPU of a Mac; how many threads it takes is Core ML's own choice.

    Raises:
        RuntimeMissingError: this is no Mac.
        AssetError: it can't be run.
    """
    if OBSTACLE:
        raise RuntimeMissingError(f"{OBSTACLE}: {path.name} was converted, and can be checked there")
    with quiet():
        ct = need("coremltools", PACKAGE)
        try:
            model = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY)
        except (RuntimeError, OSError) as error:
            raise AssetError(f"{path} can't be run by Core ML: {error}") from error

    def run(target: FloatArray) -> dict[str, FloatArray]:
        values = model.predict({"target": check_target(target)})
        return named(list(values), list(values.values()), target.shape[-1])

    return run


def _format(name: str, title: str, *, half: bool) -> Format:
    return Format(
        name=name,
        title=title,
        suffix=".mlpackage",
        export=partial(export, half=half),
        load=load,
        packages=(PACKAGE,),
        modules=("coremltools",),
        layouts=("folded", "packed", "released"),
        tolerance=HALF_TOLERANCE if half else TOLERANCE,
        obstacle=OBSTACLE,
    )


FORMATS = (
    _format("coreml", "Core ML (float32)", half=False),
    _format("coreml-fp16", "Core ML (float16)", half=True),
)
