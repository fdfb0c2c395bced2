"""The trained teachers and quality scorers that come with the package, by name: ``teacher: faceshifter_64``.

A teacher's file is what ``training.teachers.trained`` writes, with kernels stored as float16; its scorer's what
``training.quality`` writes. The sheet holds pictures of some of its training's stages, for the book.

| name             | what                                                              |
|------------------|-------------------------------------------------------------------|
| faceshifter_64   | ``experiments/teachers/faceshifter_64.yaml`` after its last step  |
| simswap_64       | ``experiments/teachers/simswap_64.yaml``                          |

A name may be known whose files aren't there; `is_shipped` tells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mfs_lib.errors import AssetError
from mfs_lib.weights.shipped import SHIPPED_FOLDER

Part = Literal["teacher", "quality", "stages"]

SHIPPED_TEACHERS = ("faceshifter_64", "simswap_64")
"""Names that an experiment may use for a trained teacher, or for its quality scorer."""


def shipped_name(name: str, part: Part = "teacher") -> str:
    """File name of a part: ``teacher_faceshifter_64.safetensors``."""
    return f"{part}_{name}.safetensors"


def is_shipped(name: str, part: Part = "teacher") -> bool:
    """Whether that part of the teacher is in the package."""
    return name in SHIPPED_TEACHERS and (SHIPPED_FOLDER / shipped_name(name, part)).is_file()


def shipped_file(name: str, part: Part = "teacher") -> Path:
    """The file of a part of a shipped teacher.

    Raises:
        AssetError: no teacher of that name is shipped, or its file is not in the package; says what to do.
    """
    if name not in SHIPPED_TEACHERS:
        raise AssetError(f"no teacher called {name!r} comes with the package; {list(SHIPPED_TEACHERS)} may")
    path = SHIPPED_FOLDER / shipped_name(name, part)
    if not path.is_file():
        raise AssetError(
            f"the package holds no {path.name}: train the teacher (python -m mfs_lib.training.gan "
            f"experiments/teachers/{name}.yaml --run DIR) and put it there (python -m mfs_lib.reproduction.ship_teacher "
            f"{name} --run DIR), or name its file"
        )
    return path
