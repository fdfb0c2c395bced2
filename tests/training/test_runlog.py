"""A run's two logs hold the same, and forget what is made again."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from mfs_lib.training.runlog import EVENTS, RunLog, forget_log_after, log_entry


def events(folder: Path) -> list[tuple[int, str, Any]]:
    """What TensorBoard's files of a run hold, as (step, tag, number or PNG); starts of a session as (step, "start", None)."""
    found: list[tuple[int, str, Any]] = []
    for file in sorted((folder / EVENTS).iterdir()):
        data = file.read_bytes()
        while data:  # records: length, its checksum, the record, its checksum
            (length,) = struct.unpack_from("<Q", data)
            event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
            if event.HasField("session_log"):
                found.append((event.step, "start", None))
            for value in event.summary.value:
                picture = value.image.encoded_image_string
                found.append((event.step, value.tag, picture or pytest.approx(value.simple_value)))
    return found


def test_both_logs_hold_the_looks(tmp_path: Path) -> None:
    sheet = tmp_path / "samples_000004.png"
    Image.new("RGB", (5, 3), (200, 10, 30)).save(sheet)
    with RunLog(tmp_path, 0) as log:
        log.add(4, {"loss": 0.1234567, "status": "learning", "collapsed": True}, sheet)
        log.add(8, {"loss": 0.5, "collapsed": False}, tmp_path / "missing.png")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 4, "loss": 0.12346, "status": "learning", "collapsed": True},
        {"step": 8, "loss": 0.5, "collapsed": False},
    ]
    found = events(tmp_path)
    assert [(step, tag) for step, tag, _ in found] == [
        (4, "loss"),
        (4, "collapsed"),
        (4, "samples"),
        (8, "loss"),
        (8, "collapsed"),
    ]
    assert [value for _, tag, value in found if tag != "samples"] == [0.1234567, 1, 0.5, 0]
    with Image.open(io.BytesIO(found[2][2])) as picture:
        assert picture.size == (5, 3) and picture.convert("RGB").getpixel((1, 1)) == (200, 10, 30)


def test_a_run_that_goes_on_hides_what_it_makes_again(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0) as log:
        log.add(3, {"loss": 1.0})
        log.add(6, {"loss": 2.0})
    forget_log_after(tmp_path, 4)  # the last state was of step 4
    with RunLog(tmp_path, 4) as log:
        log.add(6, {"loss": 3.0})
    assert [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 3]
    assert (5, "start", None) in events(tmp_path)  # TensorBoard hides earlier events from step 5 on


def test_nothing_is_written_before_the_first_look(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0):
        pass
    forget_log_after(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
    log_entry(tmp_path, {"step": 0, "found": 0.1234567})
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 0, "found": 0.12346}
