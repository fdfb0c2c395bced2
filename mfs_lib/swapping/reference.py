"""Reference vectors: a sampled pair through every step of a swap, written down for whoever ports it to another platform.

| file             | what                                                      | checks                       |
|------------------|-----------------------------------------------------------|------------------------------|
| source.png       | the source's picture                                      |                              |
| source_crop.png  | its aligned crop                                          | fitting and cutting out      |
| face.f32         | the recogniser's view of the crop                         | the view                     |
| weights/NAME.f32 | what `source.onnx` makes of it                            | identity and injection       |
| picture.png      | the picture that is swapped                               |                              |
| target.f32       | its aligned crop                                          | fitting and cutting out      |
| raw.f32 mask.f32 | what `frame.onnx` makes of target and weights             | the network of a frame       |
| swapped.png      | the picture with the face put back, marked                | pasting                      |
| index.json       | shapes, tolerances, five points and matrices of both      |                              |

Tensors are raw little-endian float32 without a header, rows of the last axis first in memory.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfs_lib.deploy.baking import bake, crop_size, load_frame
from mfs_lib.errors import OutputError
from mfs_lib.faces.alignment import TEMPLATE, align, arcface_pixels, fit_similarity
from mfs_lib.faces.detection import FaceDetector
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.clips import Clip
from mfs_lib.swapping.image_io import write_image
from mfs_lib.swapping.paste import paste
from mfs_lib.swapping.portable import (
    DETECTOR,
    FRAME,
    SOURCE,
    PortablePerson,
    check_bundle,
)
from mfs_lib.swapping.provenance import swap_xmp
from mfs_lib.swapping.source_process import source_weights

UInt8Image = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

SOURCE_SEED, PICTURE_SEED = 43, 41
"""Of the two people."""

SIDE = 640
"""Of both pictures, in pixels."""

_TENSOR, _WEIGHT, _PIXEL = 1e-3, 1e-3, 2.0


def write_reference(folder: Path, bundle: Path) -> Path:
    """Write the reference of a bundle into a new folder, which appears when it is complete; returns it.

    Raises:
        AssetError: the folder `bundle` is no bundle.
        OutputError: `folder` is there already, or can't be written.
    """
    if folder.exists():
        raise OutputError(f"{folder} is there already: name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise OutputError(f"Can't write {folder}: {error.strerror}. Choose a folder that you may write to.") from error
    try:
        _Reference(draft, bundle).write()
        draft.chmod(0o755)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


class _Reference:
    """One reference being written."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.bundle = folder, bundle
        check_bundle(bundle)
        self.detector = FaceDetector(model=bundle / DETECTOR)
        self.files: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}

    def write(self) -> None:
        """All steps in order, and the index last."""
        world = MorphableWorld.load()
        source, picture = (
            Clip(world, seed=seed, frames=1, width=SIDE, height=SIDE).frame(0).image
            for seed in (SOURCE_SEED, PICTURE_SEED)
        )
        frame = load_frame(self.bundle / FRAME)
        size = crop_size(frame)
        self._picture("source", source, "the source's picture")
        crop = self._crop("source", source, size)
        self._picture("source_crop", crop, "its aligned crop")
        view = arcface_pixels(crop.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)[None]
        face = np.ascontiguousarray(view)
        self._tensor("face", face, "the recogniser's view of the source's crop", _TENSOR)
        weights = source_weights(self.bundle / SOURCE, face)
        for name, value in weights.items():
            self._tensor(f"weights/{name}", value, "a weight that source.onnx makes of the face", _WEIGHT)
        self._picture("picture", picture, "the picture that is swapped")
        person = PortablePerson.from_model(bake(frame, weights).SerializeToString())
        swapped = self._frame(person, picture, self._crop("picture", picture, size))
        self._picture("swapped", swapped, "the picture with the face put back", tolerance=_PIXEL, marked=True)
        text = json.dumps({"format": "little-endian float32, no header", **self.facts, "files": self.files}, indent=1)
        (self.folder / "index.json").write_text(text + "\n", "utf-8")

    def _frame(self, person: PortablePerson, picture: UInt8Image, crop: UInt8Image) -> UInt8Image:
        """What the network of a frame makes of the target's crop; returns the picture with the face put back."""
        scaled, raw, mask = person.swap_crop(crop)
        planes = {
            "target": scaled.transpose(2, 0, 1)[None],
            "raw": raw.transpose(2, 0, 1)[None],
            "mask": mask[None, None],
        }
        texts = {"target": "the picture's aligned crop", "raw": "the network's image", "mask": "the network's mask"}
        for name, value in planes.items():
            self._tensor(name, np.ascontiguousarray(value), texts[name], _TENSOR)
        swapped = picture.copy()
        paste(swapped, raw, mask, self.facts["picture"]["matrix"], crop=scaled)
        return swapped

    def _crop(self, name: str, image: UInt8Image, size: int) -> UInt8Image:
        """The largest face's aligned crop (S, S, 3); its points and matrix are noted."""
        points = self.detector.detect(image)[0].points
        matrix = fit_similarity(points, TEMPLATE * size)
        self.facts[name] = {"points": points.tolist(), "matrix": matrix.tolist(), "crop": size}
        return align(image, matrix, size)

    def _tensor(self, name: str, values: FloatImage, what: str, tolerance: float) -> None:
        path = self.folder / f"{name}.f32"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(values.astype("<f4").tobytes())
        self._note(f"{name}.f32", values.shape, what, {"tolerance": tolerance})

    def _picture(
        self, name: str, image: UInt8Image, what: str, *, tolerance: float | None = None, marked: bool = False
    ) -> None:
        write_image(self.folder / f"{name}.png", image, xmp=swap_xmp() if marked else None)
        self._note(f"{name}.png", image.shape, what, {} if tolerance is None else {"tolerance": tolerance})

    def _note(self, file: str, shape: tuple[int, ...], what: str, more: Mapping[str, float]) -> None:
        self.files.append({"file": file, "shape": list(shape), "what": what, **more})
