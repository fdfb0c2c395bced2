"""Get one file of a face data set: from the local mirror, else from the addresses in the manifest."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mfs_lib.errors import AssetError
from mfs_lib.weights.registry import file_sha256
from mfs_lib.weights.safe_io import write_atomically

if TYPE_CHECKING:
    from mfs_lib.faces.manifests import FaceSet, ListedFile

_TIMEOUT_SECONDS = 60
_CHUNK = 1 << 20


def bring(wanted: FaceSet, file: ListedFile, target: Path) -> None:
    """Place one file of a set, whole and verified: from ``MFS_MIRROR`` if it has it, else from its addresses in turn.

    Raises:
        AssetError: no address, fetching switched off (``MFS_OFFLINE``), no network, or not the right file.
        OutputError: the folder of `target` can't be written to.
    """
    mirror = os.environ.get("MFS_MIRROR")
    if mirror and (copy := Path(mirror).expanduser() / file.path).is_file():
        write_atomically(target, partial(_copy, copy, file))
        return
    urls = wanted.urls(file)
    if not urls:
        raise AssetError(f"There is no address to fetch {file.path} from. {wanted.by_hand}".strip())
    if os.environ.get("MFS_OFFLINE", "") not in ("", "0"):
        raise AssetError(f"{file.path} is missing and fetching is switched off (MFS_OFFLINE). {wanted.by_hand}".strip())
    failures = []
    for url in urls:
        try:
            write_atomically(target, partial(_download, url, file))
        except AssetError as error:
            failures.append(str(error))
        else:
            return
    raise AssetError("\n".join([*failures, f"Check the network, or get it by hand. {wanted.by_hand}".strip()]))


def _copy(source: Path, file: ListedFile, target: Path) -> None:
    shutil.copyfile(source, target)
    _check(target, file, str(source))


def _download(url: str, file: ListedFile, target: Path) -> None:
    # Names may hold spaces; what is already quoted stays as it is.
    request = urllib.request.Request(urllib.parse.quote(url, safe=":/%"), headers={"User-Agent": "mfs"})
    try:
        with (
            # https only: the manifest admits nothing else
            urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response,
            target.open("wb") as out,
        ):
            _save(response, out, file)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise AssetError(f"{url} could not be fetched: {error}.") from error
    _check(target, file, url)


def _save(response: http.client.HTTPResponse, out: BinaryIO, file: ListedFile) -> None:
    received = 0
    while chunk := response.read(_CHUNK):
        received += len(chunk)
        if received > file.size:
            raise AssetError(f"{file.path}: more than the expected {file.size} bytes were sent; not taken.")
        out.write(chunk)


def _check(path: Path, file: ListedFile, origin: str) -> None:
    if path.stat().st_size != file.size or file_sha256(path) != file.sha256:
        raise AssetError(f"{origin} is not the file that the manifest names (SHA-256 {file.sha256}); not taken.")
