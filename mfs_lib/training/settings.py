"""How an experiment's file becomes settings: YAML over the file that it names as its `base`, each part checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mfs_lib.errors import ConfigError
from mfs_lib.faces.shard_reader import shards_digest

BASE = "base"
"""Key that names another file, seen from the one that it stands in; what this one says replaces what that one says."""


def _fits(value: object, default: object) -> bool:
    """True where a value is of its default's kind; whole numbers do for fractions, truth values for neither."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if default is None:  # a whole number, or a part that was made already
        return (isinstance(value, int) or dataclasses.is_dataclass(value)) and not isinstance(value, bool)
    if isinstance(default, float | int):
        kinds = int | float if isinstance(default, float) else int
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, list | tuple) if isinstance(default, tuple) else isinstance(value, type(default))


def make_part(kind: type, values: object, where: str) -> Any:
    """A frozen dataclass from a mapping, checked; `where` begins the message.

    Raises:
        ConfigError: no mapping, an unknown key, or a value of another kind than its default.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {values!r} is not a mapping of settings")
    defaults = {f.name: getattr(kind(), f.name) for f in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(defaults)):
        raise ConfigError(f"{where}: unknown keys {unknown}; known are {sorted(defaults)}")
    for key, value in values.items():
        if not _fits(value, defaults[key]):
            raise ConfigError(f"{where}: {key} can't be {value!r}; {defaults[key]!r} is its default")
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def decisive(data: Any) -> dict[str, Any]:
    """All that decides what the pictures of a data configuration are, as JSON can say it.

    Its `shards` are known by their index, wherever they lie; where there are none, nothing is said of them.

    Raises:
        InputError: the shards aren't finished ones.
    """
    values = dataclasses.asdict(data)
    shards = values.pop("shards")
    return {**values, "shards": shards_digest(Path(shards))} if shards else values


def merged(usual: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Settings `usual` with those of `changed` in their place, mappings within them merged the same way."""
    out = dict(usual)
    for key, value in changed.items():
        old = out.get(key)
        out[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"there is no experiment {path}")
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a mapping of settings")
    return values


def read_settings(path: Path) -> dict[str, Any]:
    """The mapping of settings in an experiment's file, over that of its `base`, if it names one.

    Raises:
        ConfigError: no such file, no such mapping in it, or files that are each other's base.
    """
    files, layers = [path], [_read(path)]
    while (name := layers[-1].pop(BASE, None)) is not None:
        if not isinstance(name, str):
            raise ConfigError(f"{files[-1]}: base must name a file, got {name!r}")
        files.append(files[-1].parent / name)
        if files[-1].resolve() in [file.resolve() for file in files[:-1]]:
            raise ConfigError(f"{files[-1]} is its own base: {' over '.join(str(file) for file in files)}")
        layers.append(_read(files[-1]))
    out: dict[str, Any] = {}
    for layer in reversed(layers):
        out = merged(out, layer)
    return out
