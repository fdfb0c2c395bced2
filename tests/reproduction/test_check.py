"""A recorded run made again: equal numbers are said to be equal, any other is named."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mfs_lib.errors import InputError
from mfs_lib.reproduction import check as module
from mfs_lib.reproduction.check import check, compare
from mfs_lib.reproduction.runs import Run, runs_of
from mfs_lib.reproduction.schedule import Place
from mfs_lib.results import append_record
from tests.reproduction.toys import record, toy_table


def test_all_numbers_but_times_are_compared() -> None:
    first = record("toy/ours", 1, {"x": 1.0, "y": 2.0, "train_seconds": 5.0})
    same = record("toy/ours", 1, {"x": 1.0, "y": 2.0, "train_seconds": 9.0})
    assert (compare(first, same).compared, compare(first, same).differences) == (2, ())
    assert str(compare(first, same)) == "toy/ours, seed 1: all 2 numbers are equal"
    other = record("toy/ours", 1, {"x": 1.0000000000000002, "z": 4.0})
    found = compare(first, replace(other, device="cpu (AVX2), one thread"))
    assert found.differences == (("x", 1.0, 1.0000000000000002), ("y", 2.0, None), ("z", None, 4.0))
    assert "3 of 3 numbers differ (recorded on cpu," in str(found)
    assert "x 1.0, now 1.0000000000000002; y 2.0, now not measured; z not measured, now 4.0" in str(found)


def test_a_check_makes_the_run_again_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run itself is played by a script that writes the same record, with another number the second time."""
    (run,) = runs_of(toy_table(tmp_path), only=["ours"], seeds=[1])
    place = Place(runs=tmp_path / "runs", experiments=tmp_path / "experiments/toy", results=tmp_path / "r.jsonl")
    with pytest.raises(InputError, match="isn't recorded"):
        check(run, place)
    made = record("toy/ours", 1, {"x": 1.0}, digest=run.digest)
    append_record(place.results, made)
    values = [1.0, 4.0]
    left = run.folder(place.runs / "check") / "state.pt"

    def command(self: Place, wanted: Run) -> list[str]:
        assert wanted == run and not left.exists()
        again = {**asdict(made), "metrics": [{**asdict(made.metrics[0]), "value": values.pop(0)}]}
        code = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"
        return [sys.executable, "-S", "-c", code, str(self.results), json.dumps(again)]

    monkeypatch.setattr(Place, "command", command)
    monkeypatch.setattr(module, "prepare_all", lambda runs, place, show: None)
    assert check(run, place, show=False).differences == ()
    left.write_text("of the check before")
    assert check(run, place, show=False).differences == (("x", 1.0, 4.0),)
    assert len(place.results.read_text().splitlines()) == 1  # nothing was added to the records
    monkeypatch.setattr(Place, "command", lambda self, run: [sys.executable, "-S", "-c", "raise SystemExit('no luck')"])
    with pytest.raises(InputError, match=r"can't be made again: .*no luck"):
        check(run, place, show=False)
