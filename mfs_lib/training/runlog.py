"""The log of a run, `log.jsonl` in its folder: one JSON object a line, each with its `step`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mfs_lib.weights.safe_io import write_text

LOG = "log.jsonl"


def log_entry(folder: Path, entry: Mapping[str, float | bool | str]) -> None:
    """Append an entry; fractions are rounded to five decimals."""
    rounded = {name: round(value, 5) if isinstance(value, float) else value for name, value in entry.items()}
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(rounded) + "\n")


def forget_log_after(folder: Path, step: int) -> None:
    """Drop what a stopped run logged after its last state: those steps are made again."""
    path = folder / LOG
    if path.is_file():
        lines = [line for line in path.read_text("utf-8").splitlines() if json.loads(line)["step"] <= step]
        write_text(path, "".join(line + "\n" for line in lines))
