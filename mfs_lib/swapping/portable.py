"""The light swapper: ONNX graphs run by ONNX Runtime, without PyTorch.

It works from a *bundle*, a folder of three graphs:

    detector.onnx   YuNet
    source.onnx     face (1, 3, 112, 112), the recogniser's view of the source, to one person's weights by name
    frame.onnx      target (1, 3, S, S) and those weights to `raw` (1, 3, S, S) and `mask` (1, 1, S, S); all in [0, 1]

`PortableSwapper.prepare` runs the second once and writes its outputs into the third as constants. Constants, because
ONNX Runtime lays out only constant weights for its fast convolutions: with weights as inputs a frame takes twice as long.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime

from mfs_lib.deploy.sessions import open_session
from mfs_lib.errors import AssetError, NoFaceError
from mfs_lib.faces.alignment import (
    TEMPLATE,
    FloatArray,
    align,
    arcface_pixels,
    fit_similarity,
    halved,
)
from mfs_lib.faces.detection import FaceDetector
from mfs_lib.swapping.frames import Frame
from mfs_lib.swapping.paste import DEFAULT_DETAIL, Detail, crop_region, paste
from mfs_lib.swapping.source_process import source_weights, weights_apart

if TYPE_CHECKING:
    from mfs_lib.swapping.image_io import ImageInput

UInt8Image = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

DETECTOR, SOURCE, FRAME = "detector.onnx", "source.onnx", "frame.onnx"
BUNDLE_FILES = (DETECTOR, SOURCE, FRAME)

_TARGET = "target"


def check_bundle(folder: Path) -> None:
    """Refuse a folder that is no bundle.

    Raises:
        AssetError: a graph is missing.
    """
    if missing := [name for name in BUNDLE_FILES if not (folder / name).is_file()]:
        raise AssetError(f"{folder} is no bundle: {', '.join(missing)} is missing")


@dataclass(frozen=True, eq=False)
class PortablePerson:
    """A source made ready: one person's network, to be used on any number of frames.

    Attributes:
        model: the network as a serialised ONNX model, to be written to a file if wanted.
        session: the network, running.
        crop_size: side S of its aligned crop in pixels.
        notes: what was unusual about the source.
    """

    model: bytes
    session: onnxruntime.InferenceSession
    crop_size: int
    notes: tuple[str, ...] = ()

    @classmethod
    def from_model(cls, model: bytes, *, threads: int = 1, notes: tuple[str, ...] = ()) -> PortablePerson:
        """Open the network of one person.

        Raises:
            AssetError: it is no such graph.
        """
        session = open_session(model, threads=threads)
        inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
        shape = inputs[0].shape
        if len(inputs) != 1 or inputs[0].name != _TARGET or not {"raw", "mask"} <= set(outputs):
            raise AssetError(f"a person's network maps {_TARGET!r} to 'raw' and 'mask'; this one has {outputs}")
        if len(shape) != 4 or shape[2] != shape[3] or not isinstance(shape[2], int):
            raise AssetError(f"a person's network reads square crops of one size, not {shape}")
        return cls(model, session, int(shape[2]), notes)

    def swap_crop(self, crop: UInt8Image) -> tuple[FloatImage, FloatImage, FloatImage]:
        """The network on an aligned crop (S, S, 3) uint8: crop and raw (S, S, 3), mask (S, S), float32 in [0, 1]."""
        scaled = crop.astype(np.float32) / np.float32(255)
        target = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
        raw, mask = self.session.run(["raw", "mask"], {_TARGET: target})
        return scaled, np.ascontiguousarray(raw[0].transpose(1, 2, 0)), mask[0, 0]


class PortableSwapper:
    """Swaps faces of frames by a bundle's graphs; see the module's text."""

    def __init__(self, *, detector: FaceDetector, source: Path, frame: Path, threads: int = 1) -> None:
        """Put the parts together; `load` does it for a folder.

        Args:
            detector: finds the face of a source; give the video's own detector to `FaceTracker`.
            source, frame: the graphs.
            threads: of one operator of a network.
        """
        self.detector, self.source, self.frame, self.threads = detector, source, frame, threads

    @classmethod
    def load(cls, bundle: str | os.PathLike[str], *, threads: int = 1) -> PortableSwapper:
        """The swapper of a bundle folder.

        Raises:
            AssetError: a graph is missing.
        """
        folder = Path(bundle)
        check_bundle(folder)
        detector = FaceDetector(model=folder / DETECTOR)
        return cls(detector=detector, source=folder / SOURCE, frame=folder / FRAME, threads=threads)

    def prepare(self, source: ImageInput) -> PortablePerson:
        """Read a source, recognise its largest face and make that person's network; see also `prepare_apart`.

        Raises:
            InputError: the source can't be read.
            NoFaceError: it shows no face.
            AssetError: the graphs don't fit together.
        """
        model, notes = self.make_model(source)
        return PortablePerson.from_model(model, threads=self.threads, notes=notes)

    def make_model(self, source: ImageInput, *, apart: bool = False) -> tuple[bytes, tuple[str, ...]]:
        """A person's network as a serialised ONNX model, and what was unusual about the source.

        Args:
            source: a picture.
            apart: run the large source graph in a process of its own.

        Raises:
            InputError: the source can't be read.
            NoFaceError: it shows no face.
            AssetError: the graphs don't fit together.
        """
        from mfs_lib.swapping.image_io import as_image  # with Pillow: 10 MB that a video does without

        picture = as_image(source)
        faces = self.detector.detect(picture.pixels)
        if not faces:
            raise NoFaceError("no face was found in the source: use a picture that shows one, seen from the front")
        notes = [f"source: {note}" for note in picture.notes]
        if len(faces) > 1:
            notes.append(f"source: shows {len(faces)} faces, the largest is used")
        from mfs_lib.deploy.baking import bake, crop_size, load_frame  # with onnx, likewise

        frame = load_frame(self.frame)
        size = crop_size(frame)
        crop = align(picture.pixels, fit_similarity(faces[0].points, TEMPLATE * size), size)
        return bake(frame, self._weights(crop, apart=apart)).SerializeToString(), tuple(notes)

    def _weights(self, crop: UInt8Image, *, apart: bool) -> dict[str, FloatImage]:
        """One person's weights by name, from the aligned source crop."""
        view = arcface_pixels(crop.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)[None]
        face = np.ascontiguousarray(view)
        return weights_apart(self.source, face) if apart else source_weights(self.source, face, threads=self.threads)


def swap_face(frame: Frame, person: PortablePerson, points: FloatArray, *, detail: Detail = DEFAULT_DETAIL) -> bool:
    """Swap one face of a frame, in place.

    Args:
        frame: see `frames`.
        person: whose face is put in.
        points: (5, 2) landmarks in pixels of the frame.
        detail: see `paste`.

    Returns:
        False when the face lies outside the frame; then nothing was changed.
    """
    size = person.crop_size
    matrix = fit_similarity(points, TEMPLATE * size)
    left, top, right, bottom = crop_region(matrix, size, frame.width, frame.height)
    if left >= right or top >= bottom:
        return False
    before = frame.region((left, top, right, bottom))
    matrix[:, 2] += matrix[:, :2] @ np.array([left, top], dtype=np.float64)  # from pixels of the region
    crop, raw, mask = person.swap_crop(align(*halved(before, matrix, size, keep=1.5), size))
    after = before.copy()
    x0, y0, x1, y1 = paste(after, raw, mask, matrix, crop=crop, detail=detail)
    if x0 < x1 and y0 < y1:
        changed = (slice(y0, y1), slice(x0, x1))
        frame.write((left + x0, top + y0, left + x1, top + y1), before[changed], after[changed])
    return True
