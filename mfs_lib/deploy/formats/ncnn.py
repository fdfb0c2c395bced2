"""ncnn (.param and .bin): small C++ programs on phones.

PNNX converts a traced network. We call its program ourselves: the package's own function also imports the Python file
that it generates. Blobs get our names; the format has no place for notes.
"""

from __future__ import annotations

import subprocess
import warnings
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
from mfs_lib.errors import AssetError, ConfigError

PACKAGES = ("pnnx==20261020", "ncnn==1.0.20261020")


def export(frame: Frame, path: Path, *, half: bool = False) -> None:
    """Write `path` (the graph, a text) and the weights beside it; with `half` in float16."""
    program = need("pnnx", PACKAGES[0]).EXEC_PATH
    with staged(path) as folder:
        work = folder / ".work"  # for by-products, which are dropped
        work.mkdir()
        traced = work / "traced.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing is deprecated in PyTorch, and PNNX's only way in
            torch.jit.trace(frame.network, frame.example()).save(str(traced))  # type: ignore[no-untyped-call]
        files = {"ncnnparam": folder / path.name, "ncnnbin": folder / path.with_suffix(".bin").name}
        command = [program, str(traced), f"inputshape=[1,3,{frame.size},{frame.size}]", f"fp16={int(half)}"]
        command += [f"{key}={file}" for key, file in files.items()]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode or not files["ncnnparam"].exists():
            raise ConfigError(f"PNNX can't convert this network: {done.stderr.strip()[-300:]}")
        _rename(files["ncnnparam"], frame)


def _rename(file: Path, frame: Frame) -> None:
    """Call inputs and outputs by our names instead of in0, out0, out1."""
    names = {"in0": "target", **{f"out{i}": name for i, name in enumerate(frame.outputs)}}
    lines = [" ".join(names.get(word, word) for word in line.split()) for line in file.read_text("utf-8").splitlines()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load(path: Path, threads: int, *, half: bool = False) -> Runner:
    """Open a file in ncnn, on the CPU, computing in float32 unless `half`. Raises AssetError for what it can't run."""
    ncnn = need("ncnn", PACKAGES[1])
    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = threads, False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, option, half)
    net.opt.use_bf16_storage = False
    with quiet():  # it writes of what is wrong to the terminal
        failed = not path.is_file() or net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin")))
    if failed:
        raise AssetError(f"{path} and its .bin can't be run by ncnn: export them again")
    names = list(net.output_names())

    def run(target: FloatArray) -> dict[str, FloatArray]:
        # A copy: ncnn's matrix would not keep the array alive that it looks into.
        matrix = ncnn.Mat(check_target(target)[0]).clone()
        with net.create_extractor() as extractor:
            extractor.input("target", matrix)
            values = [extractor.extract(name)[1].numpy().copy() for name in names]
        return named(names, values, target.shape[-1])

    return run


def _format(name: str, title: str, *, half: bool) -> Format:
    return Format(
        name=name,
        title=title,
        suffix=".param",
        companion=".bin",
        export=partial(export, half=half),
        load=partial(load, half=half),
        packages=PACKAGES,
        modules=("pnnx", "ncnn"),
        layouts=("packed", "folded", "released"),
        tolerance=HALF_TOLERANCE if half else TOLERANCE,
    )


FORMATS = (
    _format("ncnn", "ncnn", half=False),
    _format("ncnn-fp16", "ncnn, weights and maps in float16", half=True),
)
