"""The registry: what it names, and what it says when a package is missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from mfs_lib.deploy.formats import FORMATS, format_named, frame_of
from mfs_lib.errors import InputError, RuntimeMissingError
from mfs_lib.networks.mobilefaceswap import StaticSwapper

ROOT = Path(__file__).resolve().parents[3]
OPTIONAL = [name for name in FORMATS if name != "onnx"]


def test_names_and_files() -> None:
    assert {"onnx", "openvino", "ncnn", "mnn", "executorch", "litert", "coreml", "ncnn-fp16"} <= set(FORMATS)
    assert format_named("ncnn").files(Path("a/b.param")) == (Path("a/b.param"), Path("a/b.bin"))
    assert format_named("onnx").installed()
    with pytest.raises(InputError, match="use one of onnx, openvino"):
        format_named("tensorflow")
    with pytest.raises(InputError, match=r"ends in \.mnn"):
        format_named("mnn").check_path(Path("a.onnx"))


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_missing_package_is_named_with_its_command(
    name: str, static: StaticSwapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = format_named(name)
    blocked = (*form.modules, "_tools", "executorch.exir", "executorch.runtime", "ai_edge_litert.interpreter")
    loaded = [name for name in sys.modules if name.split(".")[0] in form.modules]
    for module in (*blocked, *loaded):
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails as if it weren't there
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(RuntimeMissingError, match=form.packages[0]):
        form.require()
    with pytest.raises(RuntimeMissingError, match=f"pip install {form.packages[0]}"):
        form.export(frame_of(static, size=32), tmp_path / f"person{form.suffix}")
    assert not list(tmp_path.iterdir())
    if not form.obstacle:
        with pytest.raises(RuntimeMissingError, match="pip install"):
            form.load(tmp_path / f"person{form.suffix}", 1)


def test_pins_are_those_of_the_requirements() -> None:
    lines = (ROOT / "requirements-mobile.txt").read_text("utf-8") + (ROOT / "requirements.in").read_text("utf-8")
    for form in FORMATS.values():
        for package in form.packages:
            assert package in lines
