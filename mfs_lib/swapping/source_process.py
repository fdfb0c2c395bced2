"""Run a source graph in a process of its own: `python -m mfs_lib.swapping.source_process GRAPH FACE.npy WEIGHTS.npz`.

The recogniser and the injection network are a hundred times as large as the network of a frame and are used once. In a
process of their own their memory is gone when the video begins.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mfs_lib.errors import AssetError

FloatImage = npt.NDArray[np.float32]


def weights_apart(source: Path, face: FloatImage) -> dict[str, FloatImage]:
    """One person's weights by name, computed in another process.

    Args:
        source: the source graph.
        face: (1, 3, 112, 112) float32 in [0, 1].

    Raises:
        AssetError: the other process failed; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="mfs-source-") as folder:
        given, made = Path(folder) / "face.npy", Path(folder) / "weights.npz"
        np.save(given, face)
        command = [sys.executable, "-m", "mfs_lib.swapping.source_process", str(source), str(given), str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise AssetError(f"the source graph {source} could not be run: {lines[-1]}")
        with np.load(made, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def source_weights(source: Path, face: FloatImage, *, threads: int = 1) -> dict[str, FloatImage]:
    """One person's weights by name, computed here; see `weights_apart`.

    Raises:
        AssetError: the graph can't be run, or reads something else than a face.
    """
    from mfs_lib.swapping.sessions import open_session, session_options

    session = open_session(source, session_options(threads, thrifty=True))
    wanted = session.get_inputs()[0]
    if list(wanted.shape[1:]) != list(face.shape[1:]):
        raise AssetError(f"{source} reads {wanted.shape}, not a face {face.shape}")
    values = session.run(None, {wanted.name: face})
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


def main(arguments: list[str]) -> None:
    """See the module's text."""
    source, given, made = (Path(text) for text in arguments)
    weights = source_weights(source, np.load(given, allow_pickle=False))
    np.savez(made, allow_pickle=False, **weights)


if __name__ == "__main__":
    main(sys.argv[1:])
