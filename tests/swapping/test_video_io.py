"""Video files: what is read, what is kept, what is refused."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mfs_lib.errors import InputError, OutputError
from mfs_lib.swapping.video_io import VideoReader, VideoWriter, planes_of
from tests.swapping.light import read_video, write_video

Pixels = npt.NDArray[np.uint8]


def gradient(width: int = 96, height: int = 64, count: int = 4) -> list[Pixels]:
    y, x = np.mgrid[0:height, 0:width]
    return [np.dstack([x * 2, y * 3, (x + y) % 200 + 8 * k]).astype(np.uint8) for k in range(count)]


def copy(source: Path, target: Path, form: str) -> None:
    with (
        VideoReader(source) as reader,
        VideoWriter(target, reader, form=form, crf=4, preset="ultrafast", comment="a comment", xmp="<x/>") as writer,
    ):
        for item in reader.items():
            writer.write(item)
        writer.finish()


def test_sound_rate_stamps_and_pictures_are_kept(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", gradient(count=8), rate=24, start=3)
    copy(tmp_path / "a.mp4", tmp_path / "b.mp4", "mp4")
    seen = []
    for name in ("a.mp4", "b.mp4"):
        with av.open(str(tmp_path / name)) as container:
            sound = b"".join(bytes(p) for p in container.demux(audio=0))
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].average_rate == 24
            seen.append(([round(f.time - 0.0, 4) for f in container.decode(video=0)], sound))
    assert seen[0] == seen[1] and len(seen[0][0]) == 8 and len(seen[0][1]) > 1000
    for old, new in zip(read_video(tmp_path / "a.mp4"), read_video(tmp_path / "b.mp4"), strict=True):
        assert np.abs(old.astype(int) - new).mean() < 1.5
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.metadata["comment"] == "a comment"


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_declared_rotation_is_carried_out(tmp_path: Path, rotation: int) -> None:
    write_video(tmp_path / "a.mp4", gradient(), rotation=rotation, sound=False)
    with VideoReader(tmp_path / "a.mp4") as reader:
        frame = next(iter(reader.items()))
    assert isinstance(frame, av.VideoFrame)
    shown = planes_of(frame).region((0, 0, frame.width, frame.height))
    # FFmpeg counts the declared angle counter-clockwise, as numpy does.
    expected = np.rot90(gradient()[0], rotation // 90)
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 6


def test_matroska_keeps_the_statement_as_a_tag(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", gradient())
    copy(tmp_path / "a.mp4", tmp_path / "b.mkv", "matroska")
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert container.metadata["XMP"] == "<x/>" and len(container.streams.audio) == 1


def test_frames_are_writable_and_of_any_format(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv444p10le"
        frame = av.VideoFrame.from_ndarray(gradient()[0], format="rgb24").reformat(format="yuv444p10le")
        container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with VideoReader(tmp_path / "a.mkv") as reader:
        items = list(reader.items())
    assert len(items) == 1 and isinstance(items[0], av.VideoFrame) and items[0].format.name == "yuv420p"
    planes_of(items[0]).y[...] = 50
    assert (planes_of(items[0]).y == 50).all()


def test_an_animation_of_odd_size_becomes_a_video(tmp_path: Path) -> None:
    pictures = [Image.fromarray(pixels[:63, :95]) for pixels in gradient()]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=40)
    copy(tmp_path / "a.gif", tmp_path / "b.mp4", "mp4")
    shown = read_video(tmp_path / "b.mp4")
    assert len(shown) == 4 and shown[0].shape == (62, 94, 3)


def test_frames_without_a_time_follow_one_another(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.h264"), "w", format="h264") as container:  # a bare stream keeps no times
        video = container.add_stream("libx264", rate=20)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for pixels in gradient():
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")))
        container.mux(video.encode(None))
    with VideoReader(tmp_path / "a.h264") as reader:
        times = [item.pts * item.time_base for item in reader.items() if item.pts is not None and item.time_base]
    assert len(times) == 4
    steps = np.diff([float(time) for time in times])
    assert (steps > 0).all() and np.ptp(steps) < 1e-3


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        VideoReader(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="a folder"):
        VideoReader(tmp_path)
    (tmp_path / "text.mp4").write_text("no video at all " * 50)
    with pytest.raises(InputError, match="not a readable video"):
        VideoReader(tmp_path / "text.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        audio = container.add_stream("aac", rate=44100, layout="mono")
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        piece.sample_rate = 44100
        container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
    with pytest.raises(InputError, match="no moving picture"):
        VideoReader(tmp_path / "sound.mp4")


def test_an_impossible_output_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", gradient())
    with pytest.raises(OutputError, match="can't be written"):
        copy(tmp_path / "a.mp4", tmp_path / "no" / "b.mp4", "mp4")


def test_sound_that_the_container_does_not_take_is_told(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video, audio = (
            container.add_stream("libx264", rate=25),
            container.add_stream("pcm_u8", rate=8000, layout="mono"),
        )
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for pixels in gradient():
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")))
        container.mux(video.encode(None))
        piece = av.AudioFrame.from_ndarray(np.full((1, 800), 128, np.uint8), format="u8", layout="mono")
        piece.sample_rate = 8000
        container.mux(audio.encode(piece))
    with pytest.raises(OutputError, match=r"pcm_u8 can't be copied into .mp4"):
        copy(tmp_path / "a.mkv", tmp_path / "b.mp4", "mp4")
    copy(tmp_path / "a.mkv", tmp_path / "b.mkv", "matroska")
