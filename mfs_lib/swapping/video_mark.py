"""The mark of a swapped video: the statement of `provenance`, in the file.

MP4 and QuickTime files carry XMP in a top-level box of the kind "uuid" (XMP Specification Part 3, "MPEG-4"): players skip
it, readers of XMP look for it. It is appended, which is valid and moves nothing. Matroska has no place for XMP;
there the packet is the value of a tag named XMP.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
BOX_SUFFIXES = (".mp4", ".m4v", ".mov")
TAG_SUFFIXES = (".mkv",)
VIDEO_SUFFIXES = BOX_SUFFIXES + TAG_SUFFIXES

_MOST_BOXES = 100_000
_LARGEST_PACKET = 1_000_000  # bytes


def append_xmp(path: Path, packet: str) -> None:
    """Add an XMP packet to an MP4 or QuickTime file that is complete.

    Raises:
        OSError: the file can't be written.
    """
    data = packet.encode("utf-8")
    with path.open("ab") as stream:
        stream.write(struct.pack(">I4s16s", 24 + len(data), b"uuid", XMP_UUID) + data)


def read_video_xmp(path: str | os.PathLike[str]) -> str | None:
    """The XMP packet of an MP4, QuickTime or Matroska file, or None. No pixel is decoded.

    Raises:
        OSError: the file can't be read.
    """
    file = Path(path)
    if file.suffix.lower() in TAG_SUFFIXES:
        import av

        try:
            with av.open(str(file)) as container:
                return container.metadata.get("XMP")
        except av.error.FFmpegError:
            return None
    return _box(file)


def _box(file: Path) -> str | None:
    """The packet in the last uuid box of the XMP kind."""
    found: bytes | None = None
    total = file.stat().st_size
    with file.open("rb") as stream:
        place = 0
        for _ in range(_MOST_BOXES):
            stream.seek(place)
            header = stream.read(16)
            if len(header) < 8:
                break
            size, kind = struct.unpack(">I4s", header[:8])
            start = 8
            if size == 1 and len(header) == 16:  # a box of more than 4 GB keeps its size after its kind
                size, start = struct.unpack(">Q", header[8:16])[0], 16
            size = size or total - place  # 0: up to the end
            if size < start:
                break
            if kind == b"uuid" and start + 16 < size <= _LARGEST_PACKET:
                stream.seek(place + start)
                body = stream.read(size - start)
                found = body[16:] if body[:16] == XMP_UUID else found
            place += size
    return None if found is None else found.decode("utf-8", errors="replace")
