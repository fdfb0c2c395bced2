"""Planar frames: colours are right, and what isn't changed stays bit for bit."""

from __future__ import annotations

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from mfs_lib.errors import InputError
from mfs_lib.swapping.frames import LUMA_WEIGHTS, ArrayFrame, PlanarFrame, colour_matrices

Pixels = npt.NDArray[np.uint8]


def smooth(height: int = 60, width: int = 80) -> Pixels:
    """A picture whose colours change slowly and stay away from the limits."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [128 + 60 * np.sin(x / 15 + k) * np.cos(y / 11 - k) for k in range(3)]
    return np.rint(np.dstack(waves)).astype(np.uint8)


def planar(image: Pixels, matrix: str = "bt709", *, full: bool = False) -> PlanarFrame:
    """The same picture in planes, by the matrix in float64."""
    forward, _ = colour_matrices(matrix, full=full)
    yuv = image @ forward[:, :3].T + forward[:, 3]
    height, width = image.shape[:2]
    coarse = cv2.resize(yuv, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    y, u, v = (np.rint(p).astype(np.uint8) for p in (yuv[..., 0], coarse[..., 1], coarse[..., 2]))
    return PlanarFrame(y, u, v, matrix=matrix, full=full)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_there_and_back(matrix: str, full: bool) -> None:
    image = smooth()
    frame = planar(image, matrix, full=full)
    box = (7, 5, 62, 48)
    shown = frame.region(box)
    assert np.abs(shown.astype(int) - image[5:48, 7:62]).max() <= 6
    assert np.abs(shown.astype(int) - image[5:48, 7:62]).mean() < 1.2
    assert frame.small(40, 30).shape == (30, 40, 3)
    assert (
        np.abs(frame.small(40, 30).astype(int) - cv2.resize(image, (40, 30), interpolation=cv2.INTER_AREA)).max() <= 6
    )


def test_known_colours() -> None:
    """White, black and pure red of BT.709 and BT.601 in limited range, from the recommendations."""
    forward, back = colour_matrices("bt709", full=False)
    assert np.allclose(forward @ [255, 255, 255, 1], [235, 128, 128]) and np.allclose(
        forward @ [0, 0, 0, 1], [16, 128, 128]
    )
    assert np.allclose(forward @ [255, 0, 0, 1], [62.56, 102.34, 240], atol=0.01)
    assert np.allclose(colour_matrices("bt601", full=False)[0] @ [255, 0, 0, 1], [81.48, 90.2, 240], atol=0.01)
    assert np.allclose(back @ [*(forward @ [10, 120, 200, 1]), 1], [10, 120, 200])


def test_ffmpeg_agrees_on_the_colours() -> None:
    image = smooth(64, 96)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", dst_colorspace="itu709")
    planes = [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width].copy() for p in frame.planes]
    ours = PlanarFrame(planes[0], planes[1], planes[2]).region((0, 0, 96, 64))
    assert np.abs(ours.astype(int) - image).max() <= 7 and np.abs(ours.astype(int) - image).mean() < 1.5


@pytest.mark.parametrize("box", [(10, 8, 50, 40), (11, 7, 50, 41), (0, 0, 79, 59), (20, 21, 21, 22)])
def test_a_change_goes_back_and_nothing_else(box: tuple[int, int, int, int]) -> None:
    frame = planar(smooth(59, 79))
    old = [plane.copy() for plane in (frame.y, frame.u, frame.v)]
    before = frame.region(box)
    frame.write(box, before, before)
    assert all(np.array_equal(a, b) for a, b in zip(old, (frame.y, frame.u, frame.v), strict=True))
    after = np.clip(before.astype(int) + np.array([30, -12, 20]), 0, 255).astype(np.uint8)
    frame.write(box, before, after)
    left, top, right, bottom = box
    inner = frame.region(box)[2:-2, 2:-2].astype(int) - after[2:-2, 2:-2]
    assert inner.size == 0 or np.abs(inner).max() <= 4
    outside = np.ones(frame.y.shape, bool)
    outside[top:bottom, left:right] = False
    assert np.array_equal(frame.y[outside], old[0][outside]) and not np.array_equal(frame.y, old[0])
    far = np.ones(frame.u.shape, bool)
    far[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2] = False
    assert np.array_equal(frame.u[far], old[1][far])


def test_an_array_is_a_frame_too() -> None:
    image = smooth()
    frame = ArrayFrame(image)
    part = frame.region((3, 4, 20, 30))
    part[...] = 7
    assert not (image[4:30, 3:20] == 7).all()  # a copy
    frame.write((3, 4, 20, 30), image[4:30, 3:20].copy(), part)
    assert (image[4:30, 3:20] == 7).all()
    assert frame.thumbnail().size <= 128 * 128


def test_bad_planes_are_refused() -> None:
    plane = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match="chroma planes"):
        PlanarFrame(plane, plane, plane)
    with pytest.raises(InputError, match="colour matrix"):
        colour_matrices("bt2100", full=False)
    with pytest.raises(InputError, match="RGB uint8"):
        ArrayFrame(plane)
