"""OpenVINO IR (.xml and .bin): Intel's processors.

The graph is read from ONNX by the core library and not by the package's `convert_model`, which reports its use to a
server. OpenVINO would compute in bfloat16 where the processor can: the runner asks for float32.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

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
from mfs_lib.deploy.formats.onnx import model_of
from mfs_lib.errors import AssetError

PACKAGE = "openvino==2026.4.1"


def export(frame: Frame, path: Path, *, half: bool = False) -> None:
    """Write `path` (the graph) and the weights beside it; with `half` in float16, computed in float32 all the same."""
    openvino = need("openvino", PACKAGE)
    model = openvino.Core().read_model(model_of(frame).SerializeToString(), b"")
    for key, value in frame.notes.items():
        model.set_rt_info(value, ["mfs_lib", key])
    with staged(path) as folder:
        openvino.save_model(model, str(folder / path.name), compress_to_fp16=half)


def load(path: Path, threads: int) -> Runner:
    """Open a file in OpenVINO, on the CPU. Raises AssetError for what it can't run."""
    openvino = need("openvino", PACKAGE)
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        with quiet():
            compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    except RuntimeError as error:
        raise AssetError(f"{path} can't be run by OpenVINO: {str(error).strip().splitlines()[-1]}") from error
    names = [output.get_any_name() for output in compiled.outputs]
    request = compiled.create_infer_request()

    def run(target: FloatArray) -> dict[str, FloatArray]:
        values = request.infer({"target": check_target(target)})
        return named(names, [values[name] for name in names], target.shape[-1])

    return run


def _format(name: str, title: str, *, half: bool) -> Format:
    return Format(
        name=name,
        title=title,
        suffix=".xml",
        companion=".bin",
        export=partial(export, half=half),
        load=load,
        packages=(PACKAGE,),
        modules=("openvino",),
        layouts=("packed", "folded", "released"),
        tolerance=HALF_TOLERANCE if half else TOLERANCE,
    )


FORMATS = (
    _format("openvino", "OpenVINO IR", half=False),
    _format("openvino-fp16", "OpenVINO IR, weights in float16", half=True),
)
