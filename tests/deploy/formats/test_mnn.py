"""MNN: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.formats import format_named
from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport
from mfs_lib.errors import AssetError

pytest.importorskip("MNN")

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


@pytest.mark.parametrize("layout", ["packed", "folded"])
def test_the_same_function(assert_parity: Assert, layout: Layout) -> None:
    path, _ = assert_parity("mnn", layout)
    assert b"synthetic" in path.read_bytes()


def test_float16_halves_the_file_and_rounds(assert_parity: Assert) -> None:
    _, report = assert_parity("mnn-fp16", "folded")
    assert report.bytes < 1_100_000
    # rounded, not cut off, which would be 5e-4
    assert 1e-5 < report.difference["raw"].mean < 2e-4


def test_the_reporting_python_commands_are_never_imported(assert_parity: Assert) -> None:
    assert_parity("mnn", "folded")
    assert not [name for name in sys.modules if name.startswith(("MNN.tools", "aliyun"))]


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_what_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    form, path = format_named("mnn"), tmp_path / "person.mnn"
    for file in form.files(path) if content is not None else ():
        file.write_bytes(content or b"")
    with pytest.raises(AssetError, match=r"person\.mnn"):
        form.load(path, 1)
