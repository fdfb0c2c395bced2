"""ExecuTorch (.pte) with the XNNPACK backend: PyTorch's own way to phones.

The program carries constant methods that tell its outputs and notes.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mfs_lib.deploy.formats.base import FloatArray, Format, Frame, Runner, check_target, named, need, quiet, staged
from mfs_lib.errors import AssetError

PACKAGE = "executorch==1.5.1"


def export(frame: Frame, path: Path) -> None:
    """Write one program with the methods forward, outputs and one for each note."""
    with quiet(), torch.no_grad():
        exir = need("executorch.exir", PACKAGE)
        partitioner = need("executorch.backends.xnnpack.partition.xnnpack_partitioner", PACKAGE)
        texts = {"outputs": ",".join(frame.outputs), **frame.notes}
        fold = need("executorch.exir.passes.constant_prop_pass", PACKAGE).constant_prop_pass
        # XNNPACK takes kernels that are constants. Those that the network computes (a split, a doubling) would leave
        # their convolutions to plain loops, sixty times slower.
        exported = fold(torch.export.export(frame.network, (frame.example(),)).run_decompositions({}))
        lowered = exir.to_edge_transform_and_lower(
            exported, partitioner=[partitioner.XnnpackPartitioner()], constant_methods=texts
        )
        buffer = lowered.to_executorch().buffer
    with staged(path) as folder:
        (folder / path.name).write_bytes(buffer)


def load(path: Path, threads: int) -> Runner:
    """Open a program. `threads` are those of the whole process: ExecuTorch keeps one pool.

    Raises:
        AssetError: it can't be run.
    """
    with quiet():
        runtime = need("executorch.runtime", PACKAGE).Runtime.get()
        library = need("executorch.extension.pybindings.portable_lib", PACKAGE)
        library._unsafe_reset_threadpool(threads)
    try:
        with quiet():
            program = runtime.load_program(path)
            names = program.load_method("outputs").execute([])[0].split(",")
            forward = program.load_method("forward")
    except (RuntimeError, OSError, AttributeError) as error:
        raise AssetError(f"{path} can't be run by ExecuTorch: export it again ({error})") from error

    def run(target: FloatArray) -> dict[str, FloatArray]:
        values = forward.execute([torch.from_numpy(check_target(target))])
        return named(names, [value.numpy() for value in values], target.shape[-1])

    return run


FORMATS = (
    Format(
        name="executorch",
        title="ExecuTorch (XNNPACK)",
        suffix=".pte",
        export=export,
        load=load,
        packages=(PACKAGE,),
        modules=("executorch",),
        layouts=("packed", "folded", "released"),
    ),
)
