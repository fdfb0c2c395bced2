"""SCRFD (Guo et al., ICLR 2022), the detector of the MobileFaceSwap release, run by onnxruntime.

The release takes insightface's 10 GFLOP model with five points ("scrfd_10g_bnkps"). Its file is not free for every
use and is never fetched unasked. The way through it, from insightface's public code:

| step      | what is done                                                                                         |
|-----------|------------------------------------------------------------------------------------------------------|
| letterbox | scaled to fit 640 x 640, laid into its top left corner, black elsewhere                              |
| input     | RGB, (x - 127.5) / 128, (1, 3, 640, 640)                                                             |
| outputs   | nine: scores (n, 1), boxes (n, 4), points (n, 10), each for the strides 8, 16, 32; n = 2 (640/stride)^2 |
| order     | rows of cells, two anchors a cell; an anchor's centre is its cell's top left corner, (column, row) * stride |
| box       | centre minus / plus the four distances (left, top, right, bottom) * stride                           |
| points    | centre plus offset * stride                                                                          |
| choice    | score at least 0.6, then non-maximum suppression at 0.4 with areas counted in whole pixels           |
| back      | divided by the letterbox's one scale                                                                 |

`ScrfdDetector` answers as `FaceDetector` does, so either can stand in a `Swapper`. Its faces come largest first, where
the release takes the one with the highest score; the points are not looked at again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import AssetError, InputError
from mfs_lib.faces.alignment import FloatArray, Image
from mfs_lib.faces.detection import Face

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Anchors of each cell."""

_WIDTHS = (1, 4, 10)  # columns of scores, boxes and points


def letterbox(image: Image, size: int) -> tuple[npt.NDArray[np.float32], float]:
    """The network's input and the scale that was used.

    Args:
        image: (H, W, 3) RGB uint8.
        size: side of the network's input in pixels.

    Returns:
        (1, 3, size, size) float32 in [-1, 1), and input pixels per image pixel.
    """
    height, width = image.shape[:2]
    ratio = height / width
    # The shorter side is cut to whole pixels and the scale is the height's, both as in insightface.
    new_height, new_width = (size, int(size / ratio)) if ratio > 1 else (int(size * ratio), size)
    new_height, new_width = max(1, new_height), max(1, new_width)
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    blob = (canvas.astype(np.float32).transpose(2, 0, 1)[None] - 127.5) / 128
    return np.ascontiguousarray(blob), new_height / height


def suppress(boxes: FloatArray, scores: FloatArray, overlap: float) -> list[int]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) left, top, right, bottom in pixels.
        scores: (N,).
        overlap: a box that overlaps a better one by more than this (intersection over union) is dropped.

    Returns:
        Indices of the boxes that stay, best first.
    """
    # One is added to every extent, as for boxes whose last pixel belongs to them.
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = np.maximum(0.0, high - low + 1).prod(axis=1)
        order = rest[common / (areas[best] + areas[rest] - common) <= overlap]
    return kept


class ScrfdDetector:
    """SCRFD with five points on the CPU.

    Args:
        model: path of the ONNX file.
        threshold: least confidence of a face.
        overlap: see `suppress`.
        size: side of the letterbox in pixels, a multiple of 32.

    Raises:
        AssetError: onnxruntime can't read the file, or it is no SCRFD with points.
        InputError: a size that is not a positive multiple of 32.
    """

    def __init__(self, *, model: Path, threshold: float = 0.6, overlap: float = 0.4, size: int = 640) -> None:
        if size < STRIDES[-1] or size % STRIDES[-1]:
            raise InputError(f"The side of the letterbox must be a positive multiple of {STRIDES[-1]}, not {size}.")
        import onnxruntime  # only needed by those who have the file

        self.model, self.threshold, self.overlap, self.size = model, threshold, overlap, size
        try:
            self._session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common base class for its errors
            raise AssetError(f"{model} can't be read as an ONNX model ({error}).") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != len(_WIDTHS) * len(STRIDES):
            raise AssetError(f"{model} is no SCRFD with five points: one input and nine outputs are needed.")
        self._input: str = inputs[0].name

    def detect(self, image: Image) -> list[Face]:
        """All faces of an image, largest first; an empty list when there are none.

        Args:
            image: (H, W, 3) RGB uint8.

        Raises:
            InputError: another kind of array.
            AssetError: the network's outputs are not SCRFD's.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise InputError(f"An RGB uint8 image (H, W, 3) is needed, got {image.dtype} {image.shape}.")
        blob, scale = letterbox(image, self.size)
        scores, boxes, points = self._decode(self._run(blob))
        boxes, points = boxes / scale, points / scale
        faces = [
            Face(box=boxes[index], score=float(scores[index]), points=points[index])
            for index in suppress(boxes, scores, self.overlap)
        ]
        return sorted(faces, key=lambda face: -face.area)

    def _run(self, blob: npt.NDArray[np.float32]) -> list[FloatArray]:
        """The nine outputs as (n, width) arrays, scores first; each for the strides in order."""
        try:
            raw: list[Any] = self._session.run(None, {self._input: blob})
        except Exception as error:  # as above
            raise AssetError(f"{self.model} can't be run on {blob.shape} ({error}).") from error
        arrays = [np.asarray(array, dtype=np.float64) for array in raw]
        wanted = [(ANCHORS * (self.size // stride) ** 2, width) for width in _WIDTHS for stride in STRIDES]
        # Some exports keep the batch axis of length one in front.
        if any(
            array.size != n * width or array.shape[-1] != width
            for array, (n, width) in zip(arrays, wanted, strict=True)
        ):
            shapes = [array.shape for array in arrays]
            raise AssetError(f"{self.model} is no SCRFD with five points: its outputs have the shapes {shapes}.")
        return [array.reshape(shape) for array, shape in zip(arrays, wanted, strict=True)]

    def _decode(self, outputs: list[FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Scores (N,), boxes (N, 4) and points (N, 5, 2), in pixels of the letterbox, of all that pass the threshold."""
        scores, boxes, points = [], [], []
        for level, stride in enumerate(STRIDES):
            score, distance, offset = (outputs[level + len(STRIDES) * kind] for kind in range(len(_WIDTHS)))
            good = score[:, 0] >= self.threshold
            centre = _centres(self.size // stride, stride)[good]
            distance, offset = distance[good] * stride, offset[good] * stride
            scores.append(score[good, 0])
            boxes.append(np.hstack([centre - distance[:, :2], centre + distance[:, 2:]]))
            points.append(centre[:, None] + offset.reshape(-1, 5, 2))
        return np.concatenate(scores), np.concatenate(boxes), np.concatenate(points)


def _centres(cells: int, stride: int) -> FloatArray:
    """(x, y) of every anchor of a square grid, row by row: (ANCHORS * cells^2, 2)."""
    y, x = np.divmod(np.arange(cells * cells), cells)
    return np.repeat(np.column_stack([x, y]) * float(stride), ANCHORS, axis=0)
