"""Recipes: what each step of ours and of the release's does, and that templates belong to weights."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import TEMPLATE, align, estimate_similarity
from mfs_lib.faces.detection import Face
from mfs_lib.faces.release_alignment import estimate_release, release_crop, release_template
from mfs_lib.swapping.paste import paste
from mfs_lib.swapping.recipe import (
    OFFICIAL_TEMPLATE,
    OUR_TEMPLATE,
    RECIPES,
    SwappedCrop,
    check_detail,
    recipe_by_name,
    resized_view,
)
from mfs_lib.swapping.release_paste import release_paste

Pixels = npt.NDArray[np.uint8]


def swapped_crop(size: int = 64) -> SwappedCrop:
    """A network that painted red, whose composite is green."""
    colours = [np.full((size, size, 3), c, np.float32) for c in ((0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0))]
    return SwappedCrop(*colours, mask=np.ones((size, size), np.float32))


def test_names() -> None:
    assert RECIPES == ("ours", "release")
    assert [recipe_by_name(name).name for name in RECIPES] == ["ours", "release"]
    with pytest.raises(InputError, match="ours, release"):
        recipe_by_name("theirs")  # type: ignore[arg-type]


def test_templates_are_those_of_the_weights() -> None:
    np.testing.assert_array_equal(OUR_TEMPLATE.points, TEMPLATE)
    np.testing.assert_allclose(OFFICIAL_TEMPLATE.points * 224, release_template(224), rtol=1e-12)


def test_fits(small_face: Face) -> None:
    points = small_face.points
    np.testing.assert_array_equal(
        recipe_by_name("ours").fit(points, OUR_TEMPLATE.points * 128), estimate_similarity(points, 128)
    )
    np.testing.assert_allclose(
        recipe_by_name("release").fit(points, OFFICIAL_TEMPLATE.points * 224), estimate_release(points, 224), atol=1e-5
    )
    mixed = recipe_by_name("ours").fit(points, OFFICIAL_TEMPLATE.points * 224)
    assert mixed[0, 0] == pytest.approx(mixed[1, 1])  # a similarity, onto the release's points
    assert mixed[0, 1] == pytest.approx(-mixed[1, 0])


def test_our_crop_and_paste_are_ours(small_face: Face, astronaut: Pixels) -> None:
    ours, matrix = recipe_by_name("ours"), estimate_similarity(small_face.points, 128)
    crop = ours.crop(astronaut, matrix, 128)
    assert np.abs(crop.astype(int) - align(astronaut, matrix, 128)).max() <= 1
    swapped = swapped_crop(128)
    for detail in (None, "plain"):
        image, wanted = astronaut.copy(), astronaut.copy()
        coverage, wanted_coverage = (np.zeros((512, 512), np.uint8) for _ in range(2))
        ours.put(image, swapped, matrix, detail, coverage)
        paste(
            wanted, swapped.raw, swapped.mask, matrix, crop=swapped.crop, detail=detail or "residual",
            coverage=wanted_coverage,
        )  # fmt: skip
        np.testing.assert_array_equal(image, wanted)
        np.testing.assert_array_equal(coverage, wanted_coverage)
    x, y = small_face.points[2].round().astype(int)
    assert tuple(image[y, x]) == (255, 0, 0)  # the network's own image


def test_release_crop_and_paste_are_the_releases(small_face: Face, astronaut: Pixels) -> None:
    release, matrix = recipe_by_name("release"), estimate_release(small_face.points, 128)
    np.testing.assert_array_equal(release.crop(astronaut, matrix, 128), release_crop(astronaut, matrix, 128))
    swapped = swapped_crop(128)
    image, wanted, coverage = astronaut.copy(), astronaut.copy(), np.zeros((512, 512), np.uint8)
    release.put(image, swapped, matrix, None, coverage)
    release_paste(wanted, swapped.result, swapped.mask, matrix)
    np.testing.assert_array_equal(image, wanted)
    assert coverage.max() == 255
    x, y = small_face.points[2].round().astype(int)
    assert tuple(image[y, x]) == (0, 255, 0)  # the composite


@pytest.mark.parametrize("name", RECIPES)
def test_pictures_wider_than_opencv_takes(small_face: Face, astronaut: Pixels, name: str) -> None:
    recipe = recipe_by_name(name)  # type: ignore[arg-type]
    wide = np.zeros((300, 40_000, 3), dtype=np.uint8)
    wide[:, 39_000:39_512] = astronaut[:300]
    onto = OFFICIAL_TEMPLATE.points * 96
    narrow = recipe.crop(astronaut[:300], recipe.fit(small_face.points, onto), 96)
    far = recipe.crop(wide, recipe.fit(small_face.points + np.array([39_000.0, 0.0]), onto), 96)
    # The release's map is rounded to float32, which at 39,000 pixels costs up to 1/250 of a pixel.
    assert np.abs(narrow.astype(int) - far).max() <= 4


@pytest.mark.parametrize("name", RECIPES)
def test_crops_outside_the_picture(small_face: Face, astronaut: Pixels, name: str) -> None:
    recipe = recipe_by_name(name)  # type: ignore[arg-type]
    matrix = recipe.fit(small_face.points + 5000, OUR_TEMPLATE.points * 128)
    with pytest.raises(InputError, match="outside"):
        recipe.crop(astronaut, matrix, 128)


def test_detail_is_ours_alone(small_face: Face, astronaut: Pixels) -> None:
    check_detail("ours", "adaptive")
    check_detail("release", None)
    with pytest.raises(InputError, match="our own paste"):
        check_detail("release", "plain")
    matrix, coverage = estimate_release(small_face.points, 64), np.zeros((512, 512), np.uint8)
    with pytest.raises(InputError, match="our own paste"):
        recipe_by_name("release").put(astronaut.copy(), swapped_crop(), matrix, "plain", coverage)


def test_release_identity_input_is_the_whole_crop() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    crop = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    view = resized_view(crop)
    assert view.shape == (1, 3, 112, 112)
    means = pixels.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3))  # bilinear at exactly half the size
    found = view[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(found, found.round(), atol=1e-4)  # whole grey levels, as OpenCV leaves them
    assert np.abs(found - means).max() <= 0.51
    wanted = cv2.resize(pixels[:128, :128], (112, 112))
    other = resized_view(crop[..., :128, :128])[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(other, wanted, atol=1e-4)


def test_our_identity_input_is_cut_from_the_crop() -> None:
    crop = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert OUR_TEMPLATE.identity_view(crop).shape == (1, 3, 112, 112)
    crop[..., :4, :4] = 0  # a corner that lies outside the ArcFace crop inside ours
    before = OUR_TEMPLATE.identity_view(crop)
    crop[..., :4, :4] = 1
    assert torch.equal(before, OUR_TEMPLATE.identity_view(crop))
    assert not torch.equal(resized_view(crop)[..., :3, :3], resized_view(crop * 0)[..., :3, :3])
