"""LiteRT, once TensorFlow Lite (.tflite): Android, and any browser. Converted and run by Google's packages.

The notes lie in the file as its description and as metadata called "mfs_lib" (JSON).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from mfs_lib.deploy.formats.base import FloatArray, Format, Frame, Runner, check_target, named, need, quiet, staged
from mfs_lib.errors import AssetError

PACKAGES = ("litert-torch==0.10.0", "ai-edge-litert==2.3.0")


class _Named(nn.Module):
    """Outputs as a dictionary: their names become those of the file's signature."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.network, self.outputs = frame.network, frame.outputs

    def forward(self, target: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.outputs, self.network(target), strict=True))


def export(frame: Frame, path: Path) -> None:
    """Write one file."""
    with quiet():
        litert_torch = need("litert_torch", PACKAGES[0])
        model = litert_torch.convert(_Named(frame).eval(), sample_kwargs={"target": frame.example()})
        with staged(path) as folder:
            draft = folder / path.name
            model.export(str(draft))
            draft.write_bytes(_noted(draft.read_bytes(), frame))


def _noted(model: bytes, frame: Frame) -> bytes:
    """The same model with the notes in it."""
    schema = need("ai_edge_litert.schema_py_generated", PACKAGES[1])
    flatbuffers = need("flatbuffers", PACKAGES[1])
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    tree.description = frame.notes.get("note", "").encode()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(dict(frame.notes)).encode(), dtype=np.uint8)
    entry.name, entry.buffer = b"mfs_lib", len(tree.buffers)
    tree.buffers.append(buffer)
    tree.metadata = [*(tree.metadata or []), entry]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def load(path: Path, threads: int) -> Runner:
    """Open a file in LiteRT's interpreter (XNNPACK). Raises AssetError for what it can't run."""
    with quiet():
        interpreter = need("ai_edge_litert.interpreter", PACKAGES[1])
        try:
            opened = interpreter.Interpreter(str(path), num_threads=threads)
            opened.allocate_tensors()
            runner = opened.get_signature_runner()
        except ValueError as error:
            raise AssetError(f"{path} can't be run by LiteRT: {str(error).splitlines()[0]}") from error

    def run(target: FloatArray) -> dict[str, FloatArray]:
        values = runner(target=check_target(target))
        return named(list(values), list(values.values()), target.shape[-1])

    return run


FORMATS = (
    Format(
        name="litert",
        title="LiteRT (TFLite)",
        suffix=".tflite",
        export=export,
        load=load,
        packages=PACKAGES,
        modules=("litert_torch", "ai_edge_litert"),
        layouts=("packed", "folded", "released"),
    ),
)
