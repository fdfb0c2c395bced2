"""Files checked against size and SHA-256, with a memory of what was checked before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from mfs_lib.errors import AssetError
from mfs_lib.weights.registry import cache_folder, file_sha256
from mfs_lib.weights.safe_io import write_atomically

_MEMORY = "verified.json"  # in the cache folder


class Listed(Protocol):
    """What is known about a file before it is read."""

    @property
    def path(self) -> str:
        """Path below a root, with ``/``."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> str:
        """Digest, hexadecimal."""


def check_files(root: Path, files: Iterable[Listed]) -> list[Path]:
    """Paths of files below `root` that are what the list says, in the list's order.

    A file whose path, size and time of change are those of an earlier successful check is not read again; this
    guards against damage and mix-ups, not against somebody who forges time stamps on this computer.

    Raises:
        AssetError: one is missing or something else.
        OutputError: the cache folder can't be written to.
    """
    memory = _read_memory()
    before = len(memory)
    paths = []
    for file in files:
        path = (root / file.path).resolve()
        mark = _mark(path, file)
        if mark not in memory:
            if path.stat().st_size != file.size or file_sha256(path) != file.sha256:
                raise AssetError(
                    f"{path} is not the file that the manifest names ({file.size} bytes, SHA-256 {file.sha256}). "
                    "It is not used; remove it and get it again."
                )
            memory.add(mark)
        paths.append(path)
    if len(memory) != before:
        text = json.dumps(sorted(memory), indent=0)
        write_atomically(cache_folder() / _MEMORY, lambda temporary: _write(temporary, text))
    return paths


def _mark(path: Path, file: Listed) -> str:
    if not path.is_file():
        raise AssetError(f"{path} is missing.")
    status = path.stat()
    return f"{file.sha256} {status.st_size} {status.st_mtime_ns} {path}"


def _read_memory() -> set[str]:
    path = cache_folder() / _MEMORY
    if not path.is_file():
        return set()
    try:
        marks = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return set()  # a damaged memory only means that the files are read again
    return {mark for mark in marks if isinstance(mark, str)} if isinstance(marks, list) else set()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
