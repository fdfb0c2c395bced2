"""The parts that a `Swapper` is made of, loaded by name: networks with the template they know, and a detector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from mfs_lib.errors import AssetError
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.swapping.recipe import OFFICIAL_TEMPLATE, OUR_TEMPLATE, FaceTemplate, RecipeName

if TYPE_CHECKING:
    from mfs_lib.faces.detection import Face

OFFICIAL_WEIGHTS = "mobilefaceswap-224"
"""Name of the release's weights."""

OFFICIAL_CROP = 224
"""Side of the aligned crop that they were trained on, in pixels."""

_SCRFD = "scrfd-10g"


class Detector(Protocol):
    """Anything that finds faces, largest first."""

    def detect(self, image: npt.NDArray[np.uint8]) -> Sequence[Face]:
        """Faces in an (H, W, 3) uint8 image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Networks:
    """The networks of one set of weights, and what goes with them.

    Attributes:
        student: identity features to one person's network.
        identity: the recogniser that it was trained with.
        crop_size: side of the aligned crop in pixels.
        name: of the weights.
        template: of the aligned crop.
    """

    student: MobileFaceSwap
    identity: nn.Module
    crop_size: int
    name: str
    template: FaceTemplate


def load_networks(weights: str | os.PathLike[str]) -> Networks:
    """The networks of a shipped student, of a student's file, or of the release (`OFFICIAL_WEIGHTS`).

    Raises:
        AssetError: no weights of that name, or a file is missing and can't be fetched.
    """
    name = os.fspath(weights)
    if name == OFFICIAL_WEIGHTS:
        from mfs_lib.weights.official import load_mobilefaceswap

        student, identity = load_mobilefaceswap()
        return Networks(
            student=student,
            identity=identity,
            crop_size=OFFICIAL_CROP,
            name=OFFICIAL_WEIGHTS,
            template=OFFICIAL_TEMPLATE,
        )
    from mfs_lib.weights.models import load_sface
    from mfs_lib.weights.shipped import SHIPPED_STUDENTS, load_student

    if name not in SHIPPED_STUDENTS and not name.endswith(".safetensors"):
        known = ", ".join((*SHIPPED_STUDENTS, OFFICIAL_WEIGHTS))
        raise AssetError(f"no weights are called {name!r}: use {known} or the path of a student's .safetensors file")
    loaded = load_student(weights)
    return Networks(
        student=loaded.network,
        identity=load_sface(),
        crop_size=loaded.crop_size,
        name=loaded.name,
        template=OUR_TEMPLATE,
    )


def load_recipe_detector(recipe: RecipeName) -> tuple[Detector, tuple[str, ...]]:
    """The recipe's detector, and what should be said about it.

    SCRFD, the release's, is used when its file is in the cache or the mirror and its terms are agreed to; it is never
    fetched unasked. Otherwise YuNet stands in.

    Raises:
        AssetError: YuNet is missing and can't be fetched, or SCRFD's file is no such network.
    """
    from mfs_lib.weights.models import load_detector

    if recipe == "ours":
        return load_detector(), ()
    from mfs_lib.faces.scrfd import ScrfdDetector
    from mfs_lib.weights.registry import fetch

    try:
        model = fetch(_SCRFD, offline=True)
    except AssetError:
        note = f"YuNet found the faces: the release's detector SCRFD is not ready (see 'mfs fetch {_SCRFD} --agree')"
        return load_detector(), (note,)
    return ScrfdDetector(model=model), ()
