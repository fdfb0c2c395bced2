"""`mfs video` from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from mfs_lib.cli import main
from mfs_lib.swapping import read_provenance
from tests.swapping.light import make_small_bundle, moving_frames, write_video


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, a photograph and a clip."""
    folder = tmp_path_factory.mktemp("files")
    astronaut = np.asarray(skimage.data.astronaut(), np.uint8)
    make_small_bundle(folder / "bundle")
    Image.fromarray(astronaut).save(folder / "a.png")
    write_video(folder / "clip.mp4", [image for image, _ in moving_frames(astronaut[0:300, 80:380], 6)])
    return folder


def command(files: Path, output: Path, *more: str) -> list[str]:
    given = ["--source", str(files / "a.png"), "--target", str(files / "clip.mp4"), "-o", str(output)]
    return ["video", *given, "--bundle", str(files / "bundle"), *more]


def test_a_video_without_torch_in_the_process(files: Path, tmp_path: Path) -> None:
    lines = (
        "import sys",
        "from mfs_lib.cli import main",
        "code = main(sys.argv[1:])",
        "assert 'torch' not in sys.modules",
    )
    code = "; ".join((*lines, "sys.exit(code)"))
    arguments = command(files, tmp_path / "out.mp4", "--json", "--label")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] and report["frames"] == report["frames_swapped"] == 6 and report["sound"] and report["labelled"]
    found = read_provenance(tmp_path / "out.mp4")
    assert found is not None and found.synthetic


def test_the_sentence(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(files, tmp_path / "out.mkv", "--max-frames", "3", "--preset", "ultrafast")) == 0
    told = capsys.readouterr().out
    assert "swapped 3 of 3 frames of clip.mp4" in told and "marked as synthetic" in told


def test_mistakes_are_told_in_one_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(files, files / "clip.mp4")) == 1
    assert "is the target itself" in capsys.readouterr().err
    assert main(command(files, tmp_path / "out.gif")) == 1
    assert "suffix is one of" in capsys.readouterr().err
    arguments = command(files, tmp_path / "out.mp4")
    arguments[arguments.index("--target") + 1] = str(files / "a.png.missing")
    assert main(arguments) == 1
    assert "not there" in capsys.readouterr().err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("option", [("--crf", "60"), ("--max-frames", "0"), ("--face", "3")])
def test_wrong_usage(files: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(command(files, tmp_path / "out.mp4", *option))
    assert stopped.value.code == 2
