"""MNN (.mnn): phones, converted from ONNX.

We call the converter's compiled module. The package's Python commands (`mnnconvert` and all of `MNN.tools`) must not be
used: on import they install another package with whatever `pip` is found first, and they report each use, with the
machine's number, to a server.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx

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
from mfs_lib.deploy.frame import OUTPUTS
from mfs_lib.deploy.onnx import save_model
from mfs_lib.errors import AssetError, ConfigError

PACKAGE = "MNN==3.6.1"


def export(frame: Frame, path: Path, *, half: bool = False) -> None:
    """Write one file; with `half` its weights in float16. Its "bizCode" holds the note."""
    with quiet():  # it prints what the processor can do
        need("MNN", PACKAGE)
        converter = need("_tools", PACKAGE)
    with staged(path) as folder:
        source, made = folder / ".work" / "source.onnx", folder / path.name
        model = model_of(frame)
        save_model(_rounded(model) if half else model, source)
        words = ["mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(made)]
        words += ["--bizCode", frame.notes.get("note", "mfs_lib")]
        with quiet():
            converter.mnnconvert([*words, "--fp16"] if half else words)
        if not made.exists():
            raise ConfigError("MNN's converter can't convert this network: try the layout 'folded'")


def _rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with kernels of float16's values: the converter cuts digits off where it should round.

    Cut off, all kernels shrink, and a swap is six times further from PyTorch's than rounded.
    """
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1 and tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return model


def load(path: Path, threads: int) -> Runner:
    """Open a file in MNN, on the CPU, in float32. Raises AssetError for what it can't run."""
    with quiet():
        mnn = need("MNN", PACKAGE)
    settings = {"backend": "CPU", "precision": "high", "numThread": threads}
    if not path.is_file():
        raise AssetError(f"{path} is missing: export it again")
    try:
        with quiet():
            manager = mnn.nn.create_runtime_manager((settings,))
            module = mnn.nn.load_module_from_file(str(path), [], [], runtime_manager=manager)
        names = module.get_info()["outputNames"]
    except (SystemError, RuntimeError) as error:
        raise AssetError(f"{path} can't be run by MNN: export it again") from error
    if not names or set(names) - set(OUTPUTS):
        raise AssetError(f"{path} is no network of ours, with the outputs {names}")

    def run(target: FloatArray) -> dict[str, FloatArray]:
        data = check_target(target)
        variable = mnn.expr.placeholder(list(data.shape), mnn.expr.NCHW)
        variable.write(data)
        values = [mnn.expr.convert(value, mnn.expr.NCHW).read() for value in module.forward([variable])]
        return named(names, values, target.shape[-1])

    return run


def _format(name: str, title: str, *, half: bool) -> Format:
    return Format(
        name=name,
        title=title,
        suffix=".mnn",
        export=partial(export, half=half),
        load=load,
        packages=(PACKAGE,),
        modules=("MNN",),
        layouts=("folded", "packed", "released"),
        tolerance=HALF_TOLERANCE if half else TOLERANCE,
    )


FORMATS = (_format("mnn", "MNN", half=False), _format("mnn-fp16", "MNN, weights in float16", half=True))
