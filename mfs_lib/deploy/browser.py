"""Everything that the page "Swap a face in your browser" downloads, in one folder: `python -m mfs_lib.deploy.browser`.

| file                       | what                                                                              |
|----------------------------|-----------------------------------------------------------------------------------|
| manifest.json              | sizes, digests, crop size, template, people and pictures: all that the page needs |
| detector.onnx.gz           | YuNet, float32                                                                    |
| source.onnx.gz, frame.onnx.gz | the full path: any face -> weights, weights and target -> swapped crop         |
| person_NAME.onnx.gz, .png  | the frame graph of one sampled person, and their portrait                         |
| picture_NAME.png           | a sampled picture to swap on                                                      |

The graphs are those of `onnx` and `baking`; how they are made small is told in `browser_weights`, what that costs is
measured by `browser_quality`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from mfs_lib import __version__
from mfs_lib.deploy.baking import bake
from mfs_lib.deploy.browser_people import PEOPLE, PICTURES, Sampled, picture, portraits
from mfs_lib.deploy.browser_quality import coarse_cost
from mfs_lib.deploy.browser_weights import coarse_weights, packed, plain_detector
from mfs_lib.deploy.frame import person_weights
from mfs_lib.deploy.onnx import pair_models
from mfs_lib.deploy.quantise import quantised
from mfs_lib.deploy.sessions import open_session
from mfs_lib.faces.alignment import ARCFACE_SIZE, TEMPLATE, arcface_matrix, arcface_view
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.sface import SFace
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.registry import fetch
from mfs_lib.weights.shipped import Student, load_student

DOWNLOAD_LIMIT = 12_000_000
"""Most bytes that detector, source graph and frame graph may take together."""


@torch.no_grad()
def write_browser_files(folder: Path) -> dict[str, Any]:
    """Make the page's files in `folder`, which is replaced whole; returns the manifest.

    Raises:
        AssetError: a model is missing and can't be fetched.
        RuntimeError: the full path has become larger than `DOWNLOAD_LIMIT`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as work:
        fresh = Path(work) / "fresh"
        fresh.mkdir()
        manifest = _write_all(fresh)
        (fresh / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        if folder.exists():
            os.replace(folder, Path(work) / "old")
        os.replace(fresh, folder)
    return manifest


def source_and_frame(sface: SFace, student: Student) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The two graphs of the full path, in float32 and in the layout of few steps (see `frame`)."""
    return pair_models(sface, student.network, size=student.crop_size, layout="folded")


def _write_all(folder: Path) -> dict[str, Any]:
    sface, student = load_sface(), load_student()
    source, frame = source_and_frame(sface, student)
    detector, coarse = plain_detector(onnx.load(str(fetch("yunet")))), coarse_weights(source)
    graphs = {"detector": detector, "source": coarse, "frame": frame}
    files = {name: _write_graph(folder, name, graph) for name, graph in graphs.items()}
    files["source"]["float_bytes"] = source.ByteSize()
    files["detector"]["only_processor"] = True
    download = sum(entry["bytes"] for entry in files.values())
    if download > DOWNLOAD_LIMIT:
        raise RuntimeError(f"the page's full path takes {download} bytes, more than {DOWNLOAD_LIMIT}: coarser steps")
    world = MorphableWorld.load()
    return {
        "version": __version__,
        "system": f"MobileFaceSwap ({student.name})",
        "crop_size": student.crop_size,
        "template": TEMPLATE.tolist(),
        "identity_size": ARCFACE_SIZE,
        "identity_matrix": arcface_matrix(student.crop_size).tolist(),
        "full_path_bytes": download,
        "coarse_weights": asdict(coarse_cost(source, coarse, frame, world)),
        "graphs": files,
        "people": [_write_person(folder, person, world, sface, student, frame) for person in PEOPLE],
        "pictures": [_write_target(folder, one, world) for one in PICTURES],
    }


def _write_person(
    folder: Path, person: Sampled, world: MorphableWorld, sface: SFace, student: Student, frame: onnx.ModelProto
) -> dict[str, Any]:
    """The specialised graph and the portrait of one person."""
    crop, portrait = portraits(world, person, crop_size=student.crop_size)
    static = student.network.specialise(sface(arcface_view(crop)))
    weights = {name: value.numpy() for name, value in person_weights(static).items()}
    name = f"person_{person.name}"
    graph = _write_graph(folder, name, quantised(bake(frame, weights), "float16"))
    return {
        "name": person.name,
        "label": person.label,
        "graph": graph,
        "portrait": _write_picture(folder, name, portrait),
    }


def _write_target(folder: Path, one: Sampled, world: MorphableWorld) -> dict[str, Any]:
    """One picture to swap on."""
    file = _write_picture(folder, f"picture_{one.name}", picture(world, one).image)
    return {"name": one.name, "label": one.label, "picture": file}


def _write_graph(folder: Path, name: str, graph: onnx.ModelProto) -> dict[str, Any]:
    """Write one packed graph once ONNX Runtime has read it; returns what the manifest says about the file."""
    content = graph.SerializeToString(deterministic=True)
    open_session(content)
    small = packed(content)
    file = f"{name}.onnx.gz"
    (folder / file).write_bytes(small)
    return {
        "file": file,
        "bytes": len(small),
        "unpacked_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _write_picture(folder: Path, name: str, image: Tensor) -> dict[str, Any]:
    """Write one picture (1, 3, S, S) in [0, 1] as PNG; returns what the manifest says about the file."""
    pixels = image[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("Description", "A sampled person, who does not exist: face world of mfs_lib.")
    path = folder / f"{name}.png"
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, optimize=True, pnginfo=notes)
    return {"file": path.name, "bytes": path.stat().st_size, "side": int(pixels.shape[0])}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page's files and say how large they are."""
    parser = argparse.ArgumentParser(
        prog="python -m mfs_lib.deploy.browser", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="where to put them; replaced whole")
    folder: Path = parser.parse_args(arguments).folder
    manifest = write_browser_files(folder)
    print(f"full path {manifest['full_path_bytes'] / 1e6:.2f} MB, in {folder}")


if __name__ == "__main__":
    main()
