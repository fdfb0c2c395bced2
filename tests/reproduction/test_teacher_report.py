"""Teachers are measured beside doing nothing, checkpoints in the order of their progress, and runs aren't mixed up."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.evaluation.evaluate import Backends
from mfs_lib.reproduction import teacher_drawing, teacher_report
from mfs_lib.reproduction.sampled_pairs import SampledPairs, draw_pairs
from mfs_lib.reproduction.teacher_report import CURVE, Named, Nobody, curve_records, measure_teacher, newest_curve
from mfs_lib.results import Record, append_record, load_records
from mfs_lib.training.quality import snapshots
from mfs_lib.training.teachers import load_teacher
from mfs_lib.training.teachers.generators import SimSwapConfig, build_generator
from mfs_lib.training.teachers.trained import save_teacher

COUNT, SIZE = 5, 32
CONFIG = SimSwapConfig(width=2, blocks=1, embedding_dim=128)


@pytest.fixture(scope="module")
def pairs() -> SampledPairs:
    """A few pairs, as small as they can be."""
    return draw_pairs(COUNT, SIZE, seed=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with three checkpoints of a generator that learned nothing."""
    folder = tmp_path_factory.mktemp("run")
    for step, share in ((3, 0.5), (1, 0.05), (6, 1.0)):
        torch.manual_seed(step)
        file = folder / "checkpoints" / f"{step:07d}.safetensors"
        save_teacher(file, build_generator(CONFIG), CONFIG, crop_size=SIZE, progress=share)
    return folder


def _value(record: Record, name: str) -> float:
    return record.metric(name).value


def test_the_oracle_is_perfect_and_nobody_swaps_nothing(pairs: SampledPairs) -> None:
    backends = replace(Backends.load(), spaces=(), hopenet=None)
    oracle = measure_teacher("oracle", load_teacher("oracle"), pairs, backends, None)
    nobody = measure_teacher("target", Nobody(), pairs, backends, None)  # type: ignore[arg-type]
    assert (oracle.experiment, nobody.experiment) == ("teachers/oracle", "teachers/target")
    assert _value(oracle, "error") == 0 and _value(oracle, "retrieval") == _value(oracle, "retrieval_of_truth")
    assert _value(nobody, "error_ratio") == 1 and _value(nobody, "unchanged") == 100
    assert _value(oracle, "cos_source") > _value(nobody, "cos_source") + 0.1
    assert _value(oracle, "error_high") == 0 and oracle.seed == teacher_report.PAIRS_SEED


def test_checkpoints_are_recorded_by_progress(pairs: SampledPairs, run: Path) -> None:
    records = curve_records("mine", snapshots(run), pairs, "a" * 64)
    assert [r.experiment for r in records] == [f"teachers/mine/at_{p}" for p in ("005", "050", "100")]
    assert [_value(r, "progress") for r in records] == [0.05, 0.5, 1.0]
    for record in records:
        assert {m.name for m in record.metrics} == {"progress", "collapsed"} | {
            name + end for name in CURVE for end in ("", "_low", "_high")
        }
        assert _value(record, "error_low") <= _value(record, "error") <= _value(record, "error_high")
        assert _value(record, "collapsed") == 0  # noise isn't the target
    assert len({_value(r, "error") for r in records}) == 3  # other networks, other pictures
    levels = {"oracle": records[0], "target": records[1]}
    figure = teacher_drawing.learning_curves({"mine": records, "shorter": records[:2]}, levels)
    assert isinstance(figure, Figure) and len(figure.axes) == len(teacher_drawing.PANELS)
    for axes, metric in zip(figure.axes, teacher_drawing.PANELS, strict=True):
        mine, shorter = axes.lines[:2]
        assert mine.get_xydata().tolist() == [[100 * _value(r, "progress"), _value(r, metric)] for r in records]
        assert (mine.get_label(), shorter.get_label(), len(shorter.get_xdata())) == ("mine", "shorter", 2)
    with pytest.raises(InputError, match="no checkpoint"):
        teacher_drawing.learning_curves({"mine": []}, {})


def test_a_shorter_run_borrows_no_points_of_an_older_one(pairs: SampledPairs, run: Path) -> None:
    first = curve_records("mine", snapshots(run), pairs, "a" * 64)
    old = [replace(r, created="2026-01-01T00:00:00Z") for r in first]
    new = [replace(r, created="2026-01-02T00:00:00Z", data_digest="b" * 64) for r in first[1:]]
    assert newest_curve([*new, *old], "teachers/mine") == new
    assert newest_curve(old, "teachers/mine") == old
    assert newest_curve(old, "teachers/other") == []


def test_files_need_a_name() -> None:
    assert Named.parse("oracle") == Named("oracle", "oracle")
    assert Named.parse("mine=a/b=c.safetensors") == Named("mine=a/b", "c.safetensors")
    with pytest.raises(ConfigError, match="NAME="):
        Named.parse("runs/x/teacher.safetensors")
    with pytest.raises(ConfigError, match="NAME="):
        Named.parse("runs/x")


def test_all_teachers_stand_beside_the_truth(pairs: SampledPairs) -> None:
    names, rows = teacher_drawing.teacher_rows({"exact": load_teacher("oracle")}, pairs, 2)
    assert names == ["source", "target", "exact", "truth"] and len(rows) == 2
    assert torch.equal(rows[1][2], pairs.truth[1]) and torch.equal(rows[1][0], pairs.source[1])
    assert isinstance(teacher_drawing.teacher_sheet({"exact": load_teacher("oracle")}, pairs, 2), Figure)


def test_the_command_appends_records_and_keeps_stages(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, stages = tmp_path / "teachers.jsonl", tmp_path / "stages.safetensors"
    options = ["--teachers", "--curve", f"mine={run}", "--stages", str(stages), "--pairs", "4", "--size", str(SIZE)]
    monkeypatch.setattr(sys, "argv", ["teacher_report", *options, "--output", str(output)])
    teacher_report.main()
    records = load_records(output)
    assert [r.experiment for r in records] == [f"teachers/mine/at_{p}" for p in ("005", "050", "100")]
    assert len({r.data_digest for r in records}) == 1 and stages.is_file()
    append_record(output, replace(records[0], experiment="teachers/mine"))
    assert len(newest_curve(load_records(output), "teachers/mine")) == 3
