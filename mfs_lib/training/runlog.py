"""The log of a run: `log.jsonl` in its folder, one JSON object a line with its `step`, and the same for TensorBoard.

TensorBoard's files are written by tensorboardX (one wheel of 0.1 MB); tensorboard itself, the viewer, is six wheels of 20 MB.
To look at them, install it and run ``tensorboard --logdir RUN``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mfs_lib.weights.safe_io import write_text

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

LOG = "log.jsonl"
EVENTS = "tensorboard"
"""Folder, within the run's, of the files for TensorBoard."""

Entry = Mapping[str, float | bool | str]


def log_entry(folder: Path, entry: Entry) -> None:
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


class RunLog:
    """Both logs of a run that goes on from a step; a context that closes them.

    TensorBoard hides what a stopped run wrote after that step.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self._from = folder, step
        self._events: SummaryWriter | None = None

    def add(self, step: int, values: Entry, picture: Path | None = None) -> None:
        """Log a look: its values (texts don't go to TensorBoard) and its sheet of samples."""
        log_entry(self.folder, {"step": step, **values})
        events = self._open_events()
        for name, value in values.items():
            if not isinstance(value, str):
                events.add_scalar(name, float(value), step)
        if picture is not None and picture.is_file():
            with Image.open(picture) as sheet:
                events.add_image("samples", np.asarray(sheet.convert("RGB")), step, dataformats="HWC")
        events.flush()

    def _open_events(self) -> SummaryWriter:
        if self._events is None:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(self.folder / EVENTS), purge_step=self._from + 1 if self._from else None)
        return self._events

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()
