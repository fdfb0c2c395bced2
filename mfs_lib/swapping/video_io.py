"""Reading and writing video files with PyAV (FFmpeg's libraries): pictures in time, and what goes beside them.

Kept: size, time stamps of every frame, sound (copied, not encoded again), colour tags, pixel aspect. A rotation that the
file only declares is carried out, so the output is upright by itself. Not kept: subtitles, chapters, other streams,
and the file's own metadata, which may tell where and when it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import av
import cv2
import numpy as np
import numpy.typing as npt

from mfs_lib.errors import InputError, OutputError
from mfs_lib.swapping.frames import PlanarFrame

UInt8Image = npt.NDArray[np.uint8]
Item: TypeAlias = "av.VideoFrame | av.Packet[Any]"
"""What a file holds, in its order: a decoded picture, or a packet of sound."""

MAX_MEGAPIXELS = 36.0
"""Largest frame that is decoded, 10^6 pixels (8K has 33)."""

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Output formats by suffix."""

_ENCODERS = ("libx264", "libopenh264", "mpeg4")
_PLANAR = ("yuv420p", "yuvj420p")
# AVColorSpace and AVColorRange of FFmpeg's pixfmt.h.
_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
_FULL_RANGE = 2
_HD_LINES = 720
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


class VideoReader:
    """The pictures and the sound of a file, as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            InputError: it is missing, no video, or too large.
        """
        if not path.is_file():
            raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}: name a video file")
        self.path = path
        try:
            self.container = av.open(str(path))
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"{path} is not a readable video ({_reason(error)})") from error
        pictures = [s for s in self.container.streams.video if not _is_cover(s)]
        if not pictures:
            self.container.close()
            raise InputError(f"{path} shows no moving picture: choose a video file")
        self.video = pictures[0]
        self._next = 0
        self.audio = self.container.streams.audio[0] if self.container.streams.audio else None
        self.video.codec_context.thread_count = 1  # a frame for each thread would be held in memory
        megapixels = self.video.codec_context.width * self.video.codec_context.height / 1e6
        if not 0 < megapixels <= MAX_MEGAPIXELS:
            self.container.close()
            raise InputError(f"{path} has frames of {megapixels:.1f} megapixels; 0 to {MAX_MEGAPIXELS:g} can be read")

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.container.close()

    @property
    def rate(self) -> float:
        """Frames per second on average."""
        return float(self.video.average_rate or self.video.guessed_rate or 25)

    @property
    def expected_frames(self) -> int | None:
        """How many frames the file says it has, if it does."""
        if self.video.frames:
            return int(self.video.frames)
        duration = self.container.duration
        return round(duration / 1e6 * self.rate) if duration else None

    def items(self) -> Iterator[Item]:
        """Everything in the file's order; frames are upright, planar and writable.

        Raises:
            InputError: the file is damaged.
        """
        streams = [self.video] if self.audio is None else [self.video, self.audio]
        try:
            for packet in self.container.demux(*streams):
                if packet.stream.index != self.video.index:
                    if packet.dts is not None:  # the last, empty packet of a stream
                        yield packet
                    continue
                yield from (self._stamped(frame) for frame in packet.decode() if isinstance(frame, av.VideoFrame))
        except av.error.FFmpegError as error:
            raise InputError(f"{self.path} is damaged: {_reason(error)}") from error

    def _stamped(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A planar frame with a time: that of the file, or one frame after the last where the file has none."""
        base = frame.time_base or self.video.time_base or Fraction(1, 90_000)
        if frame.pts is None:
            frame.pts, frame.time_base = self._next, base
        self._next = frame.pts + max(1, round(1 / (self.rate * base)))
        return planar(frame)


def planar(frame: av.VideoFrame) -> av.VideoFrame:
    """A frame as writable 8-bit 4:2:0 planes, upright."""
    turn = _TURNS.get(round(frame.rotation) % 360)
    stamps = frame.pts, frame.time_base
    size = (frame.width // 2 * 2, frame.height // 2 * 2)  # H.264 at 4:2:0 has even sides
    if frame.format.name not in _PLANAR or size != (frame.width, frame.height):
        frame = frame.reformat(*size, format="yuv420p")
        frame.pts, frame.time_base = stamps
    if turn is not None:
        frame = _turned(frame, turn)
        frame.pts, frame.time_base = stamps
    frame.make_writable()
    frame.pict_type = 0  # the encoder decides which frames are key frames, not the decoder's memory of them
    return frame


def planes_of(frame: av.VideoFrame) -> PlanarFrame:
    """The planes of a frame that `planar` gave, to be changed in place."""
    y, u, v = (_pixels(plane) for plane in frame.planes[:3])
    guess = "bt709" if frame.height >= _HD_LINES else "bt601"
    full = int(frame.color_range) == _FULL_RANGE or frame.format.name == "yuvj420p"
    return PlanarFrame(y, u, v, matrix=_MATRICES.get(int(frame.colorspace), guess), full=full)


class VideoWriter:
    """A file with H.264 pictures and the reader's sound, as a context manager; opened with the first frame."""

    def __init__(
        self, path: Path, reader: VideoReader, *, form: str, crf: int, preset: str, comment: str, xmp: str
    ) -> None:
        """Open a file.

        Args:
            path: to write.
            reader: whose time base, colours and sound are kept.
            form: FFmpeg's name of the container.
            crf: constant quality of x264, 0 (lossless) to 51.
            preset: x264's, from ultrafast to veryslow.
            comment: written into the container's metadata.
            xmp: packet that Matroska keeps as a tag; others get it when they are complete, see `video_mark`.

        Raises:
            OutputError: the file can't be opened, or the container can't hold that sound.
        """
        self.path, self.reader, self.crf, self.preset = path, reader, crf, preset
        try:
            self.container = av.open(str(path), "w", format=form)
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"{path} can't be written ({_reason(error)})") from error
        self.container.metadata["comment"] = comment
        if form == "matroska":
            self.container.metadata["XMP"] = xmp
        self.video: Any = None
        self.audio: Any = None
        self._waiting: list[av.Packet[Any]] = []
        self.frames = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.container.close()

    def write(self, item: Item) -> None:
        """Encode a frame or copy a packet of sound.

        Raises:
            OutputError: the encoder or the disc refuses.
        """
        try:
            if isinstance(item, av.VideoFrame):
                if self.video is None:
                    self._open(item)
                self.frames += 1
                self.container.mux(self.video.encode(item))
            elif self.video is None:
                self._waiting.append(item)  # streams must all be known before anything is written
            else:
                self._copy(item)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"the video can't be written: {_reason(error)}") from error

    def finish(self) -> None:
        """Write what the encoder still holds.

        Raises:
            OutputError: see `write`.
        """
        try:
            if self.video is not None:
                self.container.mux(self.video.encode(None))
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"the video can't be written: {_reason(error)}") from error

    def _open(self, first: av.VideoFrame) -> None:
        """Add the streams; the first frame tells size and colours."""
        encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
        if encoder is None:
            raise OutputError("this build of PyAV has no video encoder: install the package av from its registry")
        source = self.reader.video.codec_context
        rate = self.reader.video.average_rate or self.reader.video.guessed_rate or 25
        self.video = self.container.add_stream(encoder, rate=rate)
        context = self.video.codec_context
        context.width, context.height, context.pix_fmt = first.width, first.height, first.format.name
        context.time_base = first.time_base or self.reader.video.time_base
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            setattr(context, name, getattr(source, name))
        aspect = self.reader.video.sample_aspect_ratio
        if aspect and first.width == source.width:
            context.sample_aspect_ratio = aspect
        context.thread_count = 1
        if encoder == "libx264":
            # Arithmetic coding costs 1.5 ms a frame at 1080p and saves more than it costs where the preset leaves it out.
            context.options = {"crf": str(self.crf), "preset": self.preset, "x264-params": "cabac=1"}
        if self.reader.audio is not None:
            try:
                self.audio = self.container.add_stream_from_template(self.reader.audio)
                self.container.start_encoding()
            except ValueError as error:  # FFmpeg's "invalid argument"; a disc that refuses is told by `write`
                codec = self.reader.audio.codec_context.name
                raise OutputError(
                    f"sound of the kind {codec} can't be copied into {self.path.suffix} ({_reason(error)}): write a .mkv"
                ) from error
        for packet in self._waiting:
            self._copy(packet)
        self._waiting.clear()

    def _copy(self, packet: av.Packet[Any]) -> None:
        """A packet of sound, as it is."""
        packet.stream = self.audio
        self.container.mux(packet)


def _pixels(plane: Any) -> UInt8Image:
    """The pixels of a plane without its padding, a view."""
    rows = np.frombuffer(plane, dtype=np.uint8)[: plane.line_size * plane.height]
    return rows.reshape(plane.height, plane.line_size)[:, : plane.width]


def _turned(frame: av.VideoFrame, turn: int) -> av.VideoFrame:
    """A planar frame turned by a right angle or two."""
    upright = turn == cv2.ROTATE_180
    size = (frame.width, frame.height) if upright else (frame.height, frame.width)
    turned = av.VideoFrame(*size, frame.format.name)
    for target, plane in zip(turned.planes, frame.planes, strict=True):
        _pixels(target)[...] = cv2.rotate(_pixels(plane), turn)
    turned.colorspace, turned.color_range = frame.colorspace, frame.color_range
    return turned


def _is_cover(stream: Any) -> bool:
    """Whether a stream is one still picture that was attached to a sound file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: Exception) -> str:
    """FFmpeg's own words, in one line, without the file's name."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
