"""Teachers of the package are one word in an experiment; where the file isn't there, the message says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfs_lib.errors import AssetError
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.training.quality import load_quality, save_quality
from mfs_lib.training.teachers import load_teacher, parse_teacher, shipped
from mfs_lib.training.teachers.generators import SimSwapConfig, build_generator
from mfs_lib.training.teachers.trained import TrainedTeacher, save_teacher


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the shipped files."""
    monkeypatch.setattr(shipped, "SHIPPED_FOLDER", tmp_path)
    return tmp_path


def test_a_name_stands_for_the_packages_file(package: Path) -> None:
    config = SimSwapConfig(width=2, blocks=1, embedding_dim=128)
    save_teacher(
        package / "teacher_simswap_64.safetensors", build_generator(config), config, crop_size=32, progress=1.0
    )
    teacher = load_teacher(parse_teacher("simswap_64"))
    assert isinstance(teacher, TrainedTeacher) and teacher.name == "simswap_64"
    assert shipped.is_shipped("simswap_64") and not shipped.is_shipped("simswap_64", "quality")
    assert not shipped.is_shipped("faceshifter_64") and not shipped.is_shipped("oracle")
    save_quality(package / "quality_simswap_64.safetensors", QualityScorer(width=4))
    scorer = load_quality("simswap_64")
    assert scorer.width == 4 and not scorer.training
    assert torch.equal(scorer.linear.weight, load_quality(Path("simswap_64")).linear.weight)


def test_what_is_not_there_says_how_to_make_it(package: Path) -> None:
    with pytest.raises(AssetError, match=r"training\.gan.*ship_teacher faceshifter_64"):
        load_teacher("faceshifter_64")
    with pytest.raises(AssetError, match=r"quality_faceshifter_64\.safetensors"):
        load_quality("faceshifter_64")
    with pytest.raises(AssetError, match="hififace"):
        shipped.shipped_file("hififace")
