"""One run: a half-finished training goes on, its times add up, and the record says what training and measuring found."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.evaluate import Evaluation
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.reproduction import one_run
from mfs_lib.reproduction.measure import System
from mfs_lib.reproduction.one_run import PROGRESS, WEIGHTS, carry_out, find_run, read_progress
from mfs_lib.reproduction.runs import Run, data_digest, runs_of
from mfs_lib.reproduction.sampled_pairs import SampledPairs
from mfs_lib.results import Metric, load_records
from mfs_lib.training.collapse import CollapseDetector, Look
from mfs_lib.weights.shipped import load_student
from tests.reproduction.toys import toy_table, write_table


@dataclass
class FakeTraining:
    """Counts steps in a file, as a trainer keeps its state; may be stopped on the way."""

    run: Run
    folder: Path
    stop_at: int
    detector: CollapseDetector = field(default_factory=CollapseDetector)
    step: int = 0

    def __post_init__(self) -> None:
        self.average = MobileFaceSwap(self.run.experiment.network).eval()

    def begin(self) -> None:
        """Resume."""
        file = self.folder / "step"
        self.step = int(file.read_text()) if file.is_file() else 0
        BEGUN.append(self.step)

    def fit(self, *, look_every: int) -> None:
        """Count."""
        while self.step < self.run.steps:
            if self.step == self.stop_at:
                raise KeyboardInterrupt
            self.step += 1
            (self.folder / "step").write_text(str(self.step))
        for progress in (0.5, 0.75, 1.0):
            self.detector.add(Look(progress, 0.1, 1.0, 0.1, 0.0))


BEGUN: list[int] = []


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A fake trainer and a fake measurement; `.step` is where training stops."""
    where = SimpleNamespace(step=-1)
    BEGUN.clear()

    def measure(swaps: Tensor, pairs: SampledPairs, *, backends: object) -> Evaluation:
        metric = Metric(name="retrieval", value=float(swaps.mean()), protocol="fake", n=len(swaps))
        return Evaluation(metrics=(metric,), intervals={}, verdict="swapped", warnings=(), cosines=np.zeros(1))

    def swaps_of(system: System, pairs: SampledPairs) -> Tensor:
        return torch.full((5, 3, 64, 64), 0.25)

    monkeypatch.setattr(one_run, "trainer_of", lambda run, runs: FakeTraining(run, run.folder(runs), where.step))
    monkeypatch.setattr(one_run, "draw_pairs", lambda count, size, seed: SimpleNamespace(asked=(count, size, seed)))
    monkeypatch.setattr(one_run, "swaps_of", swaps_of)
    monkeypatch.setattr(one_run, "measure", measure)
    monkeypatch.setattr(one_run.Backends, "load", lambda: None)
    return where


def test_a_half_finished_run_goes_on_and_its_times_add_up(stop_at: SimpleNamespace, tmp_path: Path) -> None:
    (run,) = runs_of(toy_table(tmp_path), only=["ours"], seeds=[3])
    stop_at.step = 3
    with pytest.raises(KeyboardInterrupt):
        carry_out(run, tmp_path)
    folder = run.folder(tmp_path)
    assert read_progress(folder)[0] == 0.75
    noted = json.loads((folder / PROGRESS).read_text())
    (folder / PROGRESS).write_text(json.dumps({**noted, "seconds": 1000.0}))
    stop_at.step = -1
    record = carry_out(run, tmp_path, keep_weights=tmp_path / "kept")
    assert BEGUN == [0, 3]
    assert read_progress(folder)[0] == 1.0
    assert (
        1000 < record.metric("train_seconds").value < 1100
        and record.wall_seconds >= record.metric("train_seconds").value
    )
    assert (record.experiment, record.seed, record.profile) == ("toy/ours", 3, "mini")
    assert (record.experiment_digest, record.data_digest) == (run.digest, data_digest(run))
    assert record.metric("steps").value == 4 and record.metric("retrieval").value == 0.25
    assert record.device.startswith("cpu (") and record.device.endswith("one thread")
    assert run.made(record)
    for path in (folder / WEIGHTS, tmp_path / "kept/ours_3.safetensors"):
        kept = load_student(str(path))
        assert kept.crop_size == run.experiment.crop_size == 32 and kept.metadata["settings"] == run.digest
        assert kept.network.config == run.experiment.network
        assert kept.metadata["perceptual"] == run.experiment.perceptual == "mobilenet-v2"


def test_the_record_says_what_the_collapse_detector_said(stop_at: SimpleNamespace, tmp_path: Path) -> None:
    (run,) = runs_of(toy_table(tmp_path), only=["ours"], seeds=[0])
    record = carry_out(run, tmp_path)
    flags = {name: record.metric(f"watch_{name}").value for name in ("collapsed", "recovered", "at_target")}
    assert flags == {"collapsed": 1, "recovered": 0, "at_target": 0}
    assert record.metric("watch_gain").value == 0 and record.metric("watch_collapsed").n == 3


def test_what_is_not_trained_is_only_measured(stop_at: SimpleNamespace, tmp_path: Path) -> None:
    (run,) = runs_of(toy_table(tmp_path), only=["teacher"])
    record = carry_out(run, tmp_path)
    assert BEGUN == [] and not (run.folder(tmp_path) / WEIGHTS).exists()
    assert [metric.name for metric in record.metrics] == ["retrieval"]
    assert record.seed == 0


def test_progress_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == (0.0, 0.0)
    for text in ("", "[]", '{"step": 3}', '{"step": "x", "steps": 1, "seconds": 0}'):
        (tmp_path / PROGRESS).write_text(text)
        assert read_progress(tmp_path) == (0.0, 0.0)


def test_the_command_finds_its_run_and_appends_its_record(
    stop_at: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, results = write_table(tmp_path), tmp_path / "r.jsonl"
    threads = torch.get_num_threads()
    words = [
        "one_run",
        "plain",
        "--seed",
        "1",
        "--profile",
        "smoke",
        "--experiments",
        str(folder),
        "--runs",
        str(tmp_path),
    ]
    monkeypatch.setattr(sys, "argv", [*words, "--results", str(results)])
    one_run.main()
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)
    (record,) = load_records(results)
    assert (record.experiment, record.seed, record.profile) == ("toy/plain", 1, "smoke")
    with pytest.raises(InputError, match="isn't trained"):
        find_run("teacher", 2, "mini", folder)
    prepared = list[str]()
    monkeypatch.setattr(one_run, "prepare", lambda experiment, folder: prepared.append(folder.parent.name))
    monkeypatch.setattr(sys, "argv", [*words, "--prepare"])
    one_run.main()
    assert prepared == ["toy"] and len(load_records(results)) == 1
