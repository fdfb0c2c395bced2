"""LiteRT: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.formats import format_named
from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport
from mfs_lib.errors import AssetError

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_litert")

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


def test_the_same_function(assert_parity: Assert) -> None:
    path, _ = assert_parity("litert", "packed")
    assert b"Makes synthetic pictures" in path.read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_what_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    form, path = format_named("litert"), tmp_path / "person.tflite"
    for file in form.files(path) if content is not None else ():
        file.write_bytes(content or b"")
    with pytest.raises(AssetError, match=r"person\.tflite"):
        form.load(path, 1)
