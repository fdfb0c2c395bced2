"""The two-file form, for hosts that change the person often: one network writes the weights, one takes them as inputs.

    source.onnx    face (1,3,112,112) -> the person's weights, by name      once per person
    frame.onnx     target (1,3,S,S) and those weights -> raw, mask          every frame
    contract.json  names, shapes, ranges, and where a face lies in a crop

A *bundle* is the same with the face detector beside it (`detector.onnx`, and `bundle.json` for the contract): all that a
swap of pictures needs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from torch import nn

from mfs_lib import __version__
from mfs_lib.deploy.formats.base import SYNTHETIC, FloatArray, Runner, check_target, named
from mfs_lib.deploy.frame import Layout, Output
from mfs_lib.deploy.onnx import OPSET, pair_models, save_model
from mfs_lib.deploy.sessions import open_session
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.weights.safe_io import write_atomically, write_text

SOURCE, FRAME, CONTRACT = "source.onnx", "frame.onnx", "contract.json"
DETECTOR, BUNDLE = "detector.onnx", "bundle.json"
TWO_FILES = (SOURCE, FRAME, CONTRACT)
BUNDLE_FILES = (DETECTOR, SOURCE, FRAME, BUNDLE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What the two files are made of.

    Attributes:
        identity: the recogniser, face (1,3,112,112) in [0,1] -> IdentityFeatures.
        student: the trained network.
        size: side S of its crop in pixels.
        points: (5,2) where eyes, nose tip and mouth corners lie in a crop, fractions of its side.
        face_from_crop: (2,3) affine map from a crop's pixels to those of the recogniser's input.
    """

    identity: nn.Module
    student: MobileFaceSwap
    size: int
    points: npt.NDArray[np.float64]
    face_from_crop: npt.NDArray[np.float64]


def write_two_file(
    folder: Path,
    parts: Parts,
    *,
    layout: Layout = "packed",
    outputs: Sequence[Output] = ("raw", "mask"),
    notes: Mapping[str, str] | None = None,
    contract: str = CONTRACT,
) -> tuple[Path, ...]:
    """Write both networks and the contract; returns the files. The contract is written last: where it is, all is.

    Raises:
        OutputError: a file can't be written.
        ConfigError: the network's person isn't in its kernels alone.
    """
    texts = {"note": SYNTHETIC, "made_by": f"mfs_lib {__version__}", "layout": layout, **(notes or {})}
    source, frame = pair_models(
        parts.identity, parts.student, size=parts.size, layout=layout, outputs=outputs, notes=texts
    )
    files = [save_model(source, folder / SOURCE), save_model(frame, folder / FRAME), folder / contract]
    write_text(files[-1], json.dumps(_contract(parts, source, frame, texts), indent=1) + "\n")
    return tuple(files)


def write_bundle(folder: Path, parts: Parts, detector: Path, *, layout: Layout = "packed") -> tuple[Path, ...]:
    """The two files and the face detector's; returns the files. Raises as `write_two_file`."""
    write_atomically(folder / DETECTOR, lambda temporary: _copy(detector, temporary))
    return (folder / DETECTOR, *write_two_file(folder, parts, layout=layout, contract=BUNDLE))


def _copy(source: Path, destination: Path) -> None:
    shutil.copyfile(source, destination)


def _tensors(values: Sequence[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
    """Names and shapes."""
    return [{"name": v.name, "shape": [d.dim_value for d in v.type.tensor_type.shape.dim]} for v in values]


def _contract(
    parts: Parts, source: onnx.ModelProto, frame: onnx.ModelProto, notes: Mapping[str, str]
) -> dict[str, Any]:
    """What a host must know, for programs."""
    target, *weights = _tensors(frame.graph.input)
    return {
        **notes,
        "opset": OPSET,
        "pictures": "float32, RGB, from 0 to 1, channels first",
        "crop": {
            "size": parts.size,
            "points": parts.points.tolist(),
            "points_are": "eye, eye, nose tip, mouth corner, mouth corner, the left one in the picture first; "
            "fractions of the crop's side; fit them by a similarity (least squares)",
        },
        "source": {
            "file": SOURCE,
            "inputs": _tensors(source.graph.input),
            "outputs": "weights",
            "face_from_crop": parts.face_from_crop.tolist(),
            "face_from_crop_is": "affine map from pixels of a crop to pixels of the input, pixel centres at whole numbers",
        },
        "frame": {
            "file": FRAME,
            "inputs": [target],
            "also_inputs": "weights",
            "outputs": _tensors(frame.graph.output),
            "result": "raw * mask + (1 - mask) * target",
        },
        "weights": weights,
    }


def load_two_file(folder: Path, threads: int) -> Callable[[FloatArray], Runner]:
    """Open both networks in ONNX Runtime; what is returned makes a runner for each face (1,3,112,112) in [0,1].

    Raises:
        AssetError: a file is missing or can't be run.
    """
    source, frame = (open_session(folder / name, threads=threads) for name in (SOURCE, FRAME))
    weights = [output.name for output in source.get_outputs()]
    names = [output.name for output in frame.get_outputs()]

    def person(face: FloatArray) -> Runner:
        fixed = dict(zip(weights, source.run(weights, {"face": check_target(face)}), strict=True))

        def run(target: FloatArray) -> dict[str, FloatArray]:
            values = frame.run(names, {"target": check_target(target), **fixed})
            return named(names, values, target.shape[-1])

        return run

    return person
