"""SCRFD's decoding by value, with tiny ONNX files whose outputs encode known faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mfs_lib.errors import AssetError, InputError
from mfs_lib.faces.scrfd import ANCHORS, STRIDES, ScrfdDetector, letterbox, suppress

Outputs = list[npt.NDArray[np.float32]]

SIZE = 64


def empty_outputs(size: int = SIZE) -> Outputs:
    """The nine outputs of a picture without faces: scores, boxes, points, each for three strides."""
    rows = [ANCHORS * (size // stride) ** 2 for stride in STRIDES]
    return [np.zeros((n, width), dtype=np.float32) for width in (1, 4, 10) for n in rows]


def put_face(
    outputs: Outputs,
    level: int,
    cell: tuple[int, int],
    anchor: int,
    score: float,
    box: list[float],
    points: list[float],
) -> None:
    """Encode a face, (x, y, x, y) and five points in pixels of the letterbox, at a cell (column, row)."""
    stride = STRIDES[level]
    cells = round((len(outputs[level]) / ANCHORS) ** 0.5)
    row = ANCHORS * (cell[1] * cells + cell[0]) + anchor
    x, y = cell[0] * stride, cell[1] * stride
    outputs[level][row] = score
    outputs[3 + level][row] = np.array([x - box[0], y - box[1], box[2] - x, box[3] - y]) / stride
    outputs[6 + level][row] = (np.array(points) - np.tile([x, y], 5)) / stride


def write_model(path: Path, outputs: Outputs, *, score_times_first_red: bool = False, names: int = 9) -> Path:
    """A network of constants; with `score_times_first_red` its first output is multiplied by one input value."""
    values = [(f"out{i}", array) for i, array in enumerate(outputs)]
    nodes, constants = [], []
    for name, array in values[:names]:
        constants.append(numpy_helper.from_array(array, f"{name}_value"))
        if score_times_first_red and name == "out0":
            constants += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in
                          {"starts": [0, 0, 0, 0], "ends": [1, 1, 1, 1], "flat": [1, 1]}.items()]  # fmt: skip
            nodes.append(helper.make_node("Slice", ["input", "starts", "ends"], ["corner"]))
            nodes.append(helper.make_node("Reshape", ["corner", "flat"], ["red"]))
            nodes.append(helper.make_node("Mul", [f"{name}_value", "red"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [f"{name}_value"], [name]))
    graph = helper.make_graph(
        nodes,
        "scrfd",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, None, None])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, array.shape) for n, array in values[:names]],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


POINTS = [18.0, 12, 26, 13, 22, 17, 19, 21, 25, 22]


def test_faces_of_every_stride_are_decoded(tmp_path: Path) -> None:
    outputs = empty_outputs()
    put_face(outputs, 0, (3, 2), 1, 0.7, [14, 5, 30, 25], POINTS)
    put_face(outputs, 1, (1, 3), 0, 0.9, [1, 40, 13, 59], [p + 1 for p in POINTS])
    put_face(outputs, 2, (1, 0), 1, 0.8, [33, 2, 62, 60], [p + 30 for p in POINTS])
    detector = ScrfdDetector(model=write_model(tmp_path / "d.onnx", outputs), size=SIZE)
    found = detector.detect(np.zeros((SIZE, SIZE, 3), np.uint8))
    assert [round(face.score, 5) for face in found] == [0.8, 0.7, 0.9]  # largest first, whatever the score
    np.testing.assert_allclose(found[0].box, [33, 2, 62, 60], atol=1e-4)
    np.testing.assert_allclose(found[1].box, [14, 5, 30, 25], atol=1e-4)
    np.testing.assert_allclose(found[2].box, [1, 40, 13, 59], atol=1e-4)
    np.testing.assert_allclose(found[1].points, np.reshape(POINTS, (5, 2)), atol=1e-4)
    np.testing.assert_allclose(found[0].points, np.reshape(POINTS, (5, 2)) + 30, atol=1e-4)


@pytest.mark.parametrize(("shape", "scale"), [((32, 32), 2.0), ((128, 64), 0.5), ((64, 256), 0.25)])
def test_results_are_in_pixels_of_the_image(tmp_path: Path, shape: tuple[int, int], scale: float) -> None:
    outputs = empty_outputs()
    put_face(outputs, 0, (2, 1), 0, 0.9, [10, 4, 28, 26], POINTS)
    detector = ScrfdDetector(model=write_model(tmp_path / "d.onnx", outputs), size=SIZE)
    (face,) = detector.detect(np.zeros((*shape, 3), np.uint8))
    np.testing.assert_allclose(face.box * scale, [10, 4, 28, 26], atol=1e-4)
    np.testing.assert_allclose(face.points.ravel() * scale, POINTS, atol=1e-4)


def test_full_size_file_of_640(tmp_path: Path) -> None:
    outputs = empty_outputs(640)
    assert [len(array) for array in outputs[:3]] == [12800, 3200, 800]
    put_face(outputs, 2, (19, 7), 1, 0.61, [500, 200, 620, 330], [p + 520 for p in POINTS])
    (face,) = ScrfdDetector(model=write_model(tmp_path / "d.onnx", outputs)).detect(np.zeros((640, 640, 3), np.uint8))
    np.testing.assert_allclose(face.box, [500, 200, 620, 330], atol=1e-3)
    assert face.score == pytest.approx(0.61)


def test_threshold_and_overlap(tmp_path: Path) -> None:
    outputs = empty_outputs()
    put_face(outputs, 0, (1, 1), 0, 0.9, [4, 4, 24, 24], POINTS)
    put_face(outputs, 0, (1, 1), 1, 0.8, [5, 5, 25, 25], POINTS)  # nearly the same
    put_face(outputs, 0, (5, 5), 0, 0.59, [40, 40, 60, 60], POINTS)  # not sure enough
    model = write_model(tmp_path / "d.onnx", outputs)
    blank = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert [round(f.score, 4) for f in ScrfdDetector(model=model, size=SIZE).detect(blank)] == [0.9]
    assert len(ScrfdDetector(model=model, size=SIZE, threshold=0.5).detect(blank)) == 2
    assert len(ScrfdDetector(model=model, size=SIZE, overlap=0.95).detect(blank)) == 2
    assert ScrfdDetector(model=model, size=SIZE, threshold=0.99).detect(blank) == []


def test_suppression_by_value() -> None:
    boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9], [0, 0, 9, 4], [50, 50, 59, 59]], dtype=np.float64)
    scores = np.array([0.5, 0.9, 0.8, 0.7])
    # Areas 100, 100, 50, 100; overlaps of 0 with 1: 50/150, of 2 with 1: 25/125, of 0 with 2: 50/100.
    assert suppress(boxes, scores, 0.4) == [1, 2, 3]
    assert suppress(boxes, scores, 0.51) == [1, 2, 3, 0]
    assert suppress(boxes, scores, 0.19) == [1, 3]
    assert suppress(boxes[:0], scores[:0], 0.4) == []


def test_letterbox_is_top_left_and_normalised() -> None:
    image = np.empty((20, 40, 3), dtype=np.uint8)
    image[...] = (255, 0, 128)
    blob, scale = letterbox(image, 64)
    assert blob.shape == (1, 3, 64, 64)
    assert blob.dtype == np.float32
    assert scale == 1.6
    for channel, value in enumerate((255, 0, 128)):  # RGB
        assert (blob[0, channel, :32] == np.float32((value - 127.5) / 128)).all()
    assert (blob[0, :, 32:] == np.float32(-127.5 / 128)).all()


def test_letterbox_cuts_the_other_side_and_takes_the_heights_scale() -> None:
    image = np.full((100, 33, 3), 255, dtype=np.uint8)
    blob, scale = letterbox(image, 64)
    assert scale == 0.64
    assert int((blob[0, 0, 0] > 0).sum()) == 21  # int(64 * 0.33)
    assert letterbox(np.zeros((1, 1000, 3), np.uint8), 64)[0].shape == (1, 3, 64, 64)


def test_the_picture_reaches_the_network(tmp_path: Path) -> None:
    """A score that is multiplied by the first red value of the input: RGB order and scale by value."""
    outputs = empty_outputs()
    put_face(outputs, 0, (2, 1), 0, 0.8, [10, 4, 28, 26], POINTS)
    model = write_model(tmp_path / "d.onnx", outputs, score_times_first_red=True)
    detector = ScrfdDetector(model=model, size=SIZE, threshold=0.1)
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    assert detector.detect(picture) == []
    picture[..., 2] = 255
    assert detector.detect(picture) == []
    picture[..., 0] = 192
    (face,) = detector.detect(picture)
    assert face.score == pytest.approx(0.8 * (192 - 127.5) / 128)


def test_an_export_with_a_batch_axis_works(tmp_path: Path) -> None:
    outputs = empty_outputs()
    put_face(outputs, 0, (2, 1), 0, 0.8, [10, 4, 28, 26], POINTS)
    batched = [array[None] for array in outputs]
    detector = ScrfdDetector(model=write_model(tmp_path / "d.onnx", batched), size=SIZE)
    assert len(detector.detect(np.zeros((SIZE, SIZE, 3), np.uint8))) == 1


def test_files_that_are_no_scrfd(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no")
    for path in (tmp_path / "text.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(AssetError, match="can't be read"):
            ScrfdDetector(model=path)
    with pytest.raises(AssetError, match="nine outputs"):
        ScrfdDetector(model=write_model(tmp_path / "six.onnx", empty_outputs(), names=6))
    detector = ScrfdDetector(model=write_model(tmp_path / "small.onnx", empty_outputs(32)), size=SIZE)
    with pytest.raises(AssetError, match="shapes"):
        detector.detect(np.zeros((SIZE, SIZE, 3), np.uint8))


def test_arguments_that_cannot_be_used(tmp_path: Path) -> None:
    model = write_model(tmp_path / "d.onnx", empty_outputs())
    with pytest.raises(InputError, match="multiple"):
        ScrfdDetector(model=model, size=100)
    detector = ScrfdDetector(model=model, size=SIZE)
    for bad in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(InputError, match="RGB"):
            detector.detect(bad)  # type: ignore[arg-type]


def test_resampling_is_opencvs_bilinear() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    blob, _ = letterbox(image, 32)
    small = cv2.resize(image, (32, 22), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(blob[0, :, :22], (small.transpose(2, 0, 1).astype(np.float32) - 127.5) / 128)
