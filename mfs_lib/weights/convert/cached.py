"""Convert a fetched model file once and keep the result as safetensors beside the fetched files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from mfs_lib.errors import AssetError, OutputError
from mfs_lib.weights.manifest import Entry, entry
from mfs_lib.weights.registry import cache_folder, fetch
from mfs_lib.weights.safe_io import load_weights, save_weights
from mfs_lib.weights.trust import trusted_digest

CONVERTER_VERSION = "2"
"""Raised whenever a converter's result changes, so that older cached results are not used."""


def converted_state(
    name: str, convert: Callable[[Path], dict[str, Tensor]], *, offline: bool = False
) -> dict[str, Tensor]:
    """State for one of our modules: from the cache, else fetched, converted and cached.

    Args:
        name: entry of the manifest.
        convert: reads the original file.
        offline: as in ``fetch``.

    Raises:
        AssetError: as in ``fetch`` and in the converter.
    """
    source = entry(name)
    known = trusted_digest(source, cache_folder())
    file = None if known else fetch(name, offline=offline)  # the first use of a file that no manifest knows
    digest = known[1] if known else _recorded(source)
    path = cache_folder() / "converted" / f"{name}-{digest[:12]}-v{CONVERTER_VERSION}.safetensors"
    if path.is_file():
        try:
            state, metadata = load_weights(path)
            if metadata.get("source_sha256") == digest:
                return state
        except AssetError:
            path.unlink(missing_ok=True)  # damaged: made anew below
    state = convert(file or fetch(name, offline=offline))
    metadata = {"source": source.source, "source_sha256": digest, "licence": source.licence}
    # A read-only cache only costs time: the converted state is in memory.
    with contextlib.suppress(OutputError):
        save_weights(path, state, metadata)
    return state


def _recorded(source: Entry) -> str:
    known = trusted_digest(source, cache_folder())
    if known is None:
        raise AssetError(f"The digest of {source.name} was not recorded in {cache_folder()}: is it writable?")
    return known[1]
