"""Weights on disk without executable formats: safetensors in and out, foreign pickles through a restricted reader."""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mfs_lib.errors import AssetError, OutputError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it into place; nothing half-written ever shows.

    Raises:
        OutputError: the folder or the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise OutputError(f"Can't write {path}: {error.strerror}. Choose a folder that you may write to.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        # mkstemp makes files private to the user; give the result the permissions that the umask asks for.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"Can't write {path}: {error}. Check free space and permissions.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically (see `write_atomically`).

    Raises:
        OutputError: it can't be written.
    """

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, atomically.

    Args:
        path: target file; its folder is made.
        state: named tensors (stored on the CPU, contiguous, in their own dtype).
        metadata: text kept in the file's header.

    Raises:
        OutputError: it can't be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=dict(metadata)))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: (named tensors on the CPU, header metadata).

    Raises:
        AssetError: the file is missing or is not whole, valid safetensors.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as archive:
            state = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 - not a mapping
            return state, dict(archive.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise AssetError(
            f"{path} is not a readable safetensors file ({error}). Remove it and fetch it again."
        ) from error


def load_foreign_pickle(path: Path) -> dict[str, Tensor]:
    """Read somebody else's ``torch.save`` file of named tensors; nothing in it can run.

    Only tensors and plain containers are rebuilt (``torch.load(weights_only=True)``): any other global that the
    pickle names is refused before it is called.

    Raises:
        AssetError: the file is missing, broken, asks for anything else than tensors, or is no flat mapping of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols, for torch's developers
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken stream makes the reader fail in any way: struct.error, KeyError, ...
        raise AssetError(f"{path} was refused: it isn't a plain file of tensors ({_reason(error)}).") from error
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in loaded.items()):
        raise AssetError(f"{path} was refused: it holds something else than named tensors.")
    return dict(loaded)


def _reason(error: Exception) -> str:
    """Why torch refused a file, without its advice to read the file unsafely."""
    text = str(error)
    if wanted := re.search(r"GLOBAL (\S+)", text):
        return f"it asks for {wanted[1]!r}, which no file of weights needs"
    if "weights_only" in text:
        return "it asks for more than tensors"
    return text.splitlines()[0] if text else type(error).__name__
