"""The list of model files that we know: names, packages, digests, licences (``data_manifests/*.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from mfs_lib.errors import AssetError, ConfigError

MODELS_MANIFEST = Path(__file__).resolve().parents[2] / "data_manifests" / "models.yaml"
ECOSYSTEMS = ("pypi", "npm", "url")


@dataclass(frozen=True, kw_only=True)
class Package:
    """One download: a file of a package registry, or a plain address.

    Attributes:
        key: our name for it.
        ecosystem: ``pypi``, ``npm`` or ``url``.
        name: the registry's name; for ``url`` the address.
        version: pinned version (empty for ``url``).
        file: file name of the download, also the name looked for in a local mirror.
        size: bytes.
        sha256: digest of the whole file, hexadecimal.
        licence: what the package states for itself.
    """

    key: str
    ecosystem: str
    name: str
    version: str
    file: str
    size: int
    sha256: str
    licence: str

    def __str__(self) -> str:
        return f"{self.ecosystem} {self.name} {self.version}".strip()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model file inside a package.

    Attributes:
        name: our name for it, the argument of ``fetch``.
        package: where it comes from.
        member: path inside the package's archive; None when the download itself is the file.
        span: (first, last + 1) bytes of the member; None for the whole.
        size: bytes of the file that results.
        sha256: its digest, hexadecimal.
        licence: SPDX name of the model's own licence.
        source: who made it.
        citation: paper.
        purpose: what we use it for.
        default: whether ``fetch_default`` takes it.
    """

    name: str
    package: Package
    member: str | None
    span: tuple[int, int] | None
    size: int
    sha256: str
    licence: str
    source: str
    citation: str
    purpose: str
    default: bool

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


def entry(name: str, *, manifest: Path = MODELS_MANIFEST) -> Entry:
    """One entry by name.

    Raises:
        AssetError: no such name; the message lists those that exist.
    """
    known = read_manifest(manifest)
    if name not in known:
        raise AssetError(f"No model file is called {name!r}. Known: {', '.join(sorted(known))}.")
    return known[name]


def _digest(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ConfigError(f"{where}: sha256 must be 64 lower-case hexadecimal digits.")
    return value


def _size(where: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ConfigError(f"{where}: size must be a positive number of bytes.")
    return value


def _package(key: str, raw: Mapping[str, Any]) -> Package:
    where = f"package {key}"
    if raw["ecosystem"] not in ECOSYSTEMS:
        raise ConfigError(f"{where}: ecosystem must be one of {', '.join(ECOSYSTEMS)}.")
    name, file = str(raw["url"] if raw["ecosystem"] == "url" else raw["name"]), str(raw["file"])
    if raw["ecosystem"] == "url" and not name.startswith("https://"):
        raise ConfigError(f"{where}: only https addresses are taken.")
    if raw["ecosystem"] == "pypi" and not file.endswith(".whl"):
        raise ConfigError(f"{where}: only wheels are taken, because source packages run code when they are unpacked.")
    if Path(file).name != file:
        raise ConfigError(f"{where}: file must be a bare file name.")
    return Package(
        key=key,
        ecosystem=raw["ecosystem"],
        name=name,
        version=str(raw.get("version", "")),
        file=file,
        size=_size(where, raw["size"]),
        sha256=_digest(where, raw["sha256"]),
        licence=str(raw["licence"]),
    )


def _entry(name: str, raw: Mapping[str, Any], packages: Mapping[str, Package]) -> Entry:
    where = f"file {name}"
    if raw["package"] not in packages:
        raise ConfigError(f"{where}: package {raw['package']!r} is not in the list of packages.")
    span = tuple(raw["range"]) if raw.get("range") else None
    size = _size(where, raw["size"])
    if span is not None and (len(span) != 2 or not 0 <= span[0] < span[1] or span[1] - span[0] != size):
        raise ConfigError(f"{where}: range must be [first, last + 1] and as long as size says.")
    return Entry(
        name=name,
        package=packages[raw["package"]],
        member=raw["member"],
        span=None if span is None else (int(span[0]), int(span[1])),
        size=size,
        sha256=_digest(where, raw["sha256"]),
        licence=str(raw["licence"]),
        source=str(raw["source"]),
        citation=str(raw["citation"]),
        purpose=str(raw["purpose"]),
        default=bool(raw["default"]),
    )
