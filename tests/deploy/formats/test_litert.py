"""LiteRT: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_litert")

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


def test_the_same_function(assert_parity: Assert) -> None:
    path, _ = assert_parity("litert", "packed")
    assert b"Makes synthetic pictures" in path.read_bytes()
