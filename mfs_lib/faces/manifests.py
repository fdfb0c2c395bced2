"""What face data exists, who agreed to what, and where its verified files are (``data_manifests/faces.yaml``).

    from mfs_lib.faces import manifests
    if manifests.available("london_neutral"):
        photographs = manifests.files("london_neutral", split="train")
    else:
        print(manifests.how_to_get("london_neutral"))

Files lie below the data root (``MFS_DATA``, else the folder ``data`` of the cache) or below ``MFS_MIRROR``, each under
the path that the manifest gives it. Every file is checked against its size and SHA-256 before it is handed out; the
result is remembered by path, size and time of change, so that a second look is cheap.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import yaml
from tqdm import tqdm

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.faces.download import bring
from mfs_lib.faces.verified import check_files
from mfs_lib.weights.registry import cache_folder

FACES_MANIFEST = Path(__file__).resolve().parents[2] / "data_manifests" / "faces.yaml"

Split = Literal["train", "test", "all"]
Rule = Literal["number_from", "every", "shared", "demo"]


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """One file: its path below the data root (with ``/``), its size in bytes and its SHA-256 (hexadecimal)."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """File name without folders."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Who may be learned from and who only tests.

    Attributes:
        rule: ``number_from``: person numbers >= `value` only test; ``every``: numbers divisible by `value` only test;
            ``shared``: no people in it, the same files for both; ``demo``: for showing only.
        value: the number that the rule needs, else 0.
    """

    rule: Rule
    value: int = 0

    def allows(self, number: int | None, split: Split) -> bool:
        """Whether a file of the person with this number belongs to a split; ``all`` takes every file."""
        if split == "all" or self.rule == "shared":
            return True
        if self.rule == "demo" or number is None:
            return False
        test = number >= self.value if self.rule == "number_from" else number % self.value == 0
        return test == (split == "test")


@dataclass(frozen=True, kw_only=True)
class FaceSet:
    """One entry of the manifest; the texts are meant to be shown.

    Attributes:
        name: key in the manifest.
        title: full name.
        folder: where the files lie below the data root.
        photographs: suffix of the files that `files` lists.
        expression: ``neutral``, ``smiling``, ``varied`` or ``none``.
        licence: name; `licence_url` leads to its text, `licence_note` says what it asks for.
        consent: what the people shown agreed to, or why nobody is shown.
        citation: how to cite it.
        source: address of the repository.
        content: what the files are.
        purpose: what we use it for.
        split: held-out rule.
        listed: every file, also those excluded.
        excluded: file name to the reason why it is never used.
        same_as: file name to the file name of the first photograph of the same face.
        addresses: path prefixes and the addresses to try for what follows them.
        by_hand: what to do where there is no address, or another way.
    """

    name: str
    title: str
    folder: str
    photographs: str
    expression: str
    licence: str
    licence_url: str
    licence_note: str
    consent: str
    citation: str
    source: str
    content: str
    purpose: str
    split: SplitRule
    listed: tuple[ListedFile, ...]
    excluded: Mapping[str, str]
    same_as: Mapping[str, str]
    addresses: tuple[tuple[str, tuple[str, ...]], ...]
    by_hand: str

    @property
    def needed(self) -> tuple[ListedFile, ...]:
        """Files that must be there: all but the excluded ones."""
        return tuple(file for file in self.listed if file.name not in self.excluded)

    def person(self, file_name: str) -> str:
        """Who a photograph shows: the digits that its name begins with, those of the first photograph of that face."""
        first = self.same_as.get(file_name, file_name)
        digits = re.match(r"\d+", first)
        return digits.group() if digits else PurePosixPath(first).stem

    def urls(self, file: ListedFile) -> tuple[str, ...]:
        """Addresses of a file, best first; empty where it can't be downloaded."""
        for prefix, bases in self.addresses:
            if file.path.startswith(prefix):
                return tuple(base + file.path.removeprefix(prefix) for base in bases)
        return ()

    def in_split(self, file: ListedFile, split: Split) -> bool:
        """Whether a file is a photograph of that split."""
        if file.name in self.excluded or not file.name.endswith(self.photographs):
            return False
        person = self.person(file.name)
        return self.split.allows(int(person) if person.isdigit() else None, split)


def data_root() -> Path:
    """Folder that holds the data: ``MFS_DATA``, else ``data`` in the cache folder (not made here)."""
    chosen = os.environ.get("MFS_DATA")
    return Path(chosen).expanduser() if chosen else cache_folder() / "data"


def names(manifest: Path = FACES_MANIFEST) -> tuple[str, ...]:
    """Names of all sets."""
    return tuple(read_manifest(manifest))


def face_set(name: str, *, manifest: Path = FACES_MANIFEST) -> FaceSet:
    """One set by name.

    Raises:
        AssetError: no such set; the message lists those that exist.
    """
    known = read_manifest(manifest)
    if name not in known:
        raise AssetError(f"No face data is called {name!r}. Known: {', '.join(known)}.")
    return known[name]


def available(name: str, *, manifest: Path = FACES_MANIFEST) -> bool:
    """Whether all files of a set are there with their sizes (the digests are checked by `files`)."""
    return _root_of(face_set(name, manifest=manifest)) is not None


def files(name: str, *, split: Split = "all", manifest: Path = FACES_MANIFEST) -> list[Path]:
    """Verified photographs (or arrays) of a set in the order of their names; excluded files never come.

    Args:
        name: a set of the manifest.
        split: ``train`` (may be learned from), ``test`` (held out) or ``all``.

    Raises:
        AssetError: the data is not there (the message says how to get it) or a file is not what the manifest says.
        InputError: an unknown split, or train or test of a set that is for showing only.
    """
    wanted = face_set(name, manifest=manifest)
    if split not in get_args(Split):
        raise InputError(f"A split is one of {', '.join(get_args(Split))}, not {split!r}.")
    if wanted.split.rule == "demo" and split != "all":
        raise InputError(f"{wanted.title} is neither for learning nor for tests: {wanted.purpose}")
    root = _require_root(wanted)
    return check_files(root, [file for file in wanted.listed if wanted.in_split(file, split)])


def companion(name: str, path: str, *, manifest: Path = FACES_MANIFEST) -> Path:
    """A verified file that goes with a set, by its path below the data root, e.g. ``london/london_info.csv``.

    Raises:
        AssetError: it is not in the manifest, not there, or not what the manifest says.
    """
    wanted = face_set(name, manifest=manifest)
    for file in wanted.needed:
        if file.path == path:
            return check_files(_require_root(wanted), [file])[0]
    raise AssetError(f"{wanted.title} has no file {path}.")


def fetch(name: str, *, progress: bool = True, manifest: Path = FACES_MANIFEST) -> list[Path]:
    """Bring all needed files of a set into the data root; files that are there already are kept.

    An interrupted fetch goes on where it stopped: each file is placed only when it is whole and verified.

    Args:
        name: a set of the manifest.
        progress: show a bar on standard error.

    Returns:
        The verified files, photographs and companions.

    Raises:
        AssetError: no address and no mirror (the message says what can be done), no network, or a wrong file.
        OutputError: the data root can't be written to.
    """
    wanted = face_set(name, manifest=manifest)
    root = data_root()
    # A file that is there but isn't the right one is reported by the check at the end, never overwritten.
    missing = [file for file in wanted.needed if not (root / file.path).is_file()]
    with tqdm(total=sum(f.size for f in missing), unit="B", unit_scale=True, desc=name, disable=not progress) as bar:
        for file in missing:
            bring(wanted, file, root / file.path)
            bar.update(file.size)
    return check_files(root, wanted.needed)


def how_to_get(name: str, *, manifest: Path = FACES_MANIFEST) -> str:
    """Text for readers and error messages: what the data is, what it may be used for and how to get it."""
    wanted = face_set(name, manifest=manifest)
    size = sum(file.size for file in wanted.needed) / 1e6
    left_out = f" {len(wanted.excluded)} of them are excluded and never used." if wanted.excluded else ""
    lines = [
        f"{wanted.title} ({len(wanted.needed)} files, {size:.0f} MB; {wanted.licence}) is not on this computer.",
        wanted.content + left_out,
        f"Consent: {wanted.consent}",
        f"Cite as: {wanted.citation}",
    ]
    if wanted.addresses:
        lines.append(f"Get it with 'mfs fetch {name}'; it goes to {data_root()} (MFS_DATA chooses another folder).")
    if wanted.by_hand:
        lines.append(wanted.by_hand)
    lines.append(f"A copy of the folder {wanted.folder} is found when MFS_DATA names the folder that holds it.")
    return "\n".join(lines)


def _roots() -> list[Path]:
    mirror = os.environ.get("MFS_MIRROR")
    return [data_root(), *([Path(mirror).expanduser()] if mirror else [])]


def _root_of(wanted: FaceSet) -> Path | None:
    """First root that holds the whole set, judged by file sizes."""
    for root in _roots():
        if all(_size_of(root / file.path) == file.size for file in wanted.needed):
            return root
    return None


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _require_root(wanted: FaceSet) -> Path:
    root = _root_of(wanted)
    if root is None:
        absent = [f.path for f in wanted.needed if not any(_size_of(r / f.path) == f.size for r in _roots())]
        example = absent[0] if absent else wanted.needed[0].path
        raise AssetError(
            f"{len(absent)} of {len(wanted.needed)} files of {wanted.title} are missing or have another size, for "
            f"example {example}.\n{how_to_get(wanted.name)}"
        )
    return root


@lru_cache(maxsize=8)
def read_manifest(path: Path = FACES_MANIFEST) -> Mapping[str, FaceSet]:
    """Read and check the manifest and the lists beside it.

    Raises:
        AssetError: a file is missing.
        ConfigError: something in it is not valid; the message names the set.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AssetError(f"The list of face data, {path}, can't be read: work from a clone of it all.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict) or raw.get("schema") != 1:
        raise ConfigError(f"{path}: a mapping with 'schema: 1' is needed.")
    sets = {}
    for name, entry in raw["sets"].items():
        try:
            sets[name] = _face_set(name, entry, raw["licences"], path.parent)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}, set {name}: something is missing or of the wrong kind: {error!r}.") from error
    return sets


def _face_set(name: str, raw: Mapping[str, Any], licences: Mapping[str, str], folder: Path) -> FaceSet:
    keys = ["title", "folder", "photographs", "expression", "licence", "licence_note", "consent", "citation", "source"]
    keys += ["content", "purpose"]
    texts = {key: " ".join(str(raw[key]).split()) for key in keys}
    blank = [key for key, text in texts.items() if not text]
    if blank:
        raise ConfigError(f"Set {name}: {', '.join(blank)} must not be empty.")
    excluded = _pairs(folder / raw["excluded"], "file", "reason") if "excluded" in raw else {}
    same_as = _pairs(folder / raw["people"], "file", "same_as") if "people" in raw else {}
    addresses = tuple((str(one["prefix"]), tuple(map(str, one["urls"]))) for one in raw["addresses"])
    if any(not url.startswith("https://") for _, urls in addresses for url in urls):
        raise ConfigError(f"Set {name}: only https addresses are taken.")
    return FaceSet(
        name=name,
        **texts,
        licence_url=str(licences[texts["licence"]]),
        split=_split_rule(raw["split"]),
        listed=_listed(folder / f"{name}_files.csv"),
        excluded=excluded,
        same_as=same_as,
        addresses=addresses,
        by_hand=" ".join(str(raw.get("by_hand", "")).split()),
    )


def _split_rule(raw: Mapping[str, Any]) -> SplitRule:
    if raw["rule"] == "number_from":
        return SplitRule(rule="number_from", value=int(raw["test_from"]))
    if raw["rule"] == "every":
        return SplitRule(rule="every", value=int(raw["test_every"]))
    if raw["rule"] in ("shared", "demo"):
        return SplitRule(rule=raw["rule"])
    raise ConfigError(f"A split rule is one of {', '.join(get_args(Rule))}, not {raw['rule']!r}.")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise AssetError(f"{path} can't be read: work from a clone of the repository.") from error


def _pairs(path: Path, key: str, value: str) -> dict[str, str]:
    rows = _rows(path)
    pairs = {row[key]: row[value] for row in rows}
    if len(pairs) != len(rows):
        raise ConfigError(f"{path}: a file is listed twice.")
    return pairs


def _listed(path: Path) -> tuple[ListedFile, ...]:
    """Files of a set; a path that would leave the data root is refused."""
    listed = tuple(ListedFile(path=r["path"], size=int(r["size"]), sha256=r["sha256"]) for r in _rows(path))
    for file in listed:
        parts = PurePosixPath(file.path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in file.path:
            raise ConfigError(f"{path}: {file.path} must be a path below the data root.")
        if file.size <= 0 or not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
            raise ConfigError(f"{path}: {file.path} needs a size and a SHA-256.")
    return listed
