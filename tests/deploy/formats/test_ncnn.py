"""ncnn: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport

pytest.importorskip("pnnx")
pytest.importorskip("ncnn")

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


@pytest.mark.parametrize("layout", ["packed", "folded"])
def test_the_same_function(assert_parity: Assert, layout: Layout) -> None:
    path, _ = assert_parity("ncnn", layout)
    words = path.read_text().split()
    assert {"target", "raw", "mask"} <= set(words) and not {"in0", "out0", "out1"} & set(words)


def test_float16_halves_the_file_and_rounds(assert_parity: Assert) -> None:
    _, report = assert_parity("ncnn-fp16", "folded")
    assert report.bytes < 1_100_000
    assert report.difference["result"].max > 1e-5
