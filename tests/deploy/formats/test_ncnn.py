"""ncnn: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.formats import format_named
from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport
from mfs_lib.errors import AssetError

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


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_what_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    form, path = format_named("ncnn"), tmp_path / "person.param"
    for file in form.files(path) if content is not None else ():
        file.write_bytes(content or b"")
    with pytest.raises(AssetError, match=r"person\.param"):
        form.load(path, 1)
