"""Alignment: exact where it is exact, round trips elsewhere, and one convention for pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import (
    ARCFACE_POINTS,
    TEMPLATE,
    FloatArray,
    align,
    arcface_matrix,
    arcface_pixels,
    arcface_view,
    estimate_arcface,
    estimate_similarity,
    fit_similarity,
    halved,
    invert,
    scale_of,
    transform_points,
)

ANGLES = st.floats(-math.pi, math.pi)
SCALES = st.floats(0.05, 20.0)
SHIFTS = st.floats(-2000.0, 2000.0)


def _similarity(angle: float, scale: float, x: float, y: float) -> FloatArray:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def _smooth_image(size: int, seed: int) -> np.ndarray:
    """A picture without detail finer than about 16 pixels, so that resampling loses almost nothing."""
    coarse = torch.rand(1, 3, size // 32, size // 32, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    return (fine[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def test_the_template_is_arcfaces_shrunk() -> None:
    expected = 0.5 + 0.8 * (ARCFACE_POINTS[:, 0] - 56) / 112
    np.testing.assert_allclose(TEMPLATE[:, 0], expected)
    np.testing.assert_allclose(TEMPLATE[:, 1], 0.52 + 0.8 * (ARCFACE_POINTS[:, 1] - 58) / 112)
    np.testing.assert_allclose(transform_points(arcface_matrix(200), TEMPLATE * 200), ARCFACE_POINTS, atol=1e-9)


@given(ANGLES, SCALES, SHIFTS, SHIFTS, st.sampled_from([64, 128, 224, 256]))
def test_a_similarity_is_found_exactly(angle: float, scale: float, x: float, y: float, size: int) -> None:
    true = _similarity(angle, scale, x, y)
    points = transform_points(invert(true), TEMPLATE * size)
    np.testing.assert_allclose(estimate_similarity(points, size), true, rtol=1e-6, atol=1e-5)


@given(st.integers(0, 10_000))
def test_no_similarity_nearby_fits_better(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points, onto = generator.normal(size=(2, 5, 2)) * 50
    best = fit_similarity(points, onto)

    def error(matrix: FloatArray) -> float:
        return float(((transform_points(matrix, points) - onto) ** 2).sum())

    a, b, x, y = best[0, 0], best[1, 0], best[0, 2], best[1, 2]
    for step in np.eye(4) * 1e-3:
        for sign in (-1, 1):
            da, db, dx, dy = sign * step
            assert error(np.array([[a + da, -b - db, x + dx], [b + db, a + da, y + dy]])) >= error(best) - 1e-9


@given(ANGLES, SCALES, SHIFTS, SHIFTS)
def test_the_inverse_inverts(angle: float, scale: float, x: float, y: float) -> None:
    matrix = _similarity(angle, scale, x, y)
    points = np.array([[0.0, 0.0], [100.0, -3.0], [17.0, 511.0]])
    back = transform_points(invert(matrix), transform_points(matrix, points))
    np.testing.assert_allclose(back, points, atol=1e-6)
    assert scale_of(matrix) == pytest.approx(scale)


@settings(max_examples=25, deadline=None)
@given(ANGLES, st.floats(0.8, 1.6), st.floats(-6, 6), st.floats(-6, 6), st.integers(0, 100))
def test_align_and_unalign_give_the_picture_back(angle: float, scale: float, x: float, y: float, seed: int) -> None:
    image = _smooth_image(256, seed)
    size = 192
    centre = _similarity(angle, scale, 0, 0)[:, :2] @ np.array([127.5, 127.5])
    matrix = _similarity(angle, scale, 95.5 - centre[0] + x, 95.5 - centre[1] + y)
    back = align(align(image, matrix, size), invert(matrix), 256)
    # Compare what lies well inside the crop, in whatever direction it is turned.
    radius = (size / 2 - 14) / scale
    rows, columns = np.mgrid[:256, :256]
    seen = invert(matrix)[:, :2] @ np.array([95.5, 95.5]) + invert(matrix)[:, 2]
    inside = np.hypot(columns - seen[0], rows - seen[1]) < min(radius, 110)
    difference = np.abs(back.astype(float) - image)[inside]
    assert difference.mean() < 1.5
    assert difference.max() < 14


def test_whole_shifts_are_exact() -> None:
    image = _smooth_image(64, 0)
    crop = align(image, np.array([[1.0, 0, -5], [0, 1.0, -7]]), 32)
    np.testing.assert_array_equal(crop, image[7:39, 5:37])


@pytest.mark.parametrize("factor", [2, 4])
def test_shrinking_averages_blocks(factor: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    shift = -(factor - 1) / 2 / factor
    crop = align(image, np.array([[1 / factor, 0, shift], [0, 1 / factor, shift]]), 64 // factor)
    blocks = image.reshape(64 // factor, factor, 64 // factor, factor, 3).mean(axis=(1, 3))
    assert np.abs(crop - blocks).max() <= 0.51


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (200, 100))[..., None].repeat(3, axis=2)
    crop = align(stripes, np.array([[0.13, 0, 0], [0, 0.13, 0]]), 26)
    assert crop[2:-2, 2:-2].std() < 12


@pytest.mark.parametrize("size", [112, 128, 224, 256, 400])
def test_arcface_view_is_the_direct_alignment(size: int) -> None:
    image = _smooth_image(512, 3)
    points = transform_points(_similarity(0.3, 2.1, 150, 100), ARCFACE_POINTS)
    ours = align(image, estimate_similarity(points, size), size)
    direct = align(image, estimate_arcface(points), 112)
    batch = torch.from_numpy(ours).permute(2, 0, 1)[None].double()
    view = arcface_view(batch)[0].permute(1, 2, 0).numpy()
    assert view.shape == (112, 112, 3)
    assert np.abs(view - direct).mean() < 0.8
    assert np.abs(view - direct).max() < 4


def test_arcface_view_on_a_photograph() -> None:
    image = skimage.data.astronaut()
    points = np.array([[200.1, 101.8], [247.2, 102.6], [220.3, 124.7], [198.9, 143.2], [239.8, 143.9]])
    batch = torch.from_numpy(align(image, estimate_similarity(points, 256), 256)).permute(2, 0, 1)[None].float()
    direct = align(image, estimate_arcface(points), 112)
    assert np.abs(arcface_view(batch)[0].permute(1, 2, 0).numpy() - direct).mean() < 3


@pytest.mark.parametrize("size", [64, 128, 256])
def test_arcface_view_is_differentiable_and_linear(size: int) -> None:
    crop = torch.rand(2, 3, size, size, dtype=torch.float64, requires_grad=True)
    view = arcface_view(crop)
    (gradient,) = torch.autograd.grad(view.sum(), crop)
    # Every weight of the resampling adds up to one output pixel each.
    assert gradient.sum().item() == pytest.approx(2 * 3 * 112 * 112)
    assert (gradient >= 0).all()
    torch.testing.assert_close(arcface_view(torch.full((1, 1, size, size), 0.3)), torch.full((1, 1, 112, 112), 0.3))


def test_arcface_view_of_the_recognisers_own_size_covers_the_jaw() -> None:
    corners = transform_points(invert(arcface_matrix(128)), [[0, 0], [112, 112]])
    np.testing.assert_allclose(corners, [[12.8, 13.531], [115.2, 115.931]], atol=1e-3)


@pytest.mark.parametrize(
    "points",
    [np.zeros((5, 2)), np.zeros((4, 2)), np.full((5, 2), np.nan), np.zeros((5, 3)), np.full((5, 2), np.inf)],
)
def test_unusable_landmarks_are_typed_errors(points: np.ndarray) -> None:
    with pytest.raises(InputError):
        estimate_similarity(points, 128)


def test_other_misuse_is_a_typed_error() -> None:
    with pytest.raises(InputError, match="invertible"):
        invert(np.zeros((2, 3)))
    with pytest.raises(InputError, match="positive size"):
        align(np.zeros((4, 4, 3), np.uint8), np.eye(3)[:2], 0)
    with pytest.raises(InputError, match="non-empty"):
        align(np.zeros((0, 4, 3), np.uint8), np.eye(3)[:2], 8)
    with pytest.raises(InputError, match="square"):
        arcface_view(torch.zeros(1, 3, 64, 65))


def test_grey_images_and_single_pixels_can_be_aligned() -> None:
    assert align(np.full((1, 1, 3), 9, np.uint8), np.eye(3)[:2], 8).tolist() == np.full((8, 8, 3), 9).tolist()
    assert align(np.full((5, 7), 3, np.uint8), np.eye(3)[:2], 4).shape == (4, 4)


@pytest.mark.parametrize("size", [64, 112, 128, 224])
def test_arcface_pixels_are_the_view_without_torch(size: int) -> None:
    crop = np.random.default_rng(size).random((size, size, 3), dtype=np.float32)
    view = arcface_view(torch.from_numpy(crop).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(arcface_pixels(crop), view, atol=2e-5)
    with pytest.raises(InputError, match="square crop"):
        arcface_pixels(crop[1:])


@pytest.mark.parametrize("scale", [0.11, 0.2, 0.26, 0.6, 2.0])
def test_a_halved_image_gives_the_same_crop(scale: float) -> None:
    image = np.asarray(skimage.data.astronaut(), dtype=np.uint8)
    linear = scale * np.array([[0.96, -0.28], [0.28, 0.96]])
    matrix = np.column_stack([linear, np.array([20.0, 24.0]) - linear @ [225, 120]])
    part, shifted = halved(image, matrix, 48, keep=1.5)
    error = np.abs(align(part, shifted, 48).astype(int) - align(image, matrix, 48))
    assert error.mean() < 2 and np.percentile(error, 99) <= 14
    assert scale > 0.2 or part.size < image.size / 4
