"""A bundle of three tiny graphs, a moving clip and its video file, for the tests of the light path."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from mfs_lib.weights.registry import fetch

Pixels = npt.NDArray[np.uint8]
SIDE = 32


def make_small_bundle(folder: Path) -> Path:
    """The real detector; a "recogniser" that gives the face's mean colour; a network that mixes it half and half in."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(fetch("yunet"), folder / "detector.onnx")
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, 112, 112])
    colour = helper.make_tensor_value_info("colour", TensorProto.FLOAT, [1, 3, 1, 1])
    mean = helper.make_node("GlobalAveragePool", ["face"], ["colour"])
    _save(helper.make_graph([mean], "source", [face], [colour]), folder / "source.onnx")
    target = helper.make_tensor_value_info("target", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    raw = helper.make_tensor_value_info("raw", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, SIDE, SIDE])
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    inside = np.zeros((1, 1, SIDE, SIDE), np.float32)
    inside[..., 6:26, 8:24] = 1
    constant = helper.make_tensor("inside", TensorProto.FLOAT, inside.shape, inside.ravel())
    nodes = [
        helper.make_node("Add", ["target", "colour"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["raw"]),
        helper.make_node("Identity", ["inside"], ["mask"]),
    ]
    _save(helper.make_graph(nodes, "frame", [target, colour], [raw, mask], [half, constant]), folder / "frame.onnx")
    return folder


def _save(graph: onnx.GraphProto, path: Path) -> None:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def moving_frames(
    face: Pixels, count: int, *, width: int = 320, height: int = 240
) -> list[tuple[Pixels, npt.NDArray[np.float64]]]:
    """A face's picture that goes and grows over a plain wall, and the matrices (2, 3) that placed it."""
    frames = []
    for index in range(count):
        scale = 0.42 * (1 + 0.008 * index)
        matrix = np.array([[scale, 0, 40 + 4.0 * index], [0, scale, 8 + 1.0 * index]])
        wall = np.full((height, width, 3), (96, 120, 140), np.uint8)
        image = cv2.warpAffine(
            face, matrix, (width, height), dst=wall, borderMode=cv2.BORDER_TRANSPARENT, flags=cv2.INTER_AREA
        )
        frames.append((np.asarray(image, np.uint8), matrix))
    return frames


def write_video(
    path: Path, frames: list[Pixels], *, rate: int = 25, sound: bool = True, rotation: int = 0, codec: str = "libx264",
    start: int = 0,
) -> None:  # fmt: skip
    """A small video file with a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        if codec == "libx264":
            video.codec_context.options = {"crf": "10", "preset": "ultrafast"}
        if rotation:
            video.set_display_rotation(rotation)
        audio = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index + start, Fraction(1, rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(44100 * len(frames) // rate) * 0.06).astype(np.float32)
            for place in range(0, len(tone) - 1024, 1024):
                piece = av.AudioFrame.from_ndarray(tone[None, place : place + 1024], format="fltp", layout="mono")
                piece.sample_rate, piece.pts = 44100, place
                container.mux(audio.encode(piece))
            container.mux(audio.encode(None))


def read_video(path: Path) -> list[Pixels]:
    """All frames as RGB arrays."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
