"""The shared loop: when it looks, saves and stops, and what it logs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from torch.distributed.run import get_args_parser as torchrun_arguments

from mfs_lib.training import loop
from mfs_lib.training.devices import Devices
from mfs_lib.training.loop import Rhythm, smoothed, train
from mfs_lib.training.runlog import Entry
from tests.training.test_runlog import events


class _Counter:
    """A trainer whose loss is the number of the step."""

    steps = 7

    def __init__(self, folder: Path) -> None:
        self.folder, self.devices, self.step = folder, Devices(), 0
        self.saved: list[int] = []

    def train_step(self) -> dict[str, float]:
        self.step += 1
        return {"loss": float(self.step)}

    def look(self) -> Entry:
        Image.new("RGB", (6, 4), (self.step, 0, 0)).save(self.folder / f"samples_{self.step:06d}.png")
        return {"seen": self.step, "status": "learning", "collapsed": False}

    def save(self) -> None:
        self.saved.append(self.step)


def test_looks_states_and_the_end(tmp_path: Path) -> None:
    run, after = _Counter(tmp_path), []
    train(run, Rhythm(look_every=3, save_every=2, smoothing=0.5), after_step=lambda: after.append(run.step))
    assert run.step == 7 and run.saved == [2, 4, 6, 7] and after == [1, 2, 3, 4, 5, 6, 7]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["seen"], line["status"]) for line in lines] == [(s, s, "learning") for s in (3, 6, 7)]
    assert lines[0]["loss"] == pytest.approx(0.5 * (0.5 * (1 + 2)) + 0.5 * 3) and lines[0]["seconds"] >= 0
    assert {step for step, tag, _ in events(tmp_path) if tag == "samples"} == {3, 6, 7}


def test_a_time_stops_it_and_it_goes_on(tmp_path: Path) -> None:
    run = _Counter(tmp_path)
    train(run, Rhythm(look_every=3, save_every=2, smoothing=0.5), until=time.time() - 1)
    assert run.step == 0 and run.saved == [0] and list(tmp_path.iterdir()) == []
    run.step = 5
    train(run, Rhythm(look_every=3, save_every=2, smoothing=0.5), until=time.time() + 60)
    assert run.step == 7 and [json.loads(x)["step"] for x in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        6,
        7,
    ]


def test_means_of_what_a_step_does_not_measure_are_kept_or_dropped() -> None:
    keep, drop = (Rhythm(1, 1, smoothing=0.1, keep_absent=keep) for keep in (True, False))
    mean = smoothed({}, {"a": 1.0, "b": 2.0}, keep)
    assert mean == {"a": 1.0, "b": 2.0}
    assert smoothed(mean, {"a": 2.0}, keep) == {"a": pytest.approx(1.1), "b": 2.0}
    assert smoothed(mean, {"a": 2.0}, drop) == {"a": pytest.approx(1.1)}


def test_the_command_line_of_a_trainer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["trainer", "a.yaml", "--run", "b", "--minutes", "2"])
    found = loop.read_arguments("It trains.", look_every=9)
    assert (found.experiment, found.run, found.look_every, found.minutes, found.device) == (
        Path("a.yaml"),
        Path("b"),
        9,
        2,
        "auto",
    )
    long = ["a.yaml", "--run-folder", "b", "--minutes", "2", "--device", "cpu", "--look-every", "3"]
    passed = torchrun_arguments().parse_args(["--nproc-per-node", "2", "-m", "mfs_lib.training.gan", *long])
    assert (passed.training_script, passed.training_script_args) == ("mfs_lib.training.gan", long)
    monkeypatch.setattr(sys, "argv", ["trainer", *long])
    assert loop.read_arguments("It trains.", look_every=9).run == Path("b")
    monkeypatch.setattr(sys, "argv", ["trainer", "a.yaml", "--run", "b", "--device", "abacus"])
    with pytest.raises(SystemExit):
        loop.read_arguments("It trains.", look_every=9)
    assert "abacus" in capsys.readouterr().err
