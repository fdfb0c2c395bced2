"""Learning curves: taken from the logs of finished runs, kept beside the records, replaced when a run is made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfs_lib.errors import InputError
from mfs_lib.reproduction.curves import CURVES, Curve, curves_file, load_curves, note_curves, present
from mfs_lib.reproduction.drawing import curve_plot
from mfs_lib.reproduction.runs import Run, runs_of
from mfs_lib.reproduction.table2 import read_table
from tests.reproduction.toys import toy_table


def _log(run: Run, runs: Path, values: list[float], last: int | None = None) -> None:
    folder = run.folder(runs)
    folder.mkdir(parents=True, exist_ok=True)
    steps = [1 + i for i in range(len(values) - 1)] + [run.steps if last is None else last]
    looks = [{"step": s, "rec": 0.1, **dict.fromkeys(CURVES, v)} for s, v in zip(steps, values, strict=True)]
    lines = [{"step": 0, "code_explained": 0.5}, *looks]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _key(run: Run) -> tuple[str, int, str, str]:
    return run.name, run.seed, run.profile, run.digest[:8]


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return runs_of(toy_table(tmp_path))


def test_finished_runs_leave_their_curves_once(tmp_path: Path, runs: list[Run]) -> None:
    path, folder = curves_file(tmp_path / "out/table2.jsonl"), tmp_path / "runs"
    assert path == tmp_path / "out/table2_curves.csv" and load_curves(path) == []
    first, second, teacher = runs[0], runs[1], next(run for run in runs if not run.row.trained)
    _log(first, folder, [0.25, 0.5, 0.625])
    _log(second, folder, [0.5, 0.75], last=second.steps - 1)  # stopped on its way
    _log(teacher, folder, [0.5], last=0)
    assert note_curves(runs, folder, path) == 1
    (found,) = load_curves(path)
    values = (0.25, 0.5, 0.625)
    wanted = Curve(first.name, first.seed, "mini", first.digest[:8], (1, 2, first.steps), dict.fromkeys(CURVES, values))
    assert present([found], {first.row.key: first.digest}) == present([found], None) == [found]
    assert present([found], {first.row.key: "0" * 64}) == []
    assert found == wanted and found.key == _key(first) != _key(second)
    written = path.read_bytes()
    assert note_curves(runs, folder, path) == 0 and path.read_bytes() == written


def test_a_run_made_again_replaces_its_curve_and_no_other(tmp_path: Path, runs: list[Run]) -> None:
    path, folder = tmp_path / "c.csv", tmp_path / "runs"
    for run in runs[:2]:
        _log(run, folder, [0.25, 0.5])
    assert note_curves(runs, folder, path) == 2
    _log(runs[0], folder, [0.25, 0.75])
    assert note_curves(runs, folder, path) == 1
    found = load_curves(path)
    assert [curve.values["cos_source"][-1] for run in runs[:2] for curve in found if curve.key == _key(run)] == [
        0.75,
        0.5,
    ]
    assert note_curves([], tmp_path / "elsewhere", path) == 0 and load_curves(path) == found


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "experiment,seed,profile,digest,step,cos_source\ntable2/x,0,mini,d,one,1\n"]
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.csv").write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"c\.csv holds no learning curves"):
        load_curves(tmp_path / "c.csv")


def test_every_seed_is_a_line_and_every_row_one_entry(tmp_path: Path, runs: list[Run]) -> None:
    folder, path = tmp_path / "runs", tmp_path / "c.csv"
    for run in runs:
        if run.row.key in ("ours", "plain"):
            _log(run, folder, [0.25, 0.5])
    note_curves(runs, folder, path)
    panels = {"cos_source": "cosine", "error_ratio": "error"}
    figure = curve_plot(read_table(tmp_path / "experiments/toy"), load_curves(path), ["plain", "ours"], panels)
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
    legend = figure.axes[-1].get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["plain one", "ours"]
