"""Teachers by name: what ``teacher: ...`` means in an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch

from mfs_lib.errors import ConfigError
from mfs_lib.training.settings import make_part
from mfs_lib.training.teachers.interface import Teacher
from mfs_lib.training.teachers.landmark_warp import LandmarkWarp
from mfs_lib.training.teachers.official_simswap import NAME as OFFICIAL
from mfs_lib.training.teachers.official_simswap import OfficialSimSwap
from mfs_lib.training.teachers.oracle import Oracle
from mfs_lib.training.teachers.shipped import SHIPPED_TEACHERS, shipped_file
from mfs_lib.training.teachers.trained import load_trained

NAMES = ("oracle", "none", "warp", OFFICIAL, *SHIPPED_TEACHERS)
"""Teachers that an experiment needs to name no file for; any other is a .safetensors file."""


@dataclass(frozen=True)
class TeacherConfig:
    """A teacher in an experiment; in a file, ``teacher: oracle`` is short for ``teacher: {name: oracle}``.

    name        one of `NAMES`, or a .safetensors file that ``mfs_lib.training.gan`` wrote
    locality    for warp: how far the face takes the target's local light, 0..1
    """

    name: str = "oracle"
    locality: float = 0.5

    def __post_init__(self) -> None:
        """Raise ConfigError for a name that can't be, and for a share that is none."""
        if self.name not in NAMES and not self.name.endswith(".safetensors"):
            raise ConfigError(
                f"no teacher is called {self.name!r}: use one of {list(NAMES)} or the .safetensors file of a trained one"
            )
        if not 0 <= self.locality <= 1:
            raise ConfigError(f"locality lies between 0 and 1, got {self.locality}")


def parse_teacher(value: object, where: str = "experiment") -> TeacherConfig:
    """What an experiment says of its teacher: a name, or a mapping of settings.

    Raises:
        ConfigError: an unknown name or key, or a value that can't be.
    """
    settings = {"name": value} if isinstance(value, str) else value
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{where}: teacher can't be {value!r}; write 'teacher: oracle', or a mapping with a name")
    return cast(TeacherConfig, make_part(TeacherConfig, settings, f"{where}: teacher"))


def load_teacher(teacher: TeacherConfig | str, *, device: torch.device | str = "cpu") -> Teacher:
    """A teacher, ready to swap.

    Args:
        teacher: what `parse_teacher` made of an experiment; or a name or file.
        device: where its networks run.

    Raises:
        ConfigError: no teacher has that name.
        AssetError: its file is missing or is none of a teacher's; the message says what to do.
    """
    config = parse_teacher(teacher, "load_teacher") if isinstance(teacher, str) else teacher
    if config.name == "none":
        raise ConfigError("'teacher: none' is no teacher: such a student learns without one (training.taught)")
    if config.name == "oracle":
        return Oracle()
    if config.name == "warp":
        return LandmarkWarp(locality=config.locality)
    if config.name == OFFICIAL:
        return OfficialSimSwap.load(device=device)
    if config.name in SHIPPED_TEACHERS:
        return replace(load_trained(shipped_file(config.name), device=device), name=config.name)
    return load_trained(Path(config.name), device=device)
