"""The measuring of formats: records with parity, size and times for every layout and size."""

from __future__ import annotations

from mfs_lib.deploy.format_report import SIZES, measure, measure_pair, table, take_turns
from mfs_lib.deploy.formats import format_named


def test_work_takes_turns() -> None:
    calls: list[str] = []
    times = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls[:4] == ["a", "b", "a", "b"] and calls.count("a") == calls.count("b") > 3
    assert all(0 <= time.fastest <= time.median <= time.slowest for time in times.values())


def test_a_record_for_each_format() -> None:
    form = format_named("onnx")
    (record,) = measure([form], rounds=1)
    assert record.experiment == "export/onnx"
    assert record.metric("result_max").value < form.tolerance and record.metric("result_max").n == 50
    assert record.metric("change_mean").value > 1 / 255
    assert record.metric("bytes").value > 1_000_000
    for layout in form.layouts:
        for size in SIZES:
            assert record.metric(f"median_{layout}_{size}").value > 0
    assert table([record]).count("\n") == 2


def test_a_record_for_the_pair() -> None:
    record = measure_pair(rounds=1)
    assert record.experiment == "export/two-file"
    assert record.metric("result_max").value < 1e-4 and record.metric("change_mean").value > 1 / 255
    assert record.metric("median_folded_224").value > 0
