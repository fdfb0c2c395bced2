"""What all formats share: files appear whole or not at all, shapes are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfs_lib.deploy.formats.base import SYNTHETIC, check_target, frame_of, named, need, staged
from mfs_lib.errors import ConfigError, InputError, OutputError, RuntimeMissingError
from mfs_lib.networks.mobilefaceswap import StaticSwapper


def test_a_frame_knows_its_shapes_and_says_what_it_is(static: StaticSwapper) -> None:
    frame = frame_of(static, size=64, layout="packed", outputs=("result", "mask"), notes={"weights": "w"})
    shapes = [tuple(output.shape) for output in frame.network(frame.example())]
    assert shapes == [frame.shape("result"), frame.shape("mask")] == [(1, 3, 64, 64), (1, 1, 64, 64)]
    assert frame.notes["note"] == SYNTHETIC and frame.notes["layout"] == "packed" and frame.notes["weights"] == "w"


@pytest.mark.parametrize("size", [0, 16, 100])
def test_a_size_that_the_network_cannot_halve_is_refused(static: StaticSwapper, size: int) -> None:
    with pytest.raises(InputError, match="multiple of 32"):
        frame_of(static, size=size)


def test_unknown_outputs_are_refused(static: StaticSwapper) -> None:
    with pytest.raises(ConfigError, match="outputs must be some of"):
        frame_of(static, size=64, outputs=("alpha",))  # type: ignore[arg-type]


def test_staged_files_move_together_and_by_products_stay_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "net.param"
    with staged(path) as folder:
        for name in ("net.param", "net.bin", "net_debug.py"):
            (folder / name).write_text(name)
        assert not path.exists()
    assert sorted(file.name for file in path.parent.iterdir()) == ["net.bin", "net.param"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("old")

    def fail() -> None:
        with staged(path) as folder:
            (folder / "net.onnx").write_text("half")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_converter_that_writes_nothing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"wrote no net\.mnn"), staged(tmp_path / "net.mnn"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "net.mlpackage"
    for text in ("one", "two"):
        with staged(path) as folder:
            (folder / path.name).mkdir()
            (folder / path.name / text).write_text(text)
    assert [file.name for file in path.iterdir()] == ["two"]


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Can't write"), staged(tmp_path / "file" / "net.onnx"):
        pass


def test_a_missing_module_is_named_with_its_package() -> None:
    with pytest.raises(RuntimeMissingError, match=r"pip install nothing==1\.0"):
        need("no_such_module_at_all", "nothing==1.0")


def test_targets_and_outputs_have_one_shape() -> None:
    assert check_target(np.zeros((1, 3, 4, 4))).dtype == np.float32
    with pytest.raises(InputError, match="a target is"):
        check_target(np.zeros((3, 4, 4), np.float32))
    outputs = named(["raw", "mask"], [np.zeros((3, 4, 4)), np.zeros((1, 1, 4, 4))], 4)
    assert outputs["raw"].shape == (1, 3, 4, 4) and outputs["mask"].shape == (1, 1, 4, 4)
    with pytest.raises(ConfigError, match="has 1 outputs"):
        named(["raw", "mask"], [np.zeros((3, 4, 4))], 4)
