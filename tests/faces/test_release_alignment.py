"""The release's alignment by value: its template, its free affine fit, its crop and its way back."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import ARCFACE_POINTS, fit_similarity, transform_points
from mfs_lib.faces.release_alignment import (
    RELEASE_TEMPLATE,
    estimate_release,
    fit_affine,
    invert_release,
    release_crop,
    release_template,
)

POINTS = np.array([[200.1, 101.8], [247.2, 102.6], [220.3, 124.7], [198.9, 143.2], [239.8, 143.9]])

AT_224 = [[76.5892, 103.3926], [147.0636, 103.0028], [112.0504, 143.4732], [83.0986, 184.7310], [141.4598, 184.4082]]


def normal_equations(points: npt.NDArray[np.float64], onto: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same least squares by another way: (X^T X)^-1 X^T Y."""
    x = np.column_stack([points, np.ones(len(points))])
    return np.linalg.solve(x.T @ x, x.T @ onto).T


def test_template_is_the_releases() -> None:
    np.testing.assert_allclose(release_template(224), AT_224, atol=5.1e-5)
    np.testing.assert_allclose(release_template(112), ARCFACE_POINTS, atol=5.1e-5)
    # The five points of the older 96 x 112 crop, eight pixels further right.
    np.testing.assert_allclose(RELEASE_TEMPLATE[0] - [8, 0], [30.29459953, 51.69630051], rtol=1e-12)


def test_fit_is_the_least_squares_solution() -> None:
    matrix = estimate_release(POINTS, 224)
    np.testing.assert_allclose(matrix, normal_equations(POINTS, release_template(224)), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(matrix, matrix.astype(np.float32))  # as the release rounds it


def test_fit_has_six_free_numbers() -> None:
    sheared = np.array([[1.5, 0.4, -20.0], [-0.3, 0.8, 31.0]])
    onto = transform_points(sheared, POINTS)
    np.testing.assert_allclose(fit_affine(POINTS, onto), sheared, rtol=1e-5, atol=1e-5)

    def residual(matrix: npt.NDArray[np.float64]) -> float:
        return float(np.square(transform_points(matrix, POINTS) - release_template(224)).sum())

    affine, similarity = fit_affine(POINTS, release_template(224)), fit_similarity(POINTS, release_template(224))
    assert residual(affine) < 0.9 * residual(similarity)
    assert abs(affine[0, 0] - affine[1, 1]) > 0.05  # a similarity has them equal


@pytest.mark.parametrize(
    "points",
    [
        POINTS[:4],
        np.full((5, 2), 3.0),
        np.array([[0.1, 0.3], [1.1, 2.3], [2.1, 4.3], [3.1, 6.3], [4.1, 8.3]]),
        np.where(POINTS.max() == POINTS, np.nan, POINTS),
    ],
    ids=["four", "one spot", "one line", "not finite"],
)
def test_points_without_an_affine_map_are_refused(points: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InputError):
        estimate_release(points, 224)


def test_unequal_lists_are_refused() -> None:
    with pytest.raises(InputError, match="equal lists"):
        fit_affine(POINTS, POINTS[:3])


def test_way_back_is_the_pseudo_inverse() -> None:
    matrix = estimate_release(POINTS, 224)
    back = invert_release(matrix)
    full = np.vstack([matrix, [0, 0, 1]])
    np.testing.assert_allclose(np.vstack([back, [0, 0, 1]]) @ full, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(transform_points(back, transform_points(matrix, POINTS)), POINTS, atol=1e-9)
    with pytest.raises(InputError):
        invert_release(np.eye(3))
    with pytest.raises(InputError):
        invert_release(np.full((2, 3), np.nan))


def test_pseudo_inverse_of_a_flat_map_exists() -> None:
    flat = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(invert_release(flat), flat, atol=1e-12)


def test_crop_is_one_bilinear_sample_a_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    matrix = np.array([[0.5, 0.1, -3.0], [-0.2, 0.7, 2.0]])
    crop = release_crop(image, matrix, 24)
    y, x = np.mgrid[0:24, 0:24].astype(np.float64)
    where = transform_points(np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2], np.dstack([x, y]))
    wanted = np.dstack(
        [
            ndimage.map_coordinates(image[..., c].astype(float), [where[..., 1], where[..., 0]], order=1, cval=0.0)
            for c in range(3)
        ]
    )
    inside = (where >= 1).all(axis=2) & (where[..., 0] < 78) & (where[..., 1] < 58)
    assert inside.sum() > 100
    # OpenCV rounds places to 1/32 of a pixel in some of its versions: at most 255/32 a direction on this noise.
    difference = np.abs(crop[inside] - wanted[inside])
    assert difference.max() <= 16
    assert difference.mean() < 2


def test_crop_is_black_outside() -> None:
    image = np.full((30, 30, 3), 200, dtype=np.uint8)
    crop = release_crop(image, np.array([[1.0, 0, 10], [0, 1, 10]]), 64)
    assert (crop[11:39, 11:39] == 200).all()
    assert (crop[:9] == 0).all()
    assert (crop[:, 42:] == 0).all()


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (np.zeros((0, 5, 3), np.uint8), 8),
        (np.zeros((5, 5, 3), np.uint8), 0),
        (np.zeros((1, 40_000), np.uint8), 8),
        (np.zeros(5, np.uint8), 8),
    ],
)
def test_crops_that_cannot_be_cut(image: npt.NDArray[np.uint8], size: int) -> None:
    with pytest.raises(InputError):
        release_crop(image, np.eye(2, 3), size)


def test_crop_aliases_where_ours_does_not() -> None:
    """Nothing is done against aliasing: a chequerboard shrunk to a third keeps its full contrast."""
    board = (np.indices((90, 90)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop = release_crop(board, np.array([[1 / 3, 0, 0], [0, 1 / 3, 0]]), 30)
    assert crop.std() > 100
    assert cv2.resize(board, (30, 30), interpolation=cv2.INTER_AREA).std() < 20
