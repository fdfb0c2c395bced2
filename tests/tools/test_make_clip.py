"""The tool that renders a clip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.swapping.light import read_video


def test_a_clip_is_rendered_with_its_truth(repository: Path, tmp_path: Path) -> None:
    tool = str(repository / "tools" / "make_clip.py")
    command = [sys.executable, tool, str(tmp_path / "clip.mp4"), "--frames", "3", "--size", "192x108"]
    subprocess.run(command, cwd=repository, check=True)
    assert [image.shape for image in read_video(tmp_path / "clip.mp4")] == [(108, 192, 3)] * 3
    truth = json.loads((tmp_path / "clip.json").read_text("utf-8"))
    assert len(truth) == 3 and np.array(truth[0]["points"]).shape == (5, 2)
