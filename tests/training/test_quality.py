"""Q learns how far a teacher was where that shows in its pictures, on people held out, and not where it doesn't."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.training import quality
from mfs_lib.training.quality import Labelled, QualityConfig
from mfs_lib.training.teachers.generators import SimSwapConfig, build_generator
from mfs_lib.training.teachers.trained import save_teacher
from mfs_lib.weights.safe_io import save_weights

SHARES = torch.linspace(0.1, 1, 6)
TINY = QualityConfig(width=8, pairs=40, held_out=0.25, steps=120, batch=24, lr=4e-3)


class _Blur:
    """A teacher whose pictures grow sharper with its progress."""

    name = "blur"
    need = "truth"

    def __init__(self, progress: float, *, visible: bool = True) -> None:
        self.weight = progress if visible else 0.5

    def swap(self, source_face: Tensor | None, target: Tensor, **_: object) -> Tensor:
        return self.weight * target + (1 - self.weight) * F.avg_pool2d(target, 7, 1, 3)


def _targets(count: int = TINY.pairs) -> Tensor:
    """Coarse and fine patterns of random strength and tone."""
    generator = torch.Generator().manual_seed(3)
    coarse = F.interpolate(torch.rand((count, 3, 4, 4), generator=generator), size=(32, 32), mode="bilinear")
    fine = torch.rand((count, 3, 32, 32), generator=generator) - 0.5
    return (0.5 * coarse + (0.6 + 0.4 * torch.rand((count, 1, 1, 1), generator=generator)) * fine + 0.25).clamp(0, 1)


def _labelled(*, visible: bool) -> Labelled:
    teachers = [(_Blur(float(p), visible=visible), float(p)) for p in SHARES]
    return quality.label(teachers, _targets(), torch.zeros(TINY.pairs, 128))  # type: ignore[arg-type]


def _parts(data: Labelled) -> tuple[Labelled, Labelled]:
    return quality.split_pairs(data, TINY.held_out, torch.Generator().manual_seed(0))


def test_pictures_are_labelled_and_parted_by_pair() -> None:
    data = _labelled(visible=True)
    assert data.pictures.shape == (240, 3, 32, 32) and data.pictures.dtype == torch.uint8
    assert data.progress.unique().tolist() == pytest.approx(SHARES.tolist())
    expected = (_Blur(1.0).swap(None, _targets()[:2]) * 255).round()
    assert torch.equal(data.pictures[200:202].float(), expected)
    train, test = _parts(data)
    assert len(train) == 180 and len(test) == 60
    assert not set(train.pair.tolist()) & set(test.pair.tolist())
    assert {int((test.progress == p).sum()) for p in test.progress.unique()} == {10}
    with pytest.raises(InputError, match="held out"):
        quality.split_pairs(data[data.pair == 0], 0.5, torch.Generator())


def test_progress_that_shows_is_learned_and_kept_on_disk(tmp_path: Path) -> None:
    train, test = _parts(_labelled(visible=True))
    scorer = quality.fit_quality(train, TINY)
    predicted = quality.score_images(scorer, test.pictures)
    assert quality.rank_correlation(predicted, test.progress) > 0.8
    points = quality.calibrate(predicted, test.progress)
    assert [p.progress for p in points] == pytest.approx(SHARES.tolist()) and {p.count for p in points} == {10}
    assert points[-1].mean > points[0].mean + 0.3
    path = tmp_path / "q.safetensors"
    quality.save_quality(path, scorer, {"note": "toy"})
    again = quality.score_images(quality.load_quality(path), test.pictures.float() / 255, batch=7)
    torch.testing.assert_close(again, predicted)
    assert not any(p.requires_grad for p in quality.load_quality(path).parameters())


def test_progress_that_does_not_show_is_not_learned() -> None:
    train, test = _parts(_labelled(visible=False))
    scorer = quality.fit_quality(train, TINY)
    assert abs(quality.rank_correlation(quality.score_images(scorer, test.pictures), test.progress)) < 0.3
    alike = torch.full((60, 3, 32, 32), 128, dtype=torch.uint8)
    assert quality.rank_correlation(quality.score_images(scorer, alike), test.progress) == 0


def test_rank_correlation() -> None:
    true = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert quality.rank_correlation(true**3, true) == pytest.approx(1)
    assert quality.rank_correlation(-true, true) == pytest.approx(-1)
    assert quality.rank_correlation(torch.full((4,), 0.5), true) == 0
    assert quality.rank_correlation(torch.tensor([1.0, 2, 4, 3]), true) == pytest.approx(0.8)
    with pytest.raises(InputError, match="not all alike"):
        quality.rank_correlation(true, torch.full((4,), 0.5))
    with pytest.raises(InputError, match="as many"):
        quality.rank_correlation(true, true[:3])


def test_the_same_seed_gives_the_same_scorer() -> None:
    data, short = _labelled(visible=True), QualityConfig(width=4, steps=2, batch=4)
    first, torch_state = quality.fit_quality(data, short), torch.get_rng_state()
    second = quality.fit_quality(data, short)
    assert torch.equal(torch_state, torch.get_rng_state())  # others' random numbers are left alone
    other = quality.fit_quality(data, QualityConfig(width=4, steps=2, batch=4, seed=1))
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert not torch.equal(first.linear.weight, other.linear.weight)


def test_files_that_are_no_scorers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="fit one"):
        quality.load_quality(tmp_path / "none.safetensors")
    path = tmp_path / "other.safetensors"
    for header in ({}, {"network": "teacher", "width": "8"}, {"network": "quality", "width": "8"}):
        save_weights(path, {"x": torch.zeros(1)}, header)
        with pytest.raises(AssetError):
            quality.load_quality(path)
    with pytest.raises(ConfigError, match="held_out"):
        QualityConfig(held_out=1.0)


def test_the_command_fits_to_a_runs_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, output = tmp_path / "run", tmp_path / "q.safetensors"
    with pytest.raises(AssetError, match="0 checkpoints"):
        quality.snapshots(run)
    config = SimSwapConfig(width=2, blocks=1, embedding_dim=128)
    for step, share in ((10, 1.0), (2, 0.2), (6, 0.6)):
        torch.manual_seed(step)
        file = run / "checkpoints" / f"{step:07d}.safetensors"
        save_teacher(file, build_generator(config), config, crop_size=32, progress=share)
    assert [t.progress for t in quality.snapshots(run)] == [0.2, 0.6, 1.0]
    options = {"--width": 4, "--pairs": 8, "--steps": 3, "--batch": 8, "--held-out": 0.25}
    arguments = [str(x) for pair in options.items() for x in pair]
    monkeypatch.setattr(sys, "argv", ["quality", str(run), "--output", str(output), *arguments])
    quality.main()
    about = json.loads(output.with_suffix(".json").read_text())
    assert about["held_out_pictures"] == 6 and about["checkpoints"] == 3 and -1 <= about["spearman"] <= 1
    assert [point["progress"] for point in about["calibration"]] == pytest.approx([0.2, 0.6, 1.0])
    assert quality.load_quality(output).width == 4
