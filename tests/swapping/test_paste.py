"""Pasting back: nothing changes outside, nothing changes for an identity swap, and what is pasted lands in place."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import align
from mfs_lib.swapping import paste as paste_module
from mfs_lib.swapping.paste import border_window, crop_region, paste

SIZE = 64


def similarity(scale: float, angle: float, x: float, y: float) -> npt.NDArray[np.float64]:
    """Photograph pixels to crop pixels; (x, y) is the photograph's point at the crop's centre."""
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, np.full(2, SIZE / 2) - linear @ np.array([x, y])])


def smooth_picture(height: int = 200, width: int = 240) -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [127 + 90 * np.sin(x / a) * np.cos(y / b) for a, b in ((23, 31), (37, 19), (29, 27))]
    return np.rint(np.dstack(waves)).astype(np.uint8)


def crop_of(image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return align(image, matrix, SIZE).astype(np.float32) / 255


ONES = np.ones((SIZE, SIZE), dtype=np.float32)
matrices = st.builds(similarity, st.floats(0.2, 3.0), st.floats(-3.1, 3.1), st.floats(-30, 270), st.floats(-30, 230))


@settings(max_examples=40, deadline=None)
@given(matrix=matrices, detail=st.sampled_from(["plain", "residual", "adaptive"]))
def test_outside_the_crop_nothing_changes(matrix: npt.NDArray[np.float64], detail: str) -> None:
    before = smooth_picture()
    after, coverage = before.copy(), np.zeros(before.shape[:2], dtype=np.uint8)
    rng = np.random.default_rng(0)
    face = rng.random((SIZE, SIZE, 3), dtype=np.float32)
    paste(after, face, ONES, matrix, crop=crop_of(before, matrix), detail=detail, coverage=coverage)  # type: ignore[arg-type]
    left, top, right, bottom = crop_region(matrix, SIZE, 240, 200)
    outside = np.ones(before.shape[:2], dtype=bool)
    outside[top:bottom, left:right] = False
    np.testing.assert_array_equal(after[outside], before[outside])
    # Also inside the bounding box, wherever the mask's weight is exactly 0.
    corners = np.stack(np.meshgrid(np.arange(240), np.arange(200)), axis=-1) @ matrix[:, :2].T + matrix[:, 2]
    beyond = ((corners < -1) | (corners > SIZE)).any(axis=-1)
    np.testing.assert_array_equal(after[beyond], before[beyond])
    assert (coverage[beyond] == 0).all()


@settings(max_examples=40, deadline=None)
@given(matrix=matrices, detail=st.sampled_from(["residual", "adaptive"]))
def test_identity_swap_that_keeps_detail_is_bit_exact(matrix: npt.NDArray[np.float64], detail: str) -> None:
    before = smooth_picture()
    after, crop = before.copy(), crop_of(before, matrix)
    paste(after, crop, ONES, matrix, crop=crop, detail=detail)  # type: ignore[arg-type]
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("scale", [0.35, 0.7, 1.0, 1.7])
def test_identity_swap_with_plain_is_exact_up_to_resampling(scale: float) -> None:
    before = smooth_picture()
    matrix = similarity(scale, 0.3, 120, 100)
    after = before.copy()
    paste(after, crop_of(before, matrix), ONES, matrix, detail="plain")
    error = np.abs(after.astype(int) - before)
    assert error.max() <= 4  # the picture's waves are long against the pixel of every crop here
    assert error.mean() < 0.5


def test_plain_paste_puts_the_face_in_its_place() -> None:
    before = np.zeros((200, 240, 3), dtype=np.uint8)
    matrix = similarity(0.5, 0.0, 120, 100)  # a 64-pixel crop over 128 pixels of the photograph
    face = np.zeros((SIZE, SIZE, 3), dtype=np.float32)
    face[28:36, 40:48] = 1.0  # a white square right of the centre
    after = before.copy()
    paste(after, face, ONES, matrix, detail="plain")
    y, x = np.nonzero(after[..., 0] > 127)
    # Crop pixel c shows photograph pixel 120 + (c - 32) / 0.5, so the centre 43.5 is at 143 and 31.5 at 99.
    assert abs(x.mean() - 143) < 0.5
    assert abs(y.mean() - 99) < 0.5
    assert abs(len(x) - 256) < 40


def test_mask_limits_the_change() -> None:
    before = smooth_picture()
    matrix = similarity(1.0, 0.0, 120, 100)
    mask = np.zeros((SIZE, SIZE), dtype=np.float32)
    mask[:, :32] = 1.0
    after, coverage = before.copy(), np.zeros(before.shape[:2], dtype=np.uint8)
    paste(after, 1 - crop_of(before, matrix), mask, matrix, coverage=coverage, detail="plain")
    changed = (after != before).any(axis=2)
    # The crop's left half lies at photograph columns 88 to 120.
    assert changed[75:125, 100:119].mean() > 0.9
    assert not changed[:, 122:].any()
    assert coverage.max() == 255


def test_sigmoid_tail_of_the_mask_changes_nothing() -> None:
    before = smooth_picture()
    after = before.copy()
    paste(
        after, np.ones((SIZE, SIZE, 3), dtype=np.float32), ONES * 0.0015, similarity(1.0, 0.0, 120, 100), detail="plain"
    )
    np.testing.assert_array_equal(after, before)


def test_shrinking_does_not_alias() -> None:
    """A fine checkerboard pasted at a third of its size is grey, not a moire pattern."""
    checker = np.indices((SIZE, SIZE)).sum(axis=0) % 2
    face = np.repeat(checker[..., None], 3, axis=2).astype(np.float32)
    after = np.full((200, 240, 3), 128, dtype=np.uint8)
    paste(after, face, ONES, similarity(3.3, 0.1, 120, 100), detail="plain")
    assert np.abs(after.astype(int) - 128).max() <= 12


def test_strips_give_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    before = smooth_picture()
    matrix = similarity(0.4, 0.7, 110, 90)
    face = np.random.default_rng(1).random((SIZE, SIZE, 3), dtype=np.float32)
    whole = before.copy()
    paste(whole, face, ONES, matrix, detail="plain")
    monkeypatch.setattr(paste_module, "_STRIP_PIXELS", 1000)
    strips = before.copy()
    paste(strips, face, ONES, matrix, detail="plain")
    # OpenCV rounds positions to 1/32 pixel, so a shifted origin may move a sample by that much.
    assert np.abs(strips.astype(int) - whole).max() <= 8
    assert (strips != before).any(axis=2).sum() == pytest.approx((whole != before).any(axis=2).sum(), rel=0.01)


def test_values_are_clipped_not_wrapped() -> None:
    before = np.full((200, 240, 3), 250, dtype=np.uint8)
    after = before.copy()
    crop = np.zeros((SIZE, SIZE, 3), dtype=np.float32)
    paste(after, crop + 0.5, ONES, similarity(1.0, 0.0, 120, 100), crop=crop, detail="residual")
    assert after[100, 120, 0] == 255
    assert after.min() == 250


def test_fine_grain_is_kept_under_a_change_of_colour_except_by_plain() -> None:
    rng = np.random.default_rng(2)
    grain = rng.integers(-20, 21, (200, 240, 3))
    before = np.clip(smooth_picture().astype(int) // 2 + 60 + grain, 0, 255).astype(np.uint8)
    matrix = similarity(0.35, 0.0, 120, 100)
    crop = crop_of(before, matrix)
    results = {}
    for detail in ("plain", "residual", "adaptive"):
        after = before.copy()
        paste(after, np.clip(crop + 0.1, 0, 1), ONES, matrix, crop=crop, detail=detail)  # type: ignore[arg-type]
        inside = after[70:130, 90:150].astype(float)
        results[detail] = float(np.abs(np.diff(inside, axis=1)).mean())
    fine = float(np.abs(np.diff(before[70:130, 90:150].astype(float), axis=1)).mean())
    assert results["plain"] < 0.5 * fine
    assert results["residual"] > 0.9 * fine
    assert results["adaptive"] > 0.9 * fine


def test_adaptive_leaves_no_ghost_where_structure_moved() -> None:
    """A sharp line of the target, gone in the swap: 'residual' leaves its fine part behind, 'adaptive' does not."""
    before = np.full((200, 240, 3), 160, dtype=np.uint8)
    before[:, 119:122] = 20
    matrix = similarity(0.35, 0.0, 120, 100)
    face = np.full((SIZE, SIZE, 3), 160 / 255, dtype=np.float32)
    ghost = {}
    for detail in ("residual", "adaptive"):
        after = before.copy()
        paste(after, face, ONES, matrix, crop=crop_of(before, matrix), detail=detail)  # type: ignore[arg-type]
        ghost[detail] = np.abs(after[80:120, 110:130].astype(int) - 160).max()
    assert ghost["residual"] > 20
    assert ghost["adaptive"] < 5


@pytest.mark.parametrize(("size", "margin"), [(64, 0.08), (128, 0.08), (16, 0.5), (2, 0.0)])
def test_window(size: int, margin: float) -> None:
    window = border_window(size, margin)
    assert window.shape == (size, size)
    assert window[0].max() == 0
    assert window[:, -1].max() == 0
    assert window.max() <= 1
    np.testing.assert_array_equal(window, window[::-1, ::-1])
    if size > 16:
        assert window[size // 2, size // 2] == 1


def test_wrong_arguments() -> None:
    image, face, matrix = smooth_picture(), np.zeros((SIZE, SIZE, 3), dtype=np.float32), similarity(1, 0, 9, 9)
    with pytest.raises(InputError, match="detail"):
        paste(image, face, ONES, matrix, detail="fancy")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs the aligned"):
        paste(image, face, ONES, matrix, detail="residual")
    with pytest.raises(InputError, match="square face"):
        paste(image, face, ONES[:3], matrix, detail="plain")
    with pytest.raises(InputError, match="finite"):
        paste(image, face * np.nan, ONES, matrix, detail="plain")
    with pytest.raises(InputError, match="margin"):
        border_window(64, 0.7)


@pytest.mark.parametrize("detail", ["plain", "residual", "adaptive"])
@pytest.mark.parametrize("scale", [0.3, 0.9, 1.8])
def test_the_formula_of_the_module_at_full_size(detail: str, scale: float) -> None:
    """Every layer resampled over the whole photograph and blended in float64, as the module's text has it."""
    before, matrix = smooth_picture(), similarity(scale, 0.4, 120, 100)
    crop = crop_of(before, matrix)
    face = np.clip(crop[::-1] * 0.8 + 0.1, 0, 1)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    mask = np.clip(1.3 - np.hypot(x - 30, y - 34) / 20, 0, 1).astype(np.float32)
    after = before.copy()
    paste(after, face, mask, matrix, crop=crop, detail=detail)  # type: ignore[arg-type]

    def resampled(layer: npt.NDArray[np.float32], kind: int, border: int) -> npt.NDArray[np.float64]:
        low = paste_module._antialias(layer, scale)
        flags = kind | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(low, matrix, (240, 200), flags=flags, borderMode=border).astype(np.float64)

    own, old = (resampled(layer, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE) for layer in (face, crop))
    weight = resampled(mask * border_window(SIZE), cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)[..., None]
    kept = {"plain": np.zeros_like(mask), "residual": np.ones_like(mask)}.get(detail)
    keep = paste_module._kept_detail(face - crop) if kept is None else kept
    target = before / 255
    fine = resampled(keep, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)[..., None] * (target - old)
    expected = np.clip(np.rint(255 * (target + weight * (own - target + fine))), 0, 255)
    assert np.abs(after - expected).max() <= 1
    assert np.abs(after.astype(int) - before).max() > 8


def test_a_mask_of_zeros_changes_nothing() -> None:
    before = smooth_picture()
    after, matrix = before.copy(), similarity(0.5, 0.1, 120, 100)
    paste(after, 1 - crop_of(before, matrix), ONES * 0, matrix, detail="plain")
    np.testing.assert_array_equal(after, before)
