"""The loop that every trainer shares: steps to the end or until a time, smoothed losses, looks, states to resume from.

A trainer (`Run`) knows how to take a step, how to look at itself and how to save; `train` does the rest. With several
processes all take the same steps and the first alone looks, logs and shows progress; the logged losses are those of its
own batches.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from mfs_lib.training.devices import DEVICES, Devices
from mfs_lib.training.runlog import Entry, RunLog


class Run(Protocol):
    """A trainer at a step of its run."""

    folder: Path
    devices: Devices
    step: int

    @property
    def steps(self) -> int:
        """At which step the run is done."""

    def train_step(self) -> dict[str, float]:
        """Take a step; returns the losses."""

    def look(self) -> Entry:
        """What it does on pictures that it never trains on; leaves `samples_NNNNNN.png`, if anything, in the folder."""

    def save(self) -> None:
        """Store everything needed to go on; all processes call it."""


@dataclass(frozen=True)
class Rhythm:
    """How often things happen, in steps."""

    look_every: int
    save_every: int
    smoothing: float  # share of a step's losses in the logged means
    title: str = "training"
    keep_absent: bool = True  # what a step doesn't measure keeps its mean; otherwise it is dropped


def train(run: Run, rhythm: Rhythm, *, until: float = math.inf, after_step: Callable[[], object] | None = None) -> None:
    """Train to the last step, or until a time (seconds since the epoch), and save.

    `after_step` is called after each step by the first process.
    """
    begun, mean, first = time.time(), dict[str, float](), run.devices.first
    hidden: dict[str, Any] = {} if first else {"disable": True}  # not set to False: the user's TQDM_DISABLE counts
    with (
        RunLog(run.folder, run.step) as log,
        tqdm(total=run.steps, initial=run.step, desc=rhythm.title, **hidden) as bar,
    ):
        while run.step < run.steps and _time_left(run, until):
            mean = smoothed(mean, run.train_step(), rhythm)
            bar.update()
            if first and after_step is not None:
                after_step()
            if first and (run.step % rhythm.look_every == 0 or run.step == run.steps):
                entry = {"seconds": time.time() - begun, **mean, **run.look()}
                log.add(run.step, entry, run.folder / f"samples_{run.step:06d}.png")
            if run.step % rhythm.save_every == 0:
                run.save()
    run.save()


def _time_left(run: Run, until: float) -> bool:
    return math.isinf(until) or run.devices.agree(time.time() < until)


def smoothed(mean: Mapping[str, float], values: Mapping[str, float], rhythm: Rhythm) -> dict[str, float]:
    """Running means of losses after another step; the first value of each is its first mean."""
    share = rhythm.smoothing
    new = {name: (1 - share) * mean.get(name, value) + share * value for name, value in values.items()}
    return {**mean, **new} if rhythm.keep_absent else new


def read_arguments(description: str | None, *, look_every: int) -> argparse.Namespace:
    """The command line of a trainer."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="YAML file")
    # torchrun takes --run for one of its own options, wherever it stands.
    parser.add_argument(
        "--run", "--run-folder", type=Path, required=True, help="folder of this run; resumes what it holds"
    )
    parser.add_argument("--look-every", type=int, default=look_every, help="steps between pictures and log lines")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop (resumably) after this long")
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="where to compute (default: CUDA if there is any)"
    )
    return parser.parse_args()
