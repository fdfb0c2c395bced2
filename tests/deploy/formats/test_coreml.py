"""Core ML: converts everywhere; executes, and is compared, on macOS. Skipped where coremltools isn't installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import Tensor

from mfs_lib.deploy.formats import format_named, frame_of
from mfs_lib.deploy.parity import check, parity
from mfs_lib.errors import RuntimeMissingError
from mfs_lib.networks.mobilefaceswap import StaticSwapper

coremltools = pytest.importorskip("coremltools")


@pytest.mark.parametrize("name", ["coreml", "coreml-fp16"])
def test_converts_with_names_and_note(static: StaticSwapper, tmp_path: Path, name: str) -> None:
    form, path = format_named(name), tmp_path / "person.mlpackage"
    form.export(frame_of(static, size=128, layout=form.layouts[0]), path)
    form.export(frame_of(static, size=128, layout=form.layouts[0]), path)  # replaces what is there
    assert list(tmp_path.iterdir()) == [path]
    spec = coremltools.utils.load_spec(str(path))
    assert [entry.name for entry in spec.description.input] == ["target"]
    assert [entry.name for entry in spec.description.output] == ["raw", "mask"]
    assert "synthetic" in spec.description.metadata.shortDescription
    assert (form.size_in_bytes(path) < 1_200_000) == name.endswith("fp16")


def test_executes_on_macos_only(static: StaticSwapper, faces: Tensor, tmp_path: Path) -> None:
    form, path = format_named("coreml"), tmp_path / "person.mlpackage"
    form.export(frame_of(static, size=128), path)
    if sys.platform == "darwin":
        check(parity(form, path, static, faces, layout="folded"), form.tolerance)
    else:
        with pytest.raises(RuntimeMissingError, match="macOS only"):
            form.load(path, 1)
