"""`mfs complexity`: text, JSON, CSV, records and errors."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from mfs_lib import cli
from mfs_lib.results import latest

Capture = pytest.CaptureFixture[str]


def test_text_names_verdicts_and_reasons(capsys: Capture) -> None:
    assert cli.main(["complexity", "identity-112", "mobilefaceswap-224"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("Ours (SimSwap) 224") and "video" in line)
    assert row.split()[4:] == ["mobilefaceswap-224", "0.50", "0.4998", "exact", "0.33", "0.3057", "0.3305", "0.3094",
                               "no,", "−6.2", "%"]  # fmt: skip
    assert "FaceShifter" not in out
    assert "the paper leaves out the final block" in out


def test_json_and_csv_hold_the_same(capsys: Capture) -> None:
    assert cli.main(["complexity", "simswap-224", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert cli.main(["complexity", "simswap-224", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [int(row["mac"]) for row in rows] == [row["mac"] for row in report["paper"]]
    assert [row["method"] for row in rows] == ["SimSwap"] * 2 + ["Teacher (SimSwap)"] * 2
    (system,) = report["systems"]
    assert system["video_mac"] == 48_111_157_248
    assert "latency" not in system


def test_latency_is_measured_and_recorded(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "r.jsonl"
    assert cli.main(["complexity", "mobilefaceswap-224", "--latency", "1", "--record", str(file), "--json"]) == 0
    (system,) = json.loads(capsys.readouterr().out)["systems"]
    assert system["latency"]["rounds"] == 1
    assert system["latency"]["speed"] is None  # the reference wasn't among them
    record = latest(file, "complexity/mobilefaceswap-224")
    assert record.metric("frame_median").value == pytest.approx(1e3 * system["latency"]["median"])
    assert record.metric("mac").value == 305_722_368


def test_list_and_errors(capsys: Capture) -> None:
    assert cli.main(["complexity", "--list"]) == 0
    assert "faceshifter-3x3" in capsys.readouterr().out
    assert cli.main(["complexity", "simswap"]) == 1
    assert "no system is called simswap; known: deepfakes-64" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["complexity", "--latency", "0"])
    assert "not a number from 1" in capsys.readouterr().err
