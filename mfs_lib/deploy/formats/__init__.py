"""One person's network in every runtime's own format, and run there. See `FORMATS` and `format_named`.

| format     | runtime            | converted from    | float16 variant        | notes in the file            |
|------------|--------------------|-------------------|------------------------|------------------------------|
| onnx       | ONNX Runtime       | torch.export      |                        | metadata                     |
| openvino   | OpenVINO           | our ONNX          | stored; also bfloat16  | runtime information          |
| ncnn       | ncnn               | a trace, by PNNX  | stored and computed    | no place                     |
| mnn        | MNN                | our ONNX          | stored                 | bizCode                      |
| executorch | ExecuTorch         | torch.export      |                        | constant methods             |
| litert     | LiteRT             | torch.export      |                        | description, metadata        |
| coreml     | Core ML            | torch.export      | stored and computed    | description, metadata        |

Every format takes every layout. At 224 pixels "packed" was the fastest everywhere but in MNN, which likes "folded" as well;
at 128 the two lie within a tenth of one another in OpenVINO, ExecuTorch, LiteRT and MNN (`results/export.jsonl`).

The core needs only ONNX Runtime; every other package is imported when its format is used.
"""

from __future__ import annotations

from mfs_lib.deploy.formats import coreml, executorch, litert, mnn, ncnn, onnx, openvino
from mfs_lib.deploy.formats.base import SYNTHETIC, Format, Frame, Runner, frame_of
from mfs_lib.errors import InputError

FORMATS: dict[str, Format] = {
    one.name: one for module in (onnx, openvino, ncnn, mnn, executorch, litert, coreml) for one in module.FORMATS
}
"""All formats by name, float16 variants among them."""

__all__ = ["FORMATS", "SYNTHETIC", "Format", "Frame", "Runner", "format_named", "frame_of"]


def format_named(name: str) -> Format:
    """The format of that name; InputError, naming those there are, for another."""
    if name not in FORMATS:
        raise InputError(f"no format is called {name!r}: use one of {', '.join(FORMATS)}")
    return FORMATS[name]
