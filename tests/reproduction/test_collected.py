"""Records become rows: the newest of each seed, of one and the same settings, measured alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mfs_lib.errors import InputError
from mfs_lib.reproduction.collected import collect, compare_rows, present_digests
from mfs_lib.reproduction.runs import runs_of
from mfs_lib.reproduction.table2 import read_table
from mfs_lib.results import Metric, load_records
from tests.reproduction.toys import BASE, record, toy_table

OLD, NEW = "a" * 64, "b" * 64


def test_the_newest_record_of_each_seed_counts(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    records = [
        record("toy/ours", 0, {"x": 1.0}, created="2026-01-01T00:00:00Z"),
        record("toy/ours", 1, {"x": 5.0}, created="2026-01-02T00:00:00Z"),
        record("toy/ours", 0, {"x": 3.0}, created="2026-01-03T00:00:00Z"),
        record("toy/ours", 2, {"x": 100.0}, profile="smoke"),
        record("other/ours", 2, {"x": 100.0}),
        record("toy/gone", 2, {"x": 100.0}),
    ]
    found = collect(table, records)
    assert list(found) == ["ours"]
    assert found["ours"].values("x") == {0: 3.0, 1: 5.0}
    assert found["ours"].mean("x").value == 4.0
    assert found["ours"].total("x") == 8.0 and found["ours"].total("y") == 0
    with pytest.raises(InputError, match="no metric 'y'"):
        found["ours"].values("y")


def test_records_of_other_settings_do_not_mix(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    records = [
        record("toy/ours", 0, {"x": 1.0}, digest=OLD), record("toy/ours", 1, {"x": 1.0}, digest=OLD),
        record("toy/ours", 0, {"x": 2.0}, digest=NEW, created="2026-02-01T00:00:00Z"),
    ]  # fmt: skip
    assert collect(table, records)["ours"].values("x") == {0: 2.0}
    assert collect(table, records, digests={"ours": OLD})["ours"].values("x") == {0: 1.0, 1: 1.0}
    assert collect(table, records, digests={"ours": "c" * 64}) == {}


def test_the_present_digests_are_those_of_the_runs(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    assert present_digests(table, "mini") == {run.row.key: run.digest for run in runs_of(table)}
    base = tmp_path / "experiments/base.yaml"
    base.write_text(yaml.safe_dump({**BASE, "teacher": str(tmp_path / "none.safetensors")}))
    assert present_digests(table, "mini") is None


def test_rows_measured_in_different_ways_share_no_column(tmp_path: Path) -> None:
    first = record("toy/ours", 0, {"x": 1.0})
    second = replace(first, experiment="toy/plain", metrics=(Metric(name="x", value=1.0, protocol="other", n=1),))
    with pytest.raises(InputError, match="x was measured in another way"):
        collect(toy_table(tmp_path), [first, second])


def test_a_row_without_training_is_one_number_on_either_side(tmp_path: Path) -> None:
    values = {0: 1.0, 1: 3.0}
    records = [record("toy/ours", seed, {"x": value}) for seed, value in values.items()]
    records += [record("toy/plain", seed, {"x": value + 1 + seed}, data="e" * 64) for seed, value in values.items()]
    found = collect(toy_table(tmp_path), [*records, record("toy/teacher", 0, {"x": 5.0})])
    ours, teacher = found["ours"], found["teacher"]
    forth, back = compare_rows(ours, teacher, "x"), compare_rows(teacher, ours, "x")
    assert forth is not None and back is not None
    assert (forth.value, forth.method, back.value) == (-3.0, "one-sample", 3.0)
    assert (back.low, back.high) == (-forth.high, -forth.low)
    assert compare_rows(teacher, teacher, "x") is None
    welch = compare_rows(ours, found["plain"], "x")
    assert welch is not None and welch.method == "welch"
    paired = compare_rows(ours, ours, "x")
    assert paired is not None and (paired.method, paired.value, paired.p) == ("paired", 0.0, 1.0)


def test_the_recorded_table_is_that_of_the_present_settings(repository: Path) -> None:
    """Whoever changes a row's settings runs it again (`mfs results`). Rows may be missing: the chapter names them."""
    records = load_records(repository / "results" / "table2.jsonl", profile="mini")
    if not records:
        pytest.skip("nothing of Table 2 is recorded yet")
    runs = runs_of(read_table(repository / "experiments" / "table2"))
    stale = [(r.experiment, r.seed) for r in records if not any(run.made(r) for run in runs)]
    assert stale == []
