"""ExecuTorch: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport

pytest.importorskip("executorch")

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


def test_the_same_function(assert_parity: Assert) -> None:
    from executorch.runtime import Runtime

    path, _ = assert_parity("executorch", "folded")
    program = Runtime.get().load_program(path)
    assert "synthetic" in program.load_method("note").execute([])[0]
