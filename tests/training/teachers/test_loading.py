"""A teacher is one line of an experiment; what can't be is refused by name, and what is missing says how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mfs_lib.errors import AssetError, ConfigError
from mfs_lib.training.teachers import Teacher, TeacherConfig, load_teacher, parse_teacher
from mfs_lib.training.teachers.generators import SimSwapConfig, build_generator
from mfs_lib.training.teachers.landmark_warp import LandmarkWarp
from mfs_lib.training.teachers.loading import NAMES
from mfs_lib.training.teachers.oracle import Oracle
from mfs_lib.training.teachers.trained import TrainedTeacher, save_teacher


def test_one_line_is_enough() -> None:
    values = yaml.safe_load("teacher: oracle\nseed: 1\n")
    config = parse_teacher(values["teacher"])
    assert config == TeacherConfig(name="oracle")
    assert isinstance(load_teacher(config), Oracle)
    longer = yaml.safe_load("teacher: {name: warp, locality: 0.25}")
    warp = load_teacher(parse_teacher(longer["teacher"]))
    assert isinstance(warp, LandmarkWarp) and warp.locality == 0.25 and warp.name == "warp"


def test_every_kind_is_a_teacher(tmp_path: Path) -> None:
    config, file = SimSwapConfig(width=2, blocks=1, embedding_dim=128), tmp_path / "mine.safetensors"
    save_teacher(file, build_generator(config), config, crop_size=32, progress=1.0)
    teachers: list[Teacher] = [load_teacher("oracle"), load_teacher("warp"), load_teacher(str(file))]
    assert [t.name for t in teachers] == ["oracle", "warp", str(file)]
    assert [t.need for t in teachers] == ["truth", "source_face", "source_face or embedding"]
    assert isinstance(teachers[2], TrainedTeacher)
    assert NAMES == ("oracle", "none", "warp", "simswap-224", "faceshifter_64", "simswap_64")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("oracel", "oracel.*oracle"),
        ({"name": "oracle", "weights": "x"}, "teacher: unknown keys.*weights"),
        ({"locality": 2.0}, "locality.*2"),
        ({"name": 3}, "name.*3"),
        (None, "teacher: oracle"),
        (["oracle"], "teacher: oracle"),
    ],
)
def test_what_cannot_be_is_refused(value: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_teacher(value)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"mfs_lib\.training\.gan"):
        load_teacher(str(tmp_path / "none.safetensors"))


def test_official_weights_that_are_not_there_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFS_CACHE", str(tmp_path))
    monkeypatch.setenv("MFS_OFFLINE", "1")
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    with pytest.raises(AssetError, match="mfs fetch simswap-224 simswap-arcface --agree"):
        load_teacher("simswap-224")


def test_no_teacher_cannot_be_asked() -> None:
    assert parse_teacher("none").name == "none"
    with pytest.raises(ConfigError, match="learns without one"):
        load_teacher("none")
