"""OpenVINO IR (.xml and .bin): Intel's processors.

The graph is read from ONNX by the core library and not by the package's `convert_model`, which reports its use to a
server. OpenVINO would compute in bfloat16 where the processor can: the runner asks for float32, but in
the variant that is called by that name.
"""

from __future__ import annotations

import re
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

BFLOAT_TOLERANCE = 0.25
"""Bfloat16 has 8 bits of mantissa, and the mask's rim is steep: single pixels there move far, few move at all."""


def export(frame: Frame, path: Path, *, half: bool = False) -> None:
    """Write `path` (the graph) and the weights beside it; with `half` in float16, computed in float32 all the same."""
    openvino = need("openvino", PACKAGE)
    model = openvino.Core().read_model(model_of(frame).SerializeToString(), b"")
    for key, value in frame.notes.items():
        model.set_rt_info(value, ["mfs_lib", key])
    with staged(path) as folder:
        openvino.save_model(model, str(folder / path.name), compress_to_fp16=half)


def load(path: Path, threads: int, *, precision: str = "f32") -> Runner:
    """Open a file in OpenVINO, on the CPU, computed in "f32" or "bf16". Raises AssetError for what it can't run."""
    openvino = need("openvino", PACKAGE)
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    try:
        with quiet():
            core = openvino.Core()
            # Elsewhere the hint is passed over in silence, and the name of the variant would be a lie.
            if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
                raise AssetError(f"{path} can't be run: {_NO_BF16}")
            compiled = core.compile_model(str(path), "CPU", settings)
    except RuntimeError as error:
        raise AssetError(f"{path} can't be run by OpenVINO: {str(error).strip().splitlines()[-1]}") from error
    names = [output.get_any_name() for output in compiled.outputs]
    request = compiled.create_infer_request()

    def run(target: FloatArray) -> dict[str, FloatArray]:
        values = request.infer({"target": check_target(target)})
        return named(names, [values[name] for name in names], target.shape[-1])

    return run


_NO_BF16 = "this processor doesn't compute in bfloat16"


def _bf16_obstacle() -> str:
    """Why bfloat16 can't be computed here, as far as the system tells; or ""."""
    info = Path("/proc/cpuinfo")
    known = not info.exists() or re.search(r"\b(avx512_bf16|amx_bf16|avx_ne_convert|bf16)\b", info.read_text("utf-8"))
    return "" if known else _NO_BF16


def _format(name: str, title: str, *, half: bool, bfloat: bool = False) -> Format:
    return Format(
        name=name,
        title=title,
        suffix=".xml",
        companion=".bin",
        export=partial(export, half=half),
        load=partial(load, precision="bf16") if bfloat else load,
        packages=(PACKAGE,),
        modules=("openvino",),
        layouts=("packed", "folded", "released"),
        tolerance=BFLOAT_TOLERANCE if bfloat else HALF_TOLERANCE if half else TOLERANCE,
        obstacle=_bf16_obstacle() if bfloat else "",
    )


FORMATS = (
    _format("openvino", "OpenVINO IR", half=False),
    _format("openvino-fp16", "OpenVINO IR, weights in float16", half=True),
    _format("openvino-bf16", "OpenVINO IR, computed in bfloat16", half=True, bfloat=True),
)
