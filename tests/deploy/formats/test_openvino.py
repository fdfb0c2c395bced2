"""OpenVINO: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.formats import format_named
from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport
from mfs_lib.errors import AssetError

openvino = pytest.importorskip("openvino")

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


@pytest.mark.parametrize("layout", ["packed", "folded"])
def test_the_same_function(assert_parity: Assert, layout: Layout) -> None:
    path, _ = assert_parity("openvino", layout)
    model = openvino.Core().read_model(str(path))
    assert "synthetic" in model.get_rt_info(["mfs_lib", "note"]).astype(str)


def test_float16_halves_the_file_and_rounds(assert_parity: Assert) -> None:
    _, report = assert_parity("openvino-fp16", "folded")
    assert report.bytes < 1_300_000
    assert report.difference["result"].max > 1e-5


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_what_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    form, path = format_named("openvino"), tmp_path / "person.xml"
    for file in form.files(path) if content is not None else ():
        file.write_bytes(content or b"")
    with pytest.raises(AssetError, match=r"person\.xml"):
        form.load(path, 1)
