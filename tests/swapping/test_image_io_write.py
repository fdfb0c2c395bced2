"""Writing pictures: whole or not at all, in every format, with nothing left behind."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mfs_lib.errors import OutputError
from mfs_lib.swapping import image_io
from mfs_lib.swapping.image_io import check_output, read_image, write_image

Pixels = npt.NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_pictures_come_back(tmp_path: Path, astronaut: Pixels, suffix: str) -> None:
    path = write_image(tmp_path / f"out{suffix}", astronaut)
    error = np.abs(read_image(path).pixels.astype(int) - astronaut).mean()
    assert error == 0 if suffix in (".png", ".tif", ".tiff") else error < 2.5
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_alpha_is_written_or_laid_on_white(tmp_path: Path, colours: Pixels, suffix: str) -> None:
    alpha = np.full(colours.shape[:2], 255, dtype=np.uint8)
    alpha[:, :16] = 0
    loaded = read_image(write_image(tmp_path / f"out{suffix}", colours, alpha=alpha))
    if suffix in (".jpg", ".jpeg"):
        assert loaded.alpha is None
        assert loaded.pixels[:, :8].min() > 245
    else:
        assert loaded.alpha is not None
        np.testing.assert_array_equal(loaded.alpha, alpha)


def test_outputs_that_cannot_be_written(tmp_path: Path, colours: Pixels) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    cases = {
        "folder.png": "is a folder",
        "out": "suffix",
        "out.bmp": "suffix",
        "out.gif": "suffix",
        "missing/out.png": "does not exist",
        "folder.png/../out.jpgg": "suffix",
        "pipe.png": "not an ordinary file",
    }
    for name, reason in cases.items():
        with pytest.raises(OutputError, match=reason):
            write_image(tmp_path / name, colours)
    assert sorted(os.listdir(tmp_path)) == ["folder.png", "pipe.png"]


def test_unwritable_folder(tmp_path: Path, colours: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="can't be written to"):
        write_image(tmp_path / "out.png", colours)


def test_pictures_too_large_for_the_format(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="16383"):
        check_output(tmp_path / "o.webp", (16_384, 2))
    with pytest.raises(OutputError, match="65535"):
        check_output(tmp_path / "o.jpg", (2, 65_536))
    assert check_output(tmp_path / "o.png", (16_384, 2)) == tmp_path / "o.png"


def test_wrong_pixels_are_not_written(tmp_path: Path, colours: Pixels) -> None:
    for bad in (colours / 255, colours[..., 0]):
        with pytest.raises(OutputError):
            write_image(tmp_path / "o.png", bad)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="alpha"):
        write_image(tmp_path / "o.png", colours, alpha=colours[..., :2])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["encode", "rename"])
def test_nothing_half_written_when_writing_fails(
    tmp_path: Path, colours: Pixels, monkeypatch: pytest.MonkeyPatch, failure: BaseException, moment: str
) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"what was there before")

    def fail_after_some_bytes(image: object, stream: io.BufferedWriter, *_: object) -> None:
        stream.write(b"half a picture")
        raise failure

    def fail(*_: object) -> None:
        raise failure

    if moment == "encode":
        monkeypatch.setattr(image_io, "_encode", fail_after_some_bytes)
    else:
        monkeypatch.setattr(os, "replace", fail)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_image(path, colours)
    assert os.listdir(tmp_path) == ["out.png"]
    assert path.read_bytes() == b"what was there before"


def test_greatest_name_length_is_writable(tmp_path: Path, colours: Pixels) -> None:
    path = tmp_path / ("n" * 251 + ".png")
    assert read_image(write_image(path, colours)).size == (40, 24)


def test_umask_is_respected(tmp_path: Path, colours: Pixels) -> None:
    previous = os.umask(0o027)
    try:
        path = write_image(tmp_path / "o.png", colours)
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o640
