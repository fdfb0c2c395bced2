"""Making a source ready in processes of their own, whose memory is gone when the video begins.

The recogniser and the injection network are a hundred times as large as the network of a frame and are used once:

    python -m mfs_lib.swapping.source_process person  BUNDLE PICTURE FOLDER    the whole preparation
    python -m mfs_lib.swapping.source_process weights GRAPH FACE.npy FOLDER    only the source graph, started by the former

Both write what they made into the folder. An error of this package is written there too and raised again by the caller.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from mfs_lib import errors
from mfs_lib.errors import AssetError, MfsError

if TYPE_CHECKING:
    from mfs_lib.swapping.portable import PortablePerson

T = TypeVar("T")
FloatImage = npt.NDArray[np.float32]

_WEIGHTS, _MODEL, _NOTES, _ERROR = "weights.npz", "person.onnx", "notes.json", "error.json"


def prepare_apart(bundle: str | os.PathLike[str], picture: str | os.PathLike[str]) -> PortablePerson:
    """`PortableSwapper.prepare` of a picture file in another process.

    Raises:
        InputError, NoFaceError, AssetError: as `PortableSwapper.prepare`.
    """
    from mfs_lib.swapping.portable import PortablePerson

    def collect(folder: Path) -> PortablePerson:
        notes = json.loads((folder / _NOTES).read_text("utf-8"))
        return PortablePerson.from_model((folder / _MODEL).read_bytes(), notes=tuple(notes))

    return _apart("person", os.fspath(bundle), os.fspath(picture), collect)


def weights_apart(source: Path, face: FloatImage) -> dict[str, FloatImage]:
    """`source_weights` in another process.

    Raises:
        AssetError: as `source_weights`.
    """

    def collect(folder: Path) -> dict[str, FloatImage]:
        with np.load(folder / _WEIGHTS, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    with tempfile.TemporaryDirectory(prefix="mfs-face-") as folder:
        given = Path(folder) / "face.npy"
        np.save(given, face)
        return _apart("weights", str(source), str(given), collect)


def source_weights(source: Path, face: FloatImage, *, threads: int = 1) -> dict[str, FloatImage]:
    """One person's weights by name.

    Args:
        source: the source graph.
        face: (1, 3, 112, 112) float32 in [0, 1].
        threads: of one operator.

    Raises:
        AssetError: the graph can't be run, or reads something else than such a face.
    """
    from mfs_lib.deploy.sessions import open_session

    session = open_session(source, threads=threads, once=True)
    wanted = session.get_inputs()[0]
    if list(wanted.shape[1:]) != list(face.shape[1:]):
        raise AssetError(f"{source} reads {wanted.shape}, not a face {face.shape}")
    values = session.run(None, {wanted.name: face})
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


def _apart(what: str, first: str, second: str, collect: Callable[[Path], T]) -> T:
    """Run this module for one of its two tasks and collect what it wrote; raises its errors as ours."""
    with tempfile.TemporaryDirectory(prefix="mfs-source-") as folder:
        command = [sys.executable, "-m", "mfs_lib.swapping.source_process", what, first, second, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = Path(folder) / _ERROR
        if told.is_file():
            kind, message = json.loads(told.read_text("utf-8"))
            raise getattr(errors, kind, MfsError)(message)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise AssetError(f"the source could not be made ready: {lines[-1]}")
        return collect(Path(folder))


def main(arguments: list[str]) -> None:
    """See the module's text."""
    what, first, second, given = arguments
    folder = Path(given)
    try:
        if what == "weights":
            weights = source_weights(Path(first), np.load(second, allow_pickle=False))
            np.savez(folder / _WEIGHTS, allow_pickle=False, **weights)
            return
        from mfs_lib.swapping.portable import PortableSwapper

        model, notes = PortableSwapper.load(first).make_model(second, apart=True)
        (folder / _MODEL).write_bytes(model)
        (folder / _NOTES).write_text(json.dumps(notes), "utf-8")
    except MfsError as error:
        (folder / _ERROR).write_text(json.dumps([type(error).__name__, str(error)]), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
