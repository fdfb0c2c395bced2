"""A video is swapped, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from mfs_lib.errors import InputError, NoFaceError, OutputError
from mfs_lib.swapping import read_provenance
from mfs_lib.swapping.portable import PortablePerson, PortableSwapper
from mfs_lib.swapping.tracking import FaceTracker
from mfs_lib.swapping.video import VideoSettings, swap_video
from tests.swapping.light import moving_frames, read_video, write_video

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def person(small_bundle: Path, astronaut: Pixels) -> PortablePerson:
    """The astronaut, dyed, so that a swap is seen."""
    return PortableSwapper.load(small_bundle).prepare(astronaut[..., ::-1].copy())


@pytest.fixture
def tracker(small_bundle: Path) -> FaceTracker:
    return FaceTracker(model=small_bundle / "detector.onnx")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_face_of_every_frame_is_swapped(
    person: PortablePerson, tracker: FaceTracker, clip_file: Path, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out{suffix}"
    seen: list[tuple[int, int | None]] = []
    settings = VideoSettings(crf=8, system="a test")
    report = swap_video(
        person, tracker, clip_file, output, settings=settings, progress=lambda *state: seen.append(state)
    )
    assert (report.frames, report.swapped, report.width, report.height) == (12, 12, 320, 240)
    assert report.sound and report.rate == 25 and report.searched == 1
    assert seen[-1] == (12, 12) and len(seen) == 12
    for old, new in zip(read_video(clip_file), read_video(output), strict=True):
        change = np.abs(old.astype(int) - new).mean(axis=2)
        assert (change > 15).sum() > 250  # the face
        assert np.median(change) < 2  # the rest
    found = read_provenance(output)
    assert found is not None and found.synthetic and found.system == "a test"
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_frames_without_a_face_pass_through(
    person: PortablePerson, tracker: FaceTracker, head: Pixels, tmp_path: Path
) -> None:
    frames = [image for image, _ in moving_frames(head, 3)]
    wall = np.full_like(frames[0], 120)
    write_video(tmp_path / "a.mp4", [wall, *frames, wall], sound=False)
    report = swap_video(person, tracker, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert (report.frames, report.swapped, report.sound) == (5, 3, False)


def test_a_label_and_a_limit(person: PortablePerson, tracker: FaceTracker, clip_file: Path, tmp_path: Path) -> None:
    settings = VideoSettings(label=True, max_frames=2, crf=8)
    assert swap_video(person, tracker, clip_file, tmp_path / "b.mp4", settings=settings).frames == 2
    shown = read_video(tmp_path / "b.mp4")
    assert len(shown) == 2
    assert all(image[226:, :100].min() < 50 and image[226:, :100].max() > 200 for image in shown)


def test_nothing_is_left_where_nothing_was_swapped(
    person: PortablePerson, tracker: FaceTracker, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4", [np.full((64, 96, 3), 90, np.uint8)] * 3)
    with pytest.raises(NoFaceError, match="any of the 3 frames"):
        swap_video(person, tracker, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, InputError])
def test_an_interrupted_swap_leaves_no_file(
    person: PortablePerson, tracker: FaceTracker, clip_file: Path, tmp_path: Path, kind: type[BaseException]
) -> None:
    (tmp_path / "b.mp4").write_bytes(b"was here before")

    def interrupt(done: int, expected: int | None) -> None:
        if done == 4:
            raise kind

    with pytest.raises(kind):
        swap_video(person, tracker, clip_file, tmp_path / "b.mp4", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]
    assert (tmp_path / "b.mp4").read_bytes() == b"was here before"


def test_bad_outputs_are_refused(person: PortablePerson, tracker: FaceTracker, clip_file: Path, tmp_path: Path) -> None:
    for name, reason in (("b.avi", "suffix"), ("no/b.mp4", "folder is not there")):
        with pytest.raises(OutputError, match=reason):
            swap_video(person, tracker, clip_file, tmp_path / name)
    (tmp_path / "c.mp4").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        swap_video(person, tracker, clip_file, tmp_path / "c.mp4")


def test_a_file_without_a_frame_is_told(
    person: PortablePerson, tracker: FaceTracker, clip_file: Path, tmp_path: Path
) -> None:
    with av.open(str(clip_file)) as source, av.open(str(tmp_path / "a.mkv"), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream_from_template(source.streams.audio[0])
        target.start_encoding()
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
        assert video.type == "video"
    with pytest.raises(InputError, match="no frame that can be decoded"):
        swap_video(person, tracker, tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
