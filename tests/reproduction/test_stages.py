"""Pictures of a training are spread over it, kept small, and read back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from mfs_lib.errors import AssetError
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.reproduction import ship_teacher
from mfs_lib.reproduction.measure import swaps_of, teacher_system
from mfs_lib.reproduction.sampled_pairs import draw_pairs
from mfs_lib.reproduction.stages import keep_stages, load_stages, spread
from mfs_lib.reproduction.teacher_drawing import stage_sheet
from mfs_lib.training.quality import load_quality, save_quality
from mfs_lib.training.sampled import to_uint8
from mfs_lib.training.teachers.generators import SimSwapConfig, build_generator
from mfs_lib.training.teachers.trained import TrainedTeacher, load_trained, save_teacher
from mfs_lib.weights.safe_io import save_weights

CONFIG = SimSwapConfig(width=4, blocks=1, embedding_dim=128)


def _teacher(path: Path, progress: float) -> TrainedTeacher:
    torch.manual_seed(round(100 * progress))
    save_teacher(path, build_generator(CONFIG), CONFIG, crop_size=32, progress=progress)
    return load_trained(path)


def test_stages_are_dense_where_most_happens() -> None:
    progress = [k / 20 for k in range(1, 21)]
    chosen = spread(progress, 6)
    assert chosen[0] == 0 and chosen[-1] == 19 and chosen == sorted(set(chosen))
    assert progress[chosen[2]] < 0.5
    assert spread([0.5, 1.0], 6) == [0, 1]


def test_stages_come_back_from_their_file(tmp_path: Path) -> None:
    teachers = [_teacher(tmp_path / f"{share}.safetensors", share) for share in (0.1, 0.5, 1.0)]
    pairs, path = draw_pairs(3, 32, seed=4), tmp_path / "stages.safetensors"
    keep_stages(path, teachers, pairs, people=2, count=2)
    stages = load_stages(path)
    assert stages.pictures.shape == (2, 2, 3, 32, 32) and stages.progress.tolist() == pytest.approx([0.1, 1.0])
    assert torch.equal(stages.pictures[1], to_uint8(swaps_of(teacher_system(teachers[2]), pairs.first(2))))
    assert not torch.equal(stages.pictures[0], stages.pictures[1])
    assert stages.columns() == ["source", "target", "10 %", "100 %", "truth"]
    rows = stages.rows(9)
    assert len(rows) == 2 and all(len(row) == 5 for row in rows)
    torch.testing.assert_close(rows[1][4], pairs.truth[1], atol=0.003, rtol=0)
    assert isinstance(stage_sheet(stages, 2), Figure)
    save_weights(path, {"source": torch.zeros(1)}, {})
    with pytest.raises(AssetError, match="stages"):
        load_stages(path)


def test_what_is_shipped_is_half_as_large_and_swaps_alike(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "package"
    with pytest.raises(AssetError, match="last step"):
        ship_teacher.ship("simswap_64", run, None, None, folder)
    teacher = _teacher(run / "teacher.safetensors", 1.0)
    scorer = QualityScorer(width=4).eval()
    save_quality(run / "q.safetensors", scorer)
    keep_stages(run / "s.safetensors", [teacher], draw_pairs(2, 32), people=1)
    files = ship_teacher.ship("simswap_64", run, run / "q.safetensors", run / "s.safetensors", folder)
    assert [f.name for f in files] == [f"{part}_simswap_64.safetensors" for part in ("teacher", "quality", "stages")]
    assert files[0].stat().st_size < 0.6 * (run / "teacher.safetensors").stat().st_size
    target, z = torch.rand(2, 3, 32, 32), torch.nn.functional.normalize(torch.randn(2, 128), dim=1)
    shipped = load_trained(files[0])
    assert "London" in shipped.metadata["licence"] and shipped.progress == 1.0
    assert (shipped.swap(None, target, embedding=z) - teacher.swap(None, target, embedding=z)).abs().max() < 0.02
    with torch.no_grad():
        torch.testing.assert_close(load_quality(files[1])(target), scorer(target), atol=5e-3, rtol=0)
    assert torch.equal(load_stages(files[2]).truth, load_stages(run / "s.safetensors").truth)


def test_weights_beyond_half_precision_are_not_shipped(tmp_path: Path) -> None:
    save_weights(tmp_path / "x.safetensors", {"w": torch.full((2, 2), 1e6)}, {})
    with pytest.raises(AssetError, match="float16"):
        ship_teacher.halve(tmp_path / "x.safetensors", tmp_path / "y.safetensors")
    assert not (tmp_path / "y.safetensors").exists()
