"""How a crop is cut out of a photograph and put back: our way, or the MobileFaceSwap release's.

| step             | "ours"                                            | "release"                                       |
|------------------|---------------------------------------------------|-------------------------------------------------|
| fit              | similarity                                        | affine map, all six numbers free                |
| crop             | without aliasing, edges repeated                  | bilinear, black outside                         |
| paste            | the network's image under its mask, grain kept    | the composite under a grown and blurred mask    |
| detector         | YuNet                                             | SCRFD when its file is there, otherwise YuNet   |

*Which* five points a crop has at which place, and what its recogniser reads, belong to the weights and not to the
recipe: a network knows only crops like those it was trained on. So any recipe goes with any weights:

| template   | points                     | identity input, 112 x 112                                              |
|------------|----------------------------|------------------------------------------------------------------------|
| ours       | ArcFace's, shrunk to 80 %  | the ArcFace crop inside ours, resampled                                |
| release    | the release's              | the crop itself, rounded to 8 bits, resized bilinearly                 |

`ours` with the release's weights fits a similarity onto the release's template; `release` with our students fits an
affine map onto ours, which shows what the recipe alone does to a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import ARCFACE_SIZE, TEMPLATE, align, arcface_view, fit_similarity
from mfs_lib.faces.alignment import FloatArray as Matrix
from mfs_lib.faces.release_alignment import RELEASE_TEMPLATE, RELEASE_UNITS, fit_affine, release_crop
from mfs_lib.swapping.paste import DEFAULT_DETAIL, Box, Detail, FloatArray, crop_region, paste
from mfs_lib.swapping.release_paste import release_paste

UInt8Image: TypeAlias = npt.NDArray[np.uint8]
RecipeName: TypeAlias = Literal["ours", "release"]
RECIPES: tuple[RecipeName, ...] = get_args(RecipeName)

_OPENCV_SIDE = 32_766  # OpenCV resamples at most 32,767 pixels a side


@dataclass(frozen=True, eq=False)
class FaceTemplate:
    """Where the five points of a face lie in the crops that a network was trained on, and what its recogniser sees.

    Attributes:
        points: (5, 2), fractions of the crop's side.
        identity_view: crop (1, 3, S, S) in [0, 1] to the recogniser's input (1, 3, 112, 112) in [0, 1].
    """

    points: Matrix
    identity_view: Callable[[Tensor], Tensor]


def resized_view(crop: Tensor) -> Tensor:
    """The release's identity input: the whole crop (1, 3, S, S) in [0, 1] at 112 x 112, by OpenCV in 8 bits."""
    pixels = crop[0].permute(1, 2, 0).mul(255).round().clamp(0, 255).byte().cpu().numpy()
    small = cv2.resize(pixels, (ARCFACE_SIZE, ARCFACE_SIZE), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float().div(255).to(crop.device)


OUR_TEMPLATE = FaceTemplate(points=TEMPLATE, identity_view=arcface_view)
"""What our students are trained on."""

OFFICIAL_TEMPLATE = FaceTemplate(points=RELEASE_TEMPLATE / RELEASE_UNITS, identity_view=resized_view)
"""What the release's weights are trained on."""


@dataclass(frozen=True, eq=False)
class SwappedCrop:
    """One aligned target crop and what the network made of it; float32 in [0, 1].

    Attributes:
        crop: (S, S, 3), the target.
        raw: (S, S, 3), the network's own image.
        result: (S, S, 3), its composite with the crop.
        mask: (S, S).
    """

    crop: FloatArray
    raw: FloatArray
    result: FloatArray
    mask: FloatArray


@dataclass(frozen=True, eq=False)
class Recipe:
    """The steps of a recipe; see the module's text.

    Attributes:
        name: which recipe.
        fit: landmarks (5, 2) and their places in the crop (5, 2), both in pixels, to the matrix (2, 3).
        cut: photograph, matrix, crop's side and the box that the crop covers, to the crop (S, S, 3) uint8.
        put: photograph (changed in place), swapped crop, matrix, detail and coverage; see `paste`.
    """

    name: RecipeName
    fit: Callable[[npt.ArrayLike, npt.ArrayLike], Matrix]
    cut: Callable[[UInt8Image, Matrix, int, Box], UInt8Image]
    put: Callable[[UInt8Image, SwappedCrop, Matrix, Detail | None, UInt8Image], None]

    def crop(self, pixels: UInt8Image, matrix: Matrix, size: int) -> UInt8Image:
        """The aligned crop (S, S, 3) of a photograph (H, W, 3), both uint8.

        Raises:
            InputError: the crop lies outside the photograph.
        """
        box = crop_region(matrix, size, pixels.shape[1], pixels.shape[0])
        if box[0] >= box[2] or box[1] >= box[3]:
            raise InputError("the detector placed the face outside the picture: use another picture")
        return self.cut(pixels, matrix, size, box)


def recipe_by_name(name: RecipeName) -> Recipe:
    """A recipe by name.

    Raises:
        InputError: there is none of that name.
    """
    if name == "ours":
        return Recipe(name=name, fit=fit_similarity, cut=_cut_ours, put=_put_ours)
    if name == "release":
        return Recipe(name=name, fit=fit_affine, cut=_cut_release, put=_put_release)
    raise InputError(f"recipe must be one of {', '.join(RECIPES)}, not {name!r}")


def check_detail(name: RecipeName, detail: Detail | None) -> None:
    """Refuse a `detail` that the recipe can't follow.

    Raises:
        InputError: the release's paste is asked for a detail.
    """
    if name == "release" and detail is not None:
        raise InputError(f"detail={detail!r} belongs to our own paste: leave it out with the recipe 'release'")


def _part(pixels: UInt8Image, matrix: Matrix, box: Box) -> tuple[UInt8Image, Matrix]:
    """The part of a photograph inside a box, and the matrix from its pixels."""
    left, top, right, bottom = box
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ np.array([left, top], dtype=np.float64)
    return np.ascontiguousarray(pixels[top:bottom, left:right]), shifted


def _cut_ours(pixels: UInt8Image, matrix: Matrix, size: int, box: Box) -> UInt8Image:
    # Only the region around the face is handed on: OpenCV resamples at most 32,767 pixels a side.
    return align(*_part(pixels, matrix, box), size)


def _cut_release(pixels: UInt8Image, matrix: Matrix, size: int, box: Box) -> UInt8Image:
    if max(pixels.shape[:2]) > _OPENCV_SIDE:
        # Two more pixels around, so that no sample takes black from the cut instead of the photograph.
        left, top, right, bottom = box
        height, width = pixels.shape[:2]
        wider = (max(0, left - 2), max(0, top - 2), min(width, right + 2), min(height, bottom + 2))
        pixels, matrix = _part(pixels, matrix, wider)
    return release_crop(pixels, matrix, size)


def _put_ours(
    image: UInt8Image, swapped: SwappedCrop, matrix: Matrix, detail: Detail | None, coverage: UInt8Image
) -> None:
    chosen = DEFAULT_DETAIL if detail is None else detail
    paste(image, swapped.raw, swapped.mask, matrix, crop=swapped.crop, detail=chosen, coverage=coverage)


def _put_release(
    image: UInt8Image, swapped: SwappedCrop, matrix: Matrix, detail: Detail | None, coverage: UInt8Image
) -> None:
    check_detail("release", detail)
    release_paste(image, swapped.result, swapped.mask, matrix, coverage=coverage)
