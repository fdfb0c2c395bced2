"""ExecuTorch: the same function in its own runtime. Skipped where that isn't installed (`make mobile`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfs_lib.deploy.formats import format_named, frame_of
from mfs_lib.deploy.frame import Layout
from mfs_lib.deploy.parity import ParityReport
from mfs_lib.errors import AssetError
from mfs_lib.networks.mobilefaceswap import StaticSwapper

pytest.importorskip("executorch")

Assert = Callable[[str, Layout], tuple[Path, ParityReport]]


@pytest.mark.parametrize("layout", ["packed", "folded"])
def test_the_same_function(assert_parity: Assert, layout: Layout) -> None:
    path, _ = assert_parity("executorch", layout)
    from executorch.runtime import Runtime  # warns where it is imported first

    program = Runtime.get().load_program(path)
    assert "synthetic" in program.load_method("note").execute([])[0]


def test_every_convolution_is_xnnpacks(static: StaticSwapper, tmp_path: Path) -> None:
    # Kernels that the network computes would stay in plain loops, sixty times slower.
    path = tmp_path / "person.pte"
    format_named("executorch").export(frame_of(static, size=64, layout="packed"), path)
    assert b"XnnpackBackend" in path.read_bytes()
    assert b"aten::convolution" not in path.read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_what_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    form, path = format_named("executorch"), tmp_path / "person.pte"
    for file in form.files(path) if content is not None else ():
        file.write_bytes(content or b"")
    with pytest.raises(AssetError, match=r"person\.pte"):
        form.load(path, 1)
