"""YuNet and the face mesh on a photograph in the public domain (NASA's, shipped with scikit-image)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from mfs_lib.errors import AssetError, InputError
from mfs_lib.faces.alignment import TEMPLATE, Image, align, estimate_arcface, estimate_similarity, transform_points
from mfs_lib.faces.detection import Face, FaceDetector, quick_view
from mfs_lib.faces.mesh import FACE_OVAL, mesh_landmarks
from mfs_lib.networks.face_mesh import FaceMesh
from mfs_lib.weights.models import load_detector, load_mesh, load_sface

# Pupils, nose tip and mouth corners, placed by hand.
HAND = np.array([[203.0, 102.0], [247.0, 104.0], [222.0, 129.0], [201.0, 142.0], [243.0, 144.0]])


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return load_detector()


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return load_mesh()


@pytest.fixture(scope="module")
def photograph() -> Image:
    return np.asarray(skimage.data.astronaut(), dtype=np.uint8)


@pytest.fixture(scope="module")
def face(detector: FaceDetector, photograph: Image) -> Face:
    return detector.detect(photograph)[0]


def test_the_face_is_found_where_it_is(detector: FaceDetector, photograph: Image) -> None:
    faces = detector.detect(photograph)
    assert len(faces) == 1
    assert faces[0].score > 0.8
    assert np.abs(faces[0].points - HAND).max() < 8
    left, top, right, bottom = faces[0].box
    assert 160 < left < 195 < 250 < right < 285
    assert 40 < top < 90 < 160 < bottom < 190


def test_the_left_eye_in_the_image_comes_first(face: Face) -> None:
    assert face.points[0, 0] < face.points[1, 0]
    assert face.points[3, 0] < face.points[4, 0]
    assert face.points[:2, 1].max() < face.points[2, 1] < face.points[3:, 1].min()


@pytest.mark.parametrize("scale", [0.5, 3.0, 5.0])
def test_results_are_in_the_images_own_pixels(
    detector: FaceDetector, photograph: Image, face: Face, scale: float
) -> None:
    resized = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else 1)
    found = detector.detect(np.asarray(resized, dtype=np.uint8))[0]
    expected = (face.points + 0.5) * scale - 0.5
    assert np.abs(found.points - expected).max() < 4 * scale
    assert np.abs(found.points - expected).mean() < 1.5 * scale


def test_faces_come_largest_first(detector: FaceDetector, photograph: Image) -> None:
    small = np.asarray(cv2.resize(photograph, (256, 256), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    both = np.zeros((512, 768, 3), dtype=np.uint8)
    both[:256, :256] = small
    both[:, 256:] = photograph
    faces = detector.detect(both)
    assert len(faces) == 2
    assert faces[0].area > 2 * faces[1].area
    assert faces[0].box[0] > 256 > faces[1].box[2]


def test_a_face_that_fills_the_picture_is_found(detector: FaceDetector, photograph: Image) -> None:
    tight = cv2.resize(photograph[40:200, 140:305], (3000, 3000), interpolation=cv2.INTER_CUBIC)
    assert detector.detect(np.asarray(tight, dtype=np.uint8))


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 3), (64, 64, 3), (500, 300, 3)])
def test_no_face_is_an_empty_list(detector: FaceDetector, shape: tuple[int, int, int]) -> None:
    assert detector.detect(np.full(shape, 127, dtype=np.uint8)) == []


def test_other_arrays_and_files_are_typed_errors(detector: FaceDetector, tmp_path: Path) -> None:
    for wrong in (
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3)),
        np.zeros((0, 8, 3), np.uint8),
    ):
        with pytest.raises(InputError, match="RGB uint8"):
            detector.detect(wrong)  # type: ignore[arg-type]
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(AssetError, match="face detector"):
        FaceDetector(model=tmp_path / "model.onnx")


def test_aligned_points_lie_on_the_template(face: Face) -> None:
    matrix = estimate_similarity(face.points, 128)
    assert np.abs(transform_points(matrix, face.points) - TEMPLATE * 128).mean() < 3


def test_mesh_points_lie_on_the_face(photograph: Image, face: Face, mesh: FaceMesh) -> None:
    landmarks = mesh_landmarks(photograph, face, mesh=mesh)
    assert landmarks.shape == (468, 3)
    eyes = np.array([landmarks[[33, 133, 159, 145], :2].mean(axis=0), landmarks[[362, 263, 386, 374], :2].mean(axis=0)])
    assert np.abs(eyes - HAND[:2]).max() < 3
    assert np.abs(landmarks[61, :2] - HAND[3]).max() < 6
    assert np.abs(landmarks[291, :2] - HAND[4]).max() < 6
    # The nose tip is nearest to the camera, by an amount in proportion to the face's width.
    width = float(np.ptp(landmarks[:, 0]))
    depth = float(np.ptp(landmarks[:, 2]))
    assert landmarks[:, 2].argmin() in (1, 4)
    assert 0.3 < depth / width < 1.2
    # The face oval encloses nearly all points.
    oval = landmarks[list(FACE_OVAL), :2].astype(np.float32)
    inside = [cv2.pointPolygonTest(oval, (float(x), float(y)), True) > -1.5 for x, y, _ in landmarks]
    assert np.mean(inside) > 0.97


@pytest.mark.parametrize(("angle", "scale"), [(25.0, 1.0), (-40.0, 0.7), (0.0, 2.5)])
def test_the_mesh_turns_and_grows_with_the_picture(
    detector: FaceDetector, photograph: Image, face: Face, mesh: FaceMesh, angle: float, scale: float
) -> None:
    matrix = cv2.getRotationMatrix2D((222.0, 115.0), angle, scale)
    turned = align(photograph, matrix, 512)
    found = detector.detect(turned)[0]
    moved = mesh_landmarks(turned, found, mesh=mesh)
    still = mesh_landmarks(photograph, face, mesh=mesh)
    error = np.linalg.norm(moved[:, :2] - transform_points(matrix, still[:, :2]), axis=1) / scale
    assert error.mean() < 1.5  # pixels of the original, where the eyes are 44 apart
    assert np.ptp(moved[:, 2]) / scale == pytest.approx(np.ptp(still[:, 2]), rel=0.15)


def test_the_default_mesh_and_misuse(photograph: Image, face: Face, mesh: FaceMesh) -> None:
    np.testing.assert_array_equal(mesh_landmarks(photograph, face), mesh_landmarks(photograph, face, mesh=mesh))
    with pytest.raises(InputError, match="pass"):
        mesh_landmarks(photograph, face, passes=0)
    broken = Face(box=face.box, score=1.0, points=np.zeros((5, 2)))
    with pytest.raises(InputError, match="eyes"):
        mesh_landmarks(photograph, broken, mesh=mesh)


@pytest.mark.parametrize("angle", [-50.0, 30.0])
def test_identity_survives_a_turn(detector: FaceDetector, photograph: Image, face: Face, angle: float) -> None:
    """Alignment undoes the turn, which needs landmarks that a turn doesn't spoil: SFace sees the same person."""
    matrix = cv2.getRotationMatrix2D((222.0, 115.0), angle, 1.2)
    turned = align(photograph, matrix, 512)
    points = [face.points, detector.detect(turned)[0].points]
    crops = [align(i, estimate_arcface(p), 112) for i, p in zip((photograph, turned), points, strict=True)]
    batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    embedding = load_sface()(batch).embedding
    assert float(embedding[0] @ embedding[1]) > 0.9


def test_looking_again_is_what_makes_turned_faces_right(detector: FaceDetector, photograph: Image, face: Face) -> None:
    matrix = cv2.getRotationMatrix2D((222.0, 115.0), 50.0, 1.2)
    turned = align(photograph, matrix, 512)
    expected = transform_points(matrix, face.points)
    errors = [np.abs(one.detect(turned)[0].points - expected).mean() for one in (detector, load_detector(refine=False))]
    assert errors[0] < 2
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_one_small_look_finds_the_face_again(
    detector: FaceDetector, photograph: Image, face: Face, turn: float, mirrored: bool
) -> None:
    angle = np.deg2rad(turn)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, np.array([250.0, 150.0]) - linear @ [222, 110]])
    picture = cv2.warpAffine(photograph, matrix, (512, 512))
    true = transform_points(matrix, face.points)
    before = Face(box=np.array([190.0, 80, 310, 215]), score=0.9, points=true + np.array([9.0, -7.0]))
    seen = detector.look(np.asarray(picture, np.uint8), before, mirrored=mirrored)
    assert seen is not None and seen.score > 0.6
    eyes = np.linalg.norm(true[1] - true[0])
    assert np.linalg.norm(seen.points - true, axis=1).mean() < 0.14 * eyes
    assert 80 < seen.box[3] - seen.box[1] < 160


def test_a_look_at_a_wall_finds_nothing(detector: FaceDetector, face: Face) -> None:
    assert detector.look(np.full((512, 512, 3), 128, np.uint8), face) is None


@pytest.mark.parametrize("scale", [0.21, 0.4, 0.9, 1.7])
def test_the_quick_view_is_the_aligned_crop(photograph: Image, scale: float) -> None:
    linear = scale * np.array([[0.95, -0.3], [0.3, 0.95]])
    matrix = np.column_stack([linear, np.array([48.0, 48.0]) - linear @ [220, 130]])
    smooth = np.asarray(cv2.GaussianBlur(photograph, (0, 0), 3), np.uint8)
    error = np.abs(quick_view(smooth, matrix, 96).astype(int) - align(smooth, matrix, 96))
    assert error.mean() < 2 and np.percentile(error, 99) < 14
