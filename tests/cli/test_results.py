"""`mfs results`: what is missing is run once, what is recorded is printed, checked, or refused where it is broken."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mfs_lib import cli
from mfs_lib.reproduction.one_run import PROGRESS
from mfs_lib.reproduction.runs import Run, runs_of
from mfs_lib.reproduction.schedule import Failure, Place
from mfs_lib.reproduction.table2 import read_table
from mfs_lib.results import append_record, load_records
from tests.reproduction.toys import record, write_table

Capture = pytest.CaptureFixture[str]
COLUMNS = ("retrieval", "pose_l2", "fd_mnv2", "background", "colour_shift", "expression_mesh", "error")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """The command with the places of a toy table."""
    places = {
        "--experiments": write_table(tmp_path),
        "--runs": tmp_path / "runs",
        "--results": tmp_path / "out/r.jsonl",
    }
    return ["results", *(str(word) for pair in places.items() for word in pair)]


def _runs(tmp_path: Path, profile: str = "mini") -> list[Run]:
    return runs_of(read_table(tmp_path / "experiments/toy"), profile)


def _record(run: Run, results: Path, value: float = 5.0) -> None:
    values = {**dict.fromkeys(COLUMNS, value + run.seed), "train_seconds": 1.0}
    append_record(results, record(run.name, run.seed, values, digest=run.digest, profile=run.profile))


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was carried out; runs are played by their records alone, and that of `unlisted` fails."""
    done: list[str] = []

    def prepare_all(runs: list[Run], place: Place, *, show: bool) -> None:
        done.append(f"pictures of {len(runs)}")

    def carry_out_all(runs: list[Run], place: Place, *, jobs: int, show: bool) -> list[Failure]:
        done.extend(str(run) for run in runs)
        good = [run for run in runs if run.row.key != "unlisted"]
        for run in good:
            _record(run, place.results)
        return [Failure(run, 1, "no luck", Path("log")) for run in runs if run not in good]

    monkeypatch.setattr("mfs_lib.reproduction.schedule.prepare_all", prepare_all)
    monkeypatch.setattr("mfs_lib.reproduction.schedule.carry_out_all", carry_out_all)
    return done


def test_only_what_is_missing_is_run_and_everything_is_printed(
    words: list[str], tmp_path: Path, carried: list[str], capsys: Capture
) -> None:
    results, chosen = tmp_path / "out/r.jsonl", ["--only", "plain", "ours", "teacher"]
    _record(next(run for run in _runs(tmp_path) if (run.row.key, run.seed) == ("ours", 0)), results)
    assert cli.main([*words, *chosen]) == 0
    assert carried == [
        "pictures of 4",
        "toy/plain, seed 0",
        "toy/teacher, seed 0",
        "toy/plain, seed 1",
        "toy/ours, seed 1",
    ]
    out = capsys.readouterr().out
    assert out.index("## toy/ours (mini, seed 1") < out.index("## toy: mean over seeds")
    assert "| plain one\\* | 2 | 5.5 ± 6.4 |" in out and "Not recorded yet: unlisted." in out
    assert cli.main([*words, *chosen, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["carried_out"] == [] and report["records"] == 5 and len(carried) == 5
    assert {one["claim"] for one in report["claims"]} >= {"the student keeps the expression better than FaceShifter"}


def test_a_run_that_fails_is_told_and_the_others_are_recorded(
    words: list[str], tmp_path: Path, carried: list[str], capsys: Capture
) -> None:
    assert cli.main([*words, "--seeds", "3"]) == 1
    error = capsys.readouterr().err
    assert "1 of 4 runs failed, 3 are recorded; run again to go on: toy/unlisted, seed 3: no luck" in error
    assert len(load_records(tmp_path / "out/r.jsonl")) == 3


def test_a_dry_run_lists_and_runs_nothing(
    words: list[str], tmp_path: Path, carried: list[str], capsys: Capture
) -> None:
    runs = _runs(tmp_path)
    _record(runs[0], tmp_path / "out/r.jsonl")
    folder = runs[1].folder(tmp_path / "runs")
    folder.mkdir(parents=True)
    (folder / PROGRESS).write_text(json.dumps({"step": 1, "steps": 4, "seconds": 1.0}))
    assert cli.main([*words, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 of 7 runs are missing in ") and lines[0].endswith(":")
    assert lines[1:3] == ["toy/ours, seed 0 (25% trained)", "toy/unlisted, seed 0"] and len(lines) == 7
    assert carried == []


def test_printing_needs_no_experiments(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["results", "--print", "--results", str(tmp_path / "none.jsonl")]) == 0
    assert "Nothing is recorded" in capsys.readouterr().out


def test_a_broken_record_is_refused_before_anything_runs(
    words: list[str], tmp_path: Path, carried: list[str], capsys: Capture
) -> None:
    results = tmp_path / "out/r.jsonl"
    _record(_runs(tmp_path)[0], results)
    whole = results.read_text()
    for broken, message in ((whole[:50], "r.jsonl:2: not JSON"), (whole.replace('"seed": 0', '"seed": -1'), "seed")):
        results.write_text(whole + broken)
        for option in ([], ["--dry-run"], ["--print"]):
            assert cli.main([*words, *option]) == 1
            assert message in capsys.readouterr().err
    assert carried == []


def test_smoke_never_goes_to_the_results_by_itself(
    words: list[str], tmp_path: Path, carried: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*words[:-2], "--profile", "smoke", "--only", "ours"]) == 0
    assert not (tmp_path / "results").exists()
    assert [one.profile for one in load_records(tmp_path / "runs/table2/smoke.jsonl")] == ["smoke"]


def test_errors_are_one_line(words: list[str], tmp_path: Path, capsys: Capture) -> None:
    cases = (
        (["--only", "nobody"], "no row 'nobody'"),
        (["--check", "ours", "first"], "is a number from 0"),
        (["--check", "ours", "0"], "isn't recorded"),
        (["--check", "teacher", "1"], "isn't trained"),
        (["--results", str(tmp_path)], "is a folder"),
        (["--experiments", str(tmp_path / "nowhere")], "there is no experiment"),
    )
    for more, message in cases:
        assert cli.main([*words, *more]) == 1
        assert message in capsys.readouterr().err
    for more in (["--jobs", "0"], ["--seeds", "-1"], ["--dry-run", "--print"], ["--profile", "paper"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, *more])
        assert stop.value.code == 2
        capsys.readouterr()


def test_a_row_of_the_real_table_from_its_first_step_to_its_record_and_again(
    repository: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In real processes: trained and measured in the smoke profile, not twice, and with the same numbers when checked."""
    monkeypatch.chdir(repository)
    monkeypatch.setitem(os.environ, "PYTHONPATH", str(repository))
    results = tmp_path / "r.jsonl"
    words = [
        "results",
        "--profile",
        "smoke",
        "--only",
        "ours",
        "--runs",
        str(tmp_path),
        "--results",
        str(results),
    ]
    assert cli.main([*words, "--keep-weights", str(tmp_path / "kept"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["carried_out"] == ["table2/ours, seed 0"]
    (made,) = load_records(results)
    assert made.metric("steps").value == 2 and made.metric("retrieval").n == made.metric("error").n >= 4
    assert (tmp_path / "kept/ours_0.safetensors").is_file()
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["carried_out"] == []
    assert cli.main([*words, "--check", "ours", "0"]) == 0
    assert "numbers are equal" in capsys.readouterr().out
    assert len(load_records(results)) == 1
