"""Records: what is written comes back, what is malformed is refused, tables compare like with like."""

from __future__ import annotations

import json
import math
import platform
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfs_lib import runinfo
from mfs_lib.errors import InputError
from mfs_lib.results import Metric, Record, append_record, latest, load_records, render_report, render_table


def _metric(value: float = 92.345, **changes: object) -> Metric:
    values = {
        "name": "retrieval",
        "value": value,
        "unit": "percent",
        "backend": "mobilefacenet",
        "protocol": "500 pairs",
        "n": 500,
    }
    return Metric(**(values | changes))  # type: ignore[arg-type]


def _record(*metrics: Metric, **changes: object) -> Record:
    values = {
        "experiment": "student/first.yaml",
        "profile": "mini",
        "seed": 0,
        "metrics": metrics or (_metric(),),
        "device": "cpu",
        "wall_seconds": 1.5,
    }
    return Record(**(values | changes))  # type: ignore[arg-type]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "student.jsonl"
    first, second = _record(), _record(seed=1, data_digest="a" * 64)
    append_record(path, first)
    append_record(path, second)
    assert load_records(path) == [first, second]
    assert load_records(tmp_path) == [first, second]
    assert load_records(tmp_path, profile="paper") == []
    assert load_records(tmp_path / "missing.jsonl") == []


@given(value=st.floats(allow_nan=False, allow_infinity=False), protocol=st.text(min_size=1), seed=st.integers(0, 2**63))
def test_any_finite_value_and_text_survives(
    tmp_path_factory: pytest.TempPathFactory, value: float, protocol: str, seed: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "r.jsonl"
    try:
        protocol.encode()
    except UnicodeEncodeError:  # lone surrogates are no text that a file could hold
        return
    record = _record(_metric(value, protocol=protocol), seed=seed)
    append_record(path, record)
    assert load_records(path) == [record]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"profile": "huge"}, "profile"),
        ({"seed": -1}, "seed"),
        ({"experiment": "Bad Name"}, "experiment"),
        ({"experiment_digest": "xyz"}, "experiment_digest"),
        ({"device": ""}, "device"),
        ({"wall_seconds": -1.0}, "wall_seconds"),
        ({"created": "yesterday"}, "created"),
        ({"metrics": ()}, "metrics"),
        ({"metrics": (_metric(n=0),)}, "metrics[0].n"),
        ({"metrics": (_metric(name="Retrieval %"),)}, "metrics[0].name"),
        ({"metrics": (_metric(protocol=""),)}, "metrics[0].protocol"),
    ],
)
def test_malformed_records_are_refused_and_leave_no_file(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(InputError, match=re.escape(named)):
        append_record(path, replace(_record(), **changes))
    assert not path.exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(InputError, match="finite"):
        append_record(path, _record(_metric(value)))
    assert not path.exists()


@pytest.mark.parametrize("line", ["{", '{"experiment": "a"}', "[]", "null"])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    append_record(path, _record())
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"r\.jsonl:2"):
        load_records(path)


def test_runs_that_end_together_lose_no_record(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    threads = [threading.Thread(target=append_record, args=(path, _record(seed=seed))) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.seed for record in load_records(path)) == list(range(16))


def test_latest_is_by_time_and_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    append_record(path, _record(seed=2, created="2026-02-01T00:00:00Z"))
    append_record(path, _record(seed=1, created="2026-01-01T00:00:00Z"))
    assert latest(path, "student/first.yaml").seed == 2
    with pytest.raises(InputError, match="run the experiment"):
        latest(path, "student/second.yaml")
    with pytest.raises(InputError, match="retrieval"):
        latest(path, "student/first.yaml").metric("pose")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(92.345, "percent", "92.3 %"), (1.072, "degree", "1.07°"), (151.4, "images/s", "151 images/s"), (0.5, "1", "0.5")],
)
def test_numbers_read_well(value: float, unit: str, text: str) -> None:
    assert str(_metric(value, unit=unit)) == text


def test_tables_compare_like_with_like() -> None:
    pose = _metric(1.5, name="pose_error", unit="degree")
    table = render_table([_record(), _record(_metric(80.0), pose, seed=1)])
    assert table.splitlines()[0] == "| experiment | profile | seed | retrieval | pose_error |"
    assert table.splitlines()[2].endswith("| 0 | 92.3 % | – |")
    assert table.splitlines()[3].endswith("| 1 | 80 % | 1.5° |")
    with pytest.raises(InputError, match="different ways"):
        render_table([_record(), _record(_metric(backend="sface"))])


def test_the_report_shows_the_newest_run(tmp_path: Path) -> None:
    assert render_report(tmp_path) == "Nothing is recorded yet."
    append_record(tmp_path / "r.jsonl", _record(_metric(10.0), created="2026-01-01T00:00:00Z"))
    append_record(tmp_path / "r.jsonl", _record(_metric(20.0), created="2026-02-01T00:00:00Z"))
    assert "20 %" in render_report(tmp_path)
    assert "10 %" not in render_report(tmp_path)


def test_records_name_the_kind_of_machine_but_not_the_machine(tmp_path: Path) -> None:
    append_record(tmp_path / "r.jsonl", _record())
    values = json.loads((tmp_path / "r.jsonl").read_text())
    assert values["machine"].endswith("cores")
    assert platform.node() not in values["machine"].split()
    assert values["package_version"] == runinfo.package_version()


def test_digests_depend_on_names_and_bytes(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).write_bytes(content)
    whole = runinfo.file_digest(tmp_path)
    assert whole == runinfo.file_digest(tmp_path / "a", tmp_path / "b")
    assert whole != runinfo.file_digest(tmp_path / "b", tmp_path / "a")
    (tmp_path / "b").write_bytes(b"3")
    assert whole != runinfo.file_digest(tmp_path)
    with pytest.raises(FileNotFoundError):
        runinfo.file_digest(tmp_path / "c")
