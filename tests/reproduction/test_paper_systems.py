"""Systems are found where their weights are and named where they aren't; they swap, and their cost is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.faceshifter import AEINet, AEINetConfig
from mfs_lib.networks.faceshifter_aad import AADOptions
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig, StaticSwapper
from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.reproduction import paper_systems
from mfs_lib.reproduction.paper_pairs import photo_deck, world_deck
from mfs_lib.reproduction.runs import runs_of
from mfs_lib.reproduction.table2 import read_table
from mfs_lib.training.teachers.generators import SimSwapConfig
from mfs_lib.training.teachers.trained import TrainedTeacher
from mfs_lib.weights.safe_io import load_weights
from mfs_lib.weights.shipped import Student, save_student

SMALL = MobileFaceSwapConfig(
    channels=(4, 6, 8, 10, 12),
    mask_channels=(8, 6, 4, 4, 2),
    embedding_dim=128,
    feature_channels=1024,
    predictor_width=8,
)
VARIANTS = {
    "adain": MobileFaceSwapConfig.from_dict({**SMALL.to_dict(), "pointwise": "adain"}),
    "no_fusion": MobileFaceSwapConfig.from_dict({**SMALL.to_dict(), "fusion_mask": False}),
    "autoencoder": MobileFaceSwapConfig.from_dict({**SMALL.to_dict(), "architecture": "autoencoder"}),
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder with three students at random, 64 pixels."""
    torch.manual_seed(0)
    for row, config in VARIANTS.items():
        save_student(tmp_path / f"{row}_0.safetensors", MobileFaceSwap(config), crop_size=64)
    return tmp_path


def test_rows_are_found_where_their_file_is(rows: Path) -> None:
    found = paper_systems.find(["no_modulation", "adain", "no_fusion", "truth"], folder=rows)
    assert [system.key for system in found] == ["adain", "no_fusion", "truth"]
    assert [system.title for system in found] == ["AdaIN", "without fusion", "exact swap"]
    assert [system.size for system in found] == [64, 64, None]


def test_what_is_missing_is_named(rows: Path) -> None:
    found = paper_systems.find(paper_systems.ARCHITECTURE, folder=rows)
    assert paper_systems.left_out(paper_systems.ARCHITECTURE, found) == (
        "Left out, since their weights are not here: without weights prediction, without modulation, ours."
    )
    assert paper_systems.left_out({"adain": "AdaIN"}, found) == ""


@pytest.mark.parametrize("row", VARIANTS)
def test_a_found_student_swaps_by_the_identity(rows: Path, row: str) -> None:
    (system,) = paper_systems.find([row], folder=rows)
    deck = world_deck(3)
    swaps = paper_systems.swaps_of(system, deck, 64)
    pairs = deck.deal(64)
    other = system.swap(pairs.crossed(2))  # rows 0 and 2: two sources on one target
    assert swaps.shape == (3, 3, 64, 64) and float(swaps.min()) >= 0 and float(swaps.max()) <= 1
    assert torch.allclose(other[0], swaps[0], atol=1e-5)
    assert not torch.allclose(other[0], other[2], atol=1e-5)
    assert paper_systems.swaps_of(system, deck, 128).shape == (3, 3, 128, 128)


@pytest.mark.parametrize("row", VARIANTS)
def test_the_cost_of_a_student_is_that_of_its_network(rows: Path, row: str) -> None:
    (system,) = paper_systems.find([row], folder=rows)
    assert system.count is not None
    cost, config = system.count(), VARIANTS[row]
    static = StaticSwapper(
        channels=config.channels, mask_channels=config.mask_channels, pointwise=config.pointwise,
        architecture=config.architecture, fusion_mask=config.fusion_mask,
    ).eval()  # fmt: skip
    assert cost.video.operations.mac == count_macs(static, torch.zeros(1, 3, 64, 64))
    assert cost.video.declared == count_parameters(static)
    assert cost.image.declared > cost.video.declared


def test_the_exact_swap_is_one_of_the_systems_but_not_of_photographs() -> None:
    deck = world_deck(2)
    truth = deck.deal(32).truth
    assert truth is not None
    assert torch.equal(paper_systems.swaps_of(paper_systems.TRUTH, deck, 32), truth.clamp(0, 1))
    photographs = photo_deck("noise", torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))
    with pytest.raises(InputError, match="no exact swap"):
        paper_systems.swaps_of(paper_systems.TRUTH, photographs, 32)


def _teacher(name: str) -> TrainedTeacher:
    torch.manual_seed(0)
    if name == "simswap":
        config = SimSwapConfig(width=4, blocks=1, embedding_dim=128)
        return TrainedTeacher(SimSwapGenerator(width=4, blocks=1, embedding_dim=128).eval(), config, 64, 1.0, name)
    options = AEINetConfig(
        aad=AADOptions(id_dim=128), encoder_channels=(4, 4, 4, 4, 4), hidden_channels=(4, 4, 4, 4, 4, 4)
    )
    return TrainedTeacher(AEINet(options).eval(), options, 64, 1.0, name)


@pytest.mark.parametrize("name", ["simswap", "faceshifter"])
def test_a_trained_teacher_swaps_and_is_counted(name: str) -> None:
    teacher = _teacher(name)
    system = paper_systems.teacher_system(teacher, "a teacher")
    assert system.size == 64 and system.count is not None
    assert paper_systems.swaps_of(system, world_deck(2), 64).shape == (2, 3, 64, 64)
    cost = system.count()
    whole = count_parameters(teacher.network)
    assert 0 < cost.video.declared < whole  # the layers of the styles run once for a person
    assert cost.image.declared > whole
    run = count_macs(teacher.network, torch.zeros(1, 3, 64, 64), torch.zeros(1, 128))
    assert 0 < cost.video.operations.mac < run


def test_the_students_of_a_teacher_are_those_whose_experiment_names_it(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("teacher: faceshifter_64\n")
    (tmp_path / "ours_simswap.yaml").write_text("teacher: {name: simswap_64}\n")
    (tmp_path / "ours_broken.yaml").write_text("teacher: 7\n")
    (tmp_path / "adain.yaml").write_text("teacher: oracle\n")
    assert paper_systems.taught_by("faceshifter_64", experiments=tmp_path) == "ours"
    assert paper_systems.taught_by("simswap_64", experiments=tmp_path) == "ours_simswap"
    assert paper_systems.taught_by("oracle", experiments=tmp_path) is None


def test_the_students_that_are_shown_are_those_of_the_present_experiments(repository: Path) -> None:
    """A row whose settings, teacher or code's digest changed needs another student, not only another record."""
    files = sorted((repository / paper_systems.STUDENTS).glob("*.safetensors"))
    table = read_table(repository / "experiments" / "table2")
    present = {run.row.key: run.digest for run in runs_of(table, "mini", seeds=[0])}
    headers = {path.stem.removesuffix("_0"): load_weights(path)[1] for path in files}
    assert {key: header["settings"] for key, header in headers.items()} == {key: present[key] for key in headers}
    assert all(header["experiment"] == f"table2/{key}" and header["seed"] == "0" for key, header in headers.items())
    shown = {*paper_systems.ARCHITECTURE, *paper_systems.OBJECTIVES} | {
        paper_systems.taught_by(teacher, experiments=repository / paper_systems.EXPERIMENTS)
        for teacher in paper_systems.TEACHERS
    }
    hands_back_its_targets = {"no_distillation"}
    assert set(headers) == shown - hands_back_its_targets - {None}


def test_a_student_keeps_its_size_and_title() -> None:
    student = Student(MobileFaceSwap(SMALL).eval(), 64, "tiny")
    system = paper_systems.student_system(student, "tiny one")
    assert (system.key, system.title, system.size) == ("tiny", "tiny one", 64)
