"""A swapped video from a video: read, follow, swap, write, in three threads so that two cores are busy.

    thread 1    demux and decode              | one waits  |
    this one    follow the face, swap, paste  | one waits  |
    thread 3    encode and write

Frames without a face pass through untouched. The file appears under its name when it is complete and marked.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from mfs_lib.errors import InputError, NoFaceError, OutputError
from mfs_lib.swapping.background import BackgroundSink, background
from mfs_lib.swapping.paste import DEFAULT_DETAIL, Box, Detail
from mfs_lib.swapping.portable import PortablePerson, swap_face
from mfs_lib.swapping.provenance import LABEL_TEXT, SOURCE_TYPE, draw_label, swap_xmp
from mfs_lib.swapping.tracking import FaceTracker
from mfs_lib.swapping.video_io import CONTAINERS, VideoReader, VideoWriter, planes_of
from mfs_lib.swapping.video_mark import BOX_SUFFIXES, append_xmp, read_video_xmp

Progress = Callable[[int, "int | None"], None]
"""Called after each frame with how many are done and how many are expected, if that is known."""


@dataclass(frozen=True, kw_only=True)
class VideoSettings:
    """How a video is written.

    Attributes:
        detail: how the face is pasted, see `paste`.
        crf: constant quality of x264; smaller is better and larger.
        preset: x264's speed.
        label: draw a visible label into every frame.
        max_frames: stop after so many; None takes all.
        system: name of the model, for the mark.
    """

    detail: Detail = DEFAULT_DETAIL
    crf: int = 18
    preset: str = "ultrafast"
    label: bool = False
    max_frames: int | None = None
    system: str = "MobileFaceSwap"


@dataclass
class VideoReport:
    """What was done.

    Attributes:
        output: the file written.
        width, height: of its frames.
        rate: frames per second on average.
        frames: how many were written.
        swapped: in how many of them a face was swapped.
        searched: whole-frame detections.
        cuts: cuts of the shot.
        sound: whether sound was copied.
        seconds: wall time; of the steps that this thread takes, and "total".
    """

    output: Path
    width: int = 0
    height: int = 0
    rate: float = 0.0
    frames: int = 0
    swapped: int = 0
    searched: int = 0
    cuts: int = 0
    sound: bool = False
    seconds: dict[str, float] = field(default_factory=lambda: {"track": 0.0, "swap": 0.0, "wait": 0.0, "total": 0.0})


def check_video_output(path: Path) -> str:
    """FFmpeg's name of the container that a file's suffix chooses; cheap enough to call before the work.

    Raises:
        OutputError: the suffix is none of `CONTAINERS`, or there is no such folder.
    """
    form = CONTAINERS.get(path.suffix.lower())
    if form is None:
        raise OutputError(f"{path} can't be written: a video's suffix is one of {', '.join(CONTAINERS)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputError(
            f"{path} can't be written: {'it is a folder' if path.is_dir() else 'its folder is not there'}"
        )
    return form


def swap_video(
    person: PortablePerson,
    tracker: FaceTracker,
    target: Path,
    output: Path,
    *,
    settings: VideoSettings | None = None,
    progress: Progress | None = None,
) -> VideoReport:
    """Put a person's face onto the faces of a video.

    Args:
        person: see `PortableSwapper.prepare`.
        tracker: a fresh one; it says which faces are followed.
        target: video to read.
        output: video to write; the suffix chooses the container, an existing file is replaced.
        settings: see `VideoSettings`.
        progress: is told of every frame.

    Raises:
        InputError: the target is no readable video.
        NoFaceError: no frame shows a face; nothing is written.
        OutputError: the output can't be written; nothing is left of it.
    """
    chosen = settings or VideoSettings()
    form = check_video_output(output)
    draft = output.with_name(f".{output.stem}-{secrets.token_hex(4)}{output.suffix}")
    report = VideoReport(output=output)
    start = time.perf_counter()
    try:
        with VideoReader(target) as reader:
            comment = f"{LABEL_TEXT} ({chosen.system}); {SOURCE_TYPE}"
            packet = swap_xmp(chosen.system)
            with VideoWriter(
                draft, reader, form=form, crf=chosen.crf, preset=chosen.preset, comment=comment, xmp=packet
            ) as writer:
                _run(reader, writer, person, tracker, chosen, report, progress)
        _complete(draft, output, packet, report)
    finally:
        draft.unlink(missing_ok=True)
    report.seconds["total"] = time.perf_counter() - start
    return report


def _run(
    reader: VideoReader,
    writer: VideoWriter,
    person: PortablePerson,
    tracker: FaceTracker,
    settings: VideoSettings,
    report: VideoReport,
    progress: Progress | None,
) -> None:
    """Everything between opening and closing the files."""
    report.rate, report.sound = reader.rate, reader.audio is not None
    expected = reader.expected_frames
    if settings.max_frames is not None:
        expected = min(expected or settings.max_frames, settings.max_frames)
    label: _Label | None = None
    with background(reader.items()) as items, BackgroundSink(writer.write) as sink:
        before = time.perf_counter()
        for item in items:
            if isinstance(item, av.VideoFrame):
                report.seconds["wait"] += time.perf_counter() - before
                if settings.label and label is None:
                    label = _Label.of(item.width, item.height)
                _swap_frame(item, person, tracker, settings, report)
                if label is not None:
                    label.draw(item)
                report.frames += 1
                report.width, report.height = item.width, item.height
                if progress is not None:
                    progress(report.frames, expected)
            sink.put(item)
            before = time.perf_counter() if isinstance(item, av.VideoFrame) else before
            if report.frames == settings.max_frames:
                break
    writer.finish()
    report.searched, report.cuts = tracker.counts.searched, tracker.counts.cuts
    if report.frames == 0:
        raise InputError(f"{reader.path} has no frame that can be decoded: choose another video")
    if report.swapped == 0:
        raise NoFaceError(f"no face was found in any of the {report.frames} frames: nothing was written")


def _swap_frame(
    item: av.VideoFrame, person: PortablePerson, tracker: FaceTracker, settings: VideoSettings, report: VideoReport
) -> None:
    """Follow and swap the faces of one frame, in place."""
    start = time.perf_counter()
    frame = planes_of(item)
    faces = tracker.update(frame)
    tracked = time.perf_counter()
    done = [swap_face(frame, person, face.points, detail=settings.detail) for face in faces]
    report.swapped += any(done)
    report.seconds["track"] += tracked - start
    report.seconds["swap"] += time.perf_counter() - tracked


def _complete(draft: Path, output: Path, packet: str, report: VideoReport) -> None:
    """Mark the finished draft, read the mark back and give the file its name."""
    try:
        if draft.suffix.lower() in BOX_SUFFIXES:
            append_xmp(draft, packet)
        if read_video_xmp(draft) != packet:
            raise OutputError(f"{output} can't be written: its mark could not be read back")
        draft.replace(output)
    except OSError as error:
        raise OutputError(f"{output} can't be written: {error.strerror or error}") from error


@dataclass(frozen=True, eq=False)
class _Label:
    """The visible label of one frame size, drawn once."""

    box: Box
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

    @classmethod
    def of(cls, width: int, height: int) -> _Label:
        drawn = draw_label(np.zeros((height, width, 3), dtype=np.uint8))
        rows, columns = np.flatnonzero(drawn.any(axis=(1, 2))), np.flatnonzero(drawn.any(axis=(0, 2)))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        return cls(box, drawn[box[1] : box[3], box[0] : box[2]].copy())

    def draw(self, item: av.VideoFrame) -> None:
        """Lay the label over a frame."""
        frame = planes_of(item)
        frame.write(self.box, frame.region(self.box), self.pixels)
