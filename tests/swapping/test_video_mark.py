"""The mark of a video is found again, and broken boxes don't hurt."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from mfs_lib.errors import InputError
from mfs_lib.swapping import read_provenance
from mfs_lib.swapping.provenance import swap_xmp
from mfs_lib.swapping.video_mark import append_xmp, read_video_xmp
from tests.swapping.light import write_video


def test_the_mark_is_found_and_the_video_still_plays(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, [np.full((64, 96, 3), 90, np.uint8)] * 3)
    assert read_video_xmp(path) is None and read_provenance(path) is None
    append_xmp(path, swap_xmp("a system"))
    assert read_video_xmp(path) == swap_xmp("a system")
    found = read_provenance(path)
    assert found is not None and found.synthetic and found.system == "a system"
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        struct.pack(">I4s", 4, b"free"),
        struct.pack(">I4sQ", 1, b"mdat", 2),
        struct.pack(">I4s", 9999, b"uuid"),
    ],
)
def test_broken_boxes_have_no_mark(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(data)
    assert read_video_xmp(path) is None
    (tmp_path / "a.mkv").write_bytes(data)
    assert read_video_xmp(tmp_path / "a.mkv") is None


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable video"):
        read_provenance(tmp_path / "none.mp4")
