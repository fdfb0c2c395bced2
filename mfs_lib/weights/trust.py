"""What the user's cache remembers: digests seen at first use, and terms agreed to.

Both lie in the cache folder as one JSON file each, written atomically:

| file              | holds                                                                                   |
|-------------------|-----------------------------------------------------------------------------------------|
| digests.json      | name of a file whose digest no manifest knows -> its size and SHA-256 when first used     |
| agreements.json   | SHA-256 of (licence, terms) -> the words themselves and the names they were agreed to for |

An agreement is to words: when a manifest's words change, it is asked for again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mfs_lib.errors import AssetError
from mfs_lib.weights.manifest import UNKNOWN, Entry
from mfs_lib.weights.safe_io import write_text


def check_agreement(wanted: Entry, cache: Path, *, agree: bool) -> None:
    """Nothing, if `wanted` has no terms or the user agreed to them, now or earlier.

    Raises:
        AssetError: not agreed; the message holds licence, terms and the command to run.
    """
    if not wanted.terms:
        return
    path, key = cache / "agreements.json", _key(wanted)
    agreed = _read(path)
    if key in agreed and isinstance(agreed[key], dict):
        return
    if not agree:
        raise AssetError(
            f"{wanted.name} is handed out only to those who agree to its terms. Licence: {wanted.licence}. Terms: "
            f"{wanted.terms} If you agree, run: mfs fetch {wanted.name} --agree"
        )
    agreed[key] = {"name": wanted.name, "licence": wanted.licence, "terms": wanted.terms}
    _write(path, agreed)


def is_agreed(wanted: Entry, cache: Path) -> bool:
    """Whether `wanted` has no terms or they are agreed to."""
    return not wanted.terms or _key(wanted) in _read(cache / "agreements.json")


def trusted_digest(wanted: Entry, cache: Path) -> tuple[int | None, str] | None:
    """Size (None: any) and SHA-256 that the file must have: the manifest's, else those recorded; None when neither is.

    Raises:
        AssetError: the record can't be read.
    """
    if wanted.sha256 != UNKNOWN:
        return wanted.size, wanted.sha256
    record = _read(cache / "digests.json").get(wanted.name)
    if record is None:
        return None
    try:
        return int(record["size"]), str(record["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise AssetError(f"The record of {wanted.name} in {cache / 'digests.json'} is broken: remove it.") from error


def accept_digest(wanted: Entry, cache: Path, *, size: int, sha256: str, origin: str) -> None:
    """Check a file against what is known of it; at its first use, record it.

    Args:
        wanted: the file's entry.
        cache: the cache folder.
        size: bytes of the file.
        sha256: its digest.
        origin: where it lies, for messages and the record.

    Raises:
        AssetError: it is another file than the manifest or the record says.
    """
    known = trusted_digest(wanted, cache)
    if wanted.size not in (None, size):
        raise AssetError(
            f"{wanted.name} from {origin} is not what the manifest says ({size} bytes instead of {wanted.size}); it is "
            "not used."
        )
    if known is None:
        records = _read(cache / "digests.json")
        records[wanted.name] = {"size": size, "sha256": sha256, "origin": origin}
        _write(cache / "digests.json", records)
    elif known[1] != sha256 or known[0] not in (None, size):
        said = "what the manifest says" if wanted.sha256 != UNKNOWN else "the file that was first used under this name"
        raise AssetError(
            f"{wanted.name} from {origin} is not {said}: SHA-256 {known[1]} was expected, it is {sha256} ({size} "
            f"bytes). It is not used.{_way_out(wanted, cache)}"
        )


def _way_out(wanted: Entry, cache: Path) -> str:
    if wanted.sha256 != UNKNOWN:
        return ""
    return (
        " If the publisher replaced it and you trust the new file, remove the old one from the cache and "
        f"{wanted.name!r} from {cache / 'digests.json'}, and fetch it again."
    )


def _key(wanted: Entry) -> str:
    return hashlib.sha256(f"{wanted.licence}\n{wanted.terms}".encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AssetError(f"{path} can't be read ({error}). Remove it to start anew.") from error
    if not isinstance(loaded, dict):
        raise AssetError(f"{path} is broken: an object was expected. Remove it to start anew.")
    return loaded


def _write(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
