"""A student is measured on whom it should be: strangers, with the right source for every swap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mfs_lib.faces.folders import PhotoSet
from mfs_lib.faces.identity import identity_of
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.reproduction import student_report
from mfs_lib.reproduction.sampled_pairs import draw_pairs
from mfs_lib.reproduction.student_report import photo_swaps, world_swaps
from mfs_lib.results import load_records
from mfs_lib.weights.shipped import Student, load_student, save_student

SIZE = 64
CONFIG = MobileFaceSwapConfig(
    channels=(4, 6, 8, 10, 12), mask_channels=(8, 6, 4, 4, 2), embedding_dim=128, feature_channels=1024, predictor_width=8
)  # fmt: skip


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    """A tiny network at random, whose swaps depend on the identity."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_student(path, MobileFaceSwap(CONFIG), crop_size=SIZE)
    return load_student(path)


def _photos(people: int) -> PhotoSet:
    """Two photographs each, a neutral and a smiling one, of noise."""
    count, pixels = 2 * people, np.random.default_rng(0).integers(0, 255, (2 * people, SIZE, SIZE, 3), dtype=np.uint8)
    return PhotoSet(
        crops=pixels, points=np.zeros((count, 5, 2), np.float32), mesh=np.zeros((count, 468, 3), np.float32),
        inside=np.ones((count, SIZE, SIZE), np.bool_), names=tuple(f"{i}.png" for i in range(count)),
        people=tuple(f"p{i // 2}" for i in range(count)), expressions=("neutral", "smiling") * people,
    )  # fmt: skip


def test_sampled_pairs_come_with_their_exact_swaps(student: Student) -> None:
    found, pairs = world_swaps(student, 3, seed=1), draw_pairs(3, SIZE, 1)
    assert found.truth is not None and torch.equal(found.truth, pairs.truth)
    assert torch.equal(found.source, pairs.source) and torch.equal(found.target, pairs.target)
    assert not torch.equal(found.swap, found.target)


def test_photographs_are_swapped_between_strangers_by_the_right_source(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = _photos(4)
    monkeypatch.setattr(student_report, "load_photo_set", lambda name, part, size: photos)
    found = photo_swaps(student, "london", limit=10)
    assert found.people == ("p0", "p1", "p2", "p3")
    assert (
        len(found.swap) == 10 and len(set(zip(found.source_of.tolist(), found.target_of.tolist(), strict=True))) == 10
    )
    assert bool((found.source_of != found.target_of).all())  # the same order of people in both
    assert torch.equal(found.source, photos.pictures([0, 2, 4, 6]))
    assert torch.equal(found.target, photos.pictures([1, 3, 5, 7]))
    who = identity_of(found.source)
    for row in (0, 9):
        s, t = int(found.source_of[row]), int(found.target_of[row])
        with torch.no_grad():
            one = IdentityFeatures(who.embedding[s : s + 1], who.feature_map[s : s + 1])
            alone = student.network(found.target[t : t + 1], one).result[0]
        torch.testing.assert_close(found.swap[row], alone, atol=1e-5, rtol=0)
    assert len(photo_swaps(student, "london").swap) == 4 * 3  # no more than there are


def test_the_record_has_the_suite_with_intervals(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, weights = tmp_path / "x.jsonl", tmp_path / "s.safetensors"
    save_student(weights, student.network, crop_size=SIZE)
    words = ["report", "--only", "world", "--pairs", "8", "--student", str(weights), "--output", str(output)]
    words += ["--name", "tiny"]
    monkeypatch.setattr("sys.argv", words)
    student_report.main()
    (record,) = load_records(output)
    assert record.experiment == "tiny/world" and record.seed == student_report.WORLD_SEED
    names = {metric.name for metric in record.metrics}
    assert {"retrieval", "retrieval_low", "retrieval_given_truth", "background", "pose_error", "error_ratio"} <= names


def test_photographs_that_are_not_here_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(student_report, "available", lambda name: False)
    monkeypatch.setattr("sys.argv", ["report", "--only", "sfhq", "--output", str(tmp_path / "x.jsonl")])
    student_report.main()
    assert "sfhq is left out" in capsys.readouterr().out
    assert not (tmp_path / "x.jsonl").exists()
