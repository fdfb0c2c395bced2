"""One file from an https address, into a ``.part`` file that a later call goes on with when it is cut off.

Beside the part lies ``.part.json``: the address, the length and the version (ETag or date) that the server told. Going
on asks for the rest "if it is still that version"; a server that answers with the whole file, or with another version or
length, makes us start anew. Without a version we only go on where a known digest will check the result.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mfs_lib.errors import AssetError
from mfs_lib.weights.archives import LARGEST
from mfs_lib.weights.manifest import UNKNOWN, Package
from mfs_lib.weights.safe_io import write_text

TIMEOUT_SECONDS = 60
_CHUNK = 1 << 20
_PAGE_STARTS = (b"<!doctype html", b"<html")

Opener = Callable[[urllib.request.Request], Any]
"""From a request to an open response, as ``urllib`` gives it."""


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never to an address that is not https."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The next request.

        Raises:
            URLError: the new address is not https.
        """
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"it leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(request: urllib.request.Request) -> Any:
    """Open an https address; redirections must be https, too.

    Raises:
        URLError: no answer, an answer of error, or an address that is not https.
    """
    if not request.full_url.startswith("https://"):
        raise urllib.error.URLError(f"{request.full_url} is not https")
    return urllib.request.build_opener(_HttpsOnly).open(request, timeout=TIMEOUT_SECONDS)


def by_hand(package: Package) -> str:
    """What a person can do who can't fetch `package`."""
    where = f" from {package.page}" if package.page else ""
    return (
        f"Download it by hand{where}, put it under the name {package.file} into a folder, set MFS_MIRROR to that "
        "folder, and try again."
    )


def fetch_address(address: str, part: Path, package: Package, *, progress: bool, opener: Opener = open_https) -> None:
    """Download `address` to `part`, going on where an earlier call was cut off. The digest is the caller's to check.

    Args:
        address: where the file is.
        part: file to fill; kept when the transfer breaks off.
        package: what it should be: its length, where known, and words for messages.
        progress: show a bar on standard error.
        opener: opens a request; replaced in tests.

    Raises:
        AssetError: no network, an error, a page instead of the file, another length, or a transfer cut off.
        OutputError: the folder of `part` can't be written.
    """
    try:
        for allowed in (True, False):
            if _attempt(address, part, package, progress=progress, opener=opener, resume=allowed):
                return
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise AssetError(f"Fetching {address} failed ({error}). {by_hand(package)}") from error
    raise AssetError(f"{address} does not answer as a file does. {by_hand(package)}")


def forget(part: Path) -> None:
    """Remove a part and what is noted about it."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _attempt(address: str, part: Path, package: Package, *, progress: bool, opener: Opener, resume: bool) -> bool:
    """One request; False when it must be made again from the start."""
    notes = _resumable(address, part, package) if resume else None
    have = part.stat().st_size if notes else 0
    if notes and have == notes["total"]:
        return True
    headers = {"User-Agent": "mfs", "Accept-Encoding": "identity"}
    if notes:
        headers["Range"] = f"bytes={have}-"
        if notes["version"]:
            headers["If-Range"] = notes["version"]
    try:
        response = opener(urllib.request.Request(address, headers=headers))  # noqa: S310 - the opener takes https only
    except urllib.error.HTTPError as error:
        error.close()
        if notes and error.code == 416:  # nothing beyond what we have: it is another file now
            return False
        raise
    with response:
        if notes and response.status == 206:
            start, total = _range(response)
            if start != have or total != notes["total"] or _version(response) not in ("", notes["version"]):
                return False
        elif response.status == 200:
            have, total = 0, _length(response)
        else:
            return False
        _refuse_page(response.headers.get_content_type() == "text/html", address, package)
        _receive(response, part, package, address=address, have=have, total=total, progress=progress)
    return True


def _receive(
    response: Any, part: Path, package: Package, *, address: str, have: int, total: int | None, progress: bool
) -> None:
    if package.size is not None and total not in (None, package.size):
        raise AssetError(
            f"{address} offers {total} bytes instead of the {package.size} that {package.file} has; not taken."
        )
    expected = package.size or total
    _note(part, {"address": address, "version": _version(response), "total": expected})
    with (
        part.open("ab" if have else "wb") as out,
        tqdm(
            total=expected,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=package.file,
            disable=None if progress else True,
        ) as bar,
    ):
        while chunk := response.read(_CHUNK):
            if have == 0:
                _refuse_page(chunk.lstrip()[:20].lower().startswith(_PAGE_STARTS), address, package)
            have += len(chunk)
            if have > (expected or LARGEST):
                out.close()
                forget(part)
                raise AssetError(
                    f"{address} sends more than the {expected or LARGEST} bytes that it should; not taken."
                )
            out.write(chunk)
            bar.update(len(chunk))
    if expected is not None and have < expected:
        raise AssetError(
            f"{address} broke off after {have} of {expected} bytes. What has come is kept: run the same command again "
            "to go on."
        )


def _refuse_page(is_page: bool, address: str, package: Package) -> None:
    if is_page:
        raise AssetError(f"{address} answers with a web page and not with the file {package.file}. {by_hand(package)}")


def _length(response: Any) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _range(response: Any) -> tuple[int, int | None]:
    """First byte and whole length of a partial answer; -1 when it does not say."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if not found:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _version(response: Any) -> str:
    """What tells this version of the file from another: a strong ETag, else the date."""
    tag = str(response.headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(response.headers.get("Last-Modified", ""))


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _note(part: Path, content: dict[str, Any]) -> None:
    write_text(_notes(part), json.dumps(content))


def _resumable(address: str, part: Path, package: Package) -> dict[str, Any] | None:
    """What is noted about the part, if it can be gone on with."""
    notes: Any = None
    with contextlib.suppress(OSError, ValueError):
        notes = json.loads(_notes(part).read_text(encoding="utf-8"))
    if not isinstance(notes, dict) or notes.get("address") != address or not part.is_file():
        return None
    if not isinstance(notes.get("total"), int) or not 0 < part.stat().st_size <= notes["total"]:
        return None
    return notes if isinstance(notes.get("version"), str) and (notes["version"] or package.sha256 != UNKNOWN) else None
