"""The benchmark measures what it says, tells it to people and programs, and records it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfs_lib.cli import build_parser, main
from mfs_lib.deploy.benchmark import Entry, with_ratios
from mfs_lib.errors import InputError
from mfs_lib.reproduction.bench import GROUPS, Bench, record_bench, run_bench, sampled_person
from mfs_lib.reproduction.bench_video import Memory
from mfs_lib.results import load_records


def _entry(name: str, median: float, **more: object) -> Entry:
    values = {"kind": "network", "ratio_to_released": None, "rounds": 3, "threads": 1, **more}
    return Entry(name=name, runtime="none 1", resolution="224x224", median_ms=median, p95_ms=2 * median, **values)  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    entries = with_ratios([
        _entry("released", 9.0, max_difference=0.0, mac=305_722_368, baseline="released"),
        _entry("packed", 6.0, max_difference=2e-7, mac=305_722_368, baseline="released"),
        _entry("paste-1920x1080", 2.0, kind="stage"),
    ])  # fmt: skip
    return Bench(entries=tuple(entries), memory=Memory(10.0, 70.0, 140.0, 240.0, 150.0), processor="a processor")


def test_json_has_the_fields_that_programs_read(bench: Bench) -> None:
    found = json.loads(json.dumps(bench.to_dict()))
    packed = found["entries"][1]
    names = ("name", "runtime", "threads", "resolution", "median_ms", "p95_ms", "ratio_to_released")
    assert [packed[name] for name in names] == ["packed", "none 1", 1, "224x224", 6.0, 12.0, 1.5]
    assert found["memory_mb"]["above_interpreter"] == 130.0
    assert found["entries"][2]["ratio_to_released"] is None


def test_people_get_a_table(bench: Bench) -> None:
    text = bench.text()
    assert "packed" in text and "1.5" in text and "a processor" in text
    assert "130 MB above the interpreter, 60 of them" in text


def test_records_keep_every_number(bench: Bench, tmp_path: Path) -> None:
    record_bench(bench, tmp_path / "bench.jsonl", rounds=3, wall_seconds=1.0)
    records = {record.experiment: record for record in load_records(tmp_path / "bench.jsonl")}
    assert set(records) == {"bench/released", "bench/packed", "bench/paste-1920x1080", "bench/memory"}
    assert records["bench/packed"].metric("ratio_to_baseline").value == 1.5
    assert "a processor" in records["bench/packed"].metric("median_ms").protocol
    assert [m.name for m in records["bench/paste-1920x1080"].metrics] == ["median_ms", "p95_ms"]


def test_nothing_to_measure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for groups in ([], ["phones"]):
        with pytest.raises(InputError, match="networks, stages, video"):
            run_bench(groups)  # type: ignore[arg-type]
    assert main(["bench", "phones"]) == 1
    assert "nothing to measure" in capsys.readouterr().err
    parsed = build_parser().parse_args(["bench", "--threads", "1,4"])
    assert (parsed.threads, parsed.groups) == ((1, 4), [])
    assert GROUPS == ("networks", "stages", "video")


def test_the_same_person_is_measured_every_time() -> None:
    (first, target), (second, again) = sampled_person(64), sampled_person(64)
    assert (target == again).all()
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert (a == b).all()
