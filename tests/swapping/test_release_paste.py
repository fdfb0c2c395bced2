"""The release's paste-back by value, against scipy's morphology and filters and a composite of the whole frame."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from mfs_lib.errors import InputError
from mfs_lib.faces.release_alignment import invert_release
from mfs_lib.swapping import release_paste as module
from mfs_lib.swapping.release_paste import border_mask, release_paste, soften_mask

FloatArray = npt.NDArray[np.float32]

SIZE = 64
SHEARED = np.array([[1.3, 0.2, -40.0], [-0.15, 1.1, -15.0]])


def box_blur(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Mean over a square, the picture mirrored at its outermost pixels."""
    return np.asarray(ndimage.uniform_filter(values, width, mode="mirror"))


def wanted_border(size: int) -> npt.NDArray[np.float64]:
    return box_blur(np.pad(np.ones((size - 20, size - 20)), 10), 11)


def wanted_mask(mask: FloatArray) -> npt.NDArray[np.float64]:
    solid = np.where(mask > 0.001, 1.0, mask)
    solid = ndimage.maximum_filter(solid, 11, mode="constant", cval=-np.inf)
    for _ in range(2):
        solid = ndimage.minimum_filter(solid, 11, mode="constant", cval=np.inf)
    return box_blur(solid, 7) * wanted_border(len(mask))


def square(low: int, high: int, value: float = 1.0) -> FloatArray:
    mask = np.zeros((SIZE, SIZE), dtype=np.float32)
    mask[low:high, low:high] = value
    return mask


def flat_face(*colour: float) -> FloatArray:
    return np.full((SIZE, SIZE, 3), colour, dtype=np.float32)


def shifted(x: float, y: float) -> npt.NDArray[np.float64]:
    """`SHEARED`, with the face elsewhere."""
    matrix = SHEARED.copy()
    matrix[:, 2] += (x, y)
    return matrix


def frame(height: int = 90, width: int = 110) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [21, 32, 64])
def test_border_mask(size: int) -> None:
    np.testing.assert_allclose(border_mask(size), wanted_border(size), atol=1e-6)


def test_border_mask_values() -> None:
    border = border_mask(SIZE)
    assert (border[:5] == 0).all()
    assert border[32, 32] == 1
    assert border[32, 5] == pytest.approx(1 / 11)  # the first pixel whose square reaches over the frame
    assert border[32, 15] == 1
    assert border[5, 5] == pytest.approx(1 / 121)


@pytest.mark.parametrize("seed", range(3))
def test_soft_mask_is_the_releases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.random((SIZE, SIZE)), 6)
    mask = np.clip((blobs - np.quantile(blobs, 0.4)) * 20, 0, 1).astype(np.float32)
    assert 0.2 < (mask == 0).mean() < 0.6
    np.testing.assert_allclose(soften_mask(mask), wanted_mask(mask), atol=2e-6)


def test_soft_mask_of_a_square() -> None:
    """A square of 30 grows by 5 and shrinks by 10 pixels a side: one of 20 remains, then blurred."""
    soft = soften_mask(square(17, 47))
    np.testing.assert_allclose(soft[25:39, 25:39], 1, atol=1e-6)
    assert soft[32, 22] == pytest.approx(4 / 7)
    assert soft[32, 19] == pytest.approx(1 / 7)
    assert soft[32, 18] == 0


def test_threshold_of_the_mask() -> None:
    assert soften_mask(square(0, SIZE, 0.0011))[32, 32] == pytest.approx(1)
    assert soften_mask(square(0, SIZE, 0.0009))[32, 32] == pytest.approx(0.0009)


def test_a_mask_that_fills_the_crop_is_not_eroded_at_its_edge() -> None:
    np.testing.assert_allclose(soften_mask(square(0, SIZE)), border_mask(SIZE), atol=1e-6)


def test_composite_without_a_map() -> None:
    image = np.full((SIZE, SIZE, 3), 100, dtype=np.uint8)
    release_paste(image, flat_face(0.5, 0.0, 1.0), square(0, SIZE), np.eye(2, 3))
    assert tuple(image[32, 32]) == (127, 0, 255)  # 127.5 is cut, not rounded
    assert tuple(image[4, 32]) == (100, 100, 100)
    # Where the border mask is 1/11: 100 + (255 - 100) / 11 = 114.09
    assert image[32, 5, 2] == 114


@pytest.mark.parametrize("strip", [2_000_000, 500])
def test_composite_is_that_of_the_whole_frame(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STRIP_PIXELS", strip)
    face = ndimage.gaussian_filter(np.random.default_rng(2).random((SIZE, SIZE, 3)), (2, 2, 0)).astype(np.float32)
    mask = square(8, 56, 0.7)
    target = frame()
    back = np.linalg.inv(np.vstack([SHEARED, [0, 0, 1]]))[:2]
    colour = cv2.warpAffine(face * 255, back, (110, 90))
    weight = cv2.warpAffine(wanted_mask(mask).astype(np.float32), back, (110, 90))[..., None]
    wanted = (colour * weight + target * (1 - weight)).clip(0, 255).astype(np.uint8)
    pasted = target.copy()
    release_paste(pasted, face, mask, SHEARED)
    difference = np.abs(pasted.astype(int) - wanted)
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.02
    assert (pasted != target).any(axis=2).mean() > 0.1


def test_nothing_outside_changes_and_coverage_says_where() -> None:
    target = frame()
    pasted, coverage = target.copy(), np.zeros((90, 110), dtype=np.uint8)
    release_paste(pasted, flat_face(1, 0, 0), square(0, SIZE), SHEARED, coverage=coverage)
    np.testing.assert_array_equal(pasted[coverage == 0], target[coverage == 0])
    assert coverage.max() == 255
    assert 0.05 < (coverage > 0).mean() < 0.9
    assert (pasted[coverage == 255] == [255, 0, 0]).mean() > 0.9
    # The crop's middle is where the way back puts it.
    x, y = (invert_release(SHEARED) @ [32, 32, 1]).round().astype(int)
    assert coverage[y, x] == 255


def test_coverage_of_two_faces_is_their_maximum() -> None:
    one, two, both = (np.zeros((90, 110), dtype=np.uint8) for _ in range(3))
    other = shifted(25, 5)
    for matrix, coverages in ((SHEARED, (one, both)), (other, (two, both))):
        for coverage in coverages:
            release_paste(frame(), flat_face(1, 0, 0), square(0, SIZE), matrix, coverage=coverage)
    np.testing.assert_array_equal(both, np.maximum(one, two))
    assert (one != two).any()


@pytest.mark.parametrize("shift", [(500, 0), (0, -500)])
def test_a_crop_beside_the_frame_changes_nothing(shift: tuple[float, float]) -> None:
    target = frame()
    pasted = target.copy()
    release_paste(pasted, flat_face(1, 0, 0), square(0, SIZE), shifted(*shift))
    np.testing.assert_array_equal(pasted, target)


def test_a_crop_cut_by_the_frame() -> None:
    target = frame(40, 30)
    whole, cut = np.zeros((90, 110, 3), np.uint8), target.copy()
    whole[:40, :30] = target
    for picture in (whole, cut):
        release_paste(picture, flat_face(1, 0, 0), square(0, SIZE), np.array([[1.0, 0, 5], [0, 1, 3]]))
    np.testing.assert_array_equal(whole[:40, :30], cut)
    assert (cut != target).any()


def test_things_that_cannot_be_pasted() -> None:
    good, mask = flat_face(1, 0, 0), square(0, SIZE)
    for face, weight in ((good[:, :32], mask), (good, mask[:32]), (good[..., :1], mask)):
        with pytest.raises(InputError, match="square"):
            release_paste(frame(), face, weight, SHEARED)
    for face, weight in ((good * np.nan, mask), (good, mask * np.inf)):
        with pytest.raises(InputError, match="finite"), np.errstate(invalid="ignore"):
            release_paste(frame(), face, weight, SHEARED)
    with pytest.raises(InputError, match="20 pixels"):
        release_paste(frame(), good[:20, :20], mask[:20, :20], SHEARED)
