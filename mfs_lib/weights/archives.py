"""One file out of a downloaded archive, copied piece by piece and never by a name that the archive chooses."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from mfs_lib.errors import AssetError

LARGEST = 4 << 30
"""No file of weights that we know is as long; a compressed archive may claim anything."""

_CHUNK = 1 << 20


def copy_out(archive: Path, member: str | None, target: Path, span: tuple[int, int] | None = None) -> tuple[int, str]:
    """Copy a member of `archive` (zip or tar), or a part of it, to `target`: its size and SHA-256.

    Args:
        archive: the download.
        member: path in the archive, or its end ("people/net.pth" finds "checkpoints/people/net.pth" if that is the only
            one); None for the download itself.
        target: file to write; an existing one is replaced.
        span: (first, last + 1) bytes to take.

    Raises:
        AssetError: no such member, a broken archive, or a member that is larger than any file of weights.
    """
    try:
        with _opened(archive, member) as stream, target.open("wb") as out:
            first, last = span or (0, LARGEST)
            _skip(stream, first)
            return _copy(stream, out, last - first)
    except _TooLarge as error:
        raise AssetError(f"{member or archive.name} in {archive.name} is larger than any file of weights.") from error
    except (KeyError, OSError, EOFError, RuntimeError, ValueError, *_BROKEN) as error:
        raise AssetError(f"{member} can't be read from {archive.name}: {error}.") from error


class _TooLarge(Exception):
    """More bytes than `LARGEST`."""


_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error)


def _find(names: list[str], member: str) -> str:
    """The name that is `member`, else the only one that ends in it."""
    if member in names:
        return member
    ends = [name for name in names if name.endswith(f"/{member}")]
    if len(ends) != 1:
        raise KeyError(f"there {'is no such file' if not ends else f'are {len(ends)} such files'} in the archive")
    return ends[0]


@contextmanager
def _opened(archive: Path, member: str | None) -> Iterator[BinaryIO]:
    if member is None:
        with archive.open("rb") as file:
            yield file
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped, zipped.open(_find(zipped.namelist(), member)) as stream:
            yield cast(BinaryIO, stream)
    else:
        with tarfile.open(archive) as tar:
            # Only plain files: a link could name another member, never a file of this machine, but none is needed.
            inner = tar.extractfile(_find([one.name for one in tar.getmembers() if one.isfile()], member))
            if inner is None:
                raise KeyError("it is no plain file")
            with inner:
                yield cast(BinaryIO, inner)


def _skip(stream: BinaryIO, count: int) -> None:
    while count > 0 and (chunk := stream.read(min(_CHUNK, count))):
        count -= len(chunk)


def _copy(stream: BinaryIO, out: BinaryIO, limit: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while size < limit and (chunk := stream.read(min(_CHUNK, limit - size))):
        digest.update(chunk)
        out.write(chunk)
        size += len(chunk)
    if size == LARGEST:
        raise _TooLarge
    return size, digest.hexdigest()
