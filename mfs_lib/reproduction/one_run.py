"""One run of a table, from its first step to its record: `python -m mfs_lib.reproduction.one_run ours --seed 0`.

`mfs results` starts such a process for each run. It has one thread, so that numbers don't depend on how many cores there
are. Stopped, it goes on where it was: its folder holds the training's state, and `progress.json` tells how far it is and
how long it took, earlier attempts included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.evaluate import Backends
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.reproduction.measure import System, measure, student_system, swaps_of, teacher_system
from mfs_lib.reproduction.runs import PAIRS_SEED, Run, data_digest, named_files, pools_folder, runs_of
from mfs_lib.reproduction.sampled_pairs import draw_pairs
from mfs_lib.reproduction.table2 import FOLDER, read_table
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.training.collapse import CollapseDetector
from mfs_lib.training.prepare import prepare
from mfs_lib.training.student import Trainer
from mfs_lib.training.teachers import load_teacher
from mfs_lib.weights.safe_io import write_text
from mfs_lib.weights.shipped import save_student

PROGRESS = "progress.json"
WEIGHTS = "student.safetensors"
LOOKS = 10
"""Looks of the collapse detector in a run."""

_BEAT = 2.0  # seconds between notes of the progress


class Training(Protocol):
    """What is wanted of a trainer; `mfs_lib.training.student.Trainer` is one."""

    step: int
    average: MobileFaceSwap
    detector: CollapseDetector

    def begin(self) -> None:
        """Resume, or do what comes before the first step."""

    def fit(self, *, look_every: int) -> None:
        """Train to the last step."""


def trainer_of(run: Run, runs: Path) -> Training:
    """The trainer of a run, over the pools that it shares with others."""
    return Trainer(run.experiment, prepare(run.experiment, pools_folder(run, runs)), run.folder(runs))


def carry_out(run: Run, runs: Path, *, keep_weights: Path | None = None) -> Record:
    """Train if the row is trained, measure, and return the record (it isn't written here)."""
    folder = run.folder(runs)
    folder.mkdir(parents=True, exist_ok=True)
    if run.row.trained:
        trainer = trainer_of(run, runs)
        seconds = _train(trainer, run, folder)
        system = student_system(trainer.average, run.experiment.crop_size)
        about = _about_training(trainer.detector, run, seconds)
        _keep(trainer.average, run, folder / WEIGHTS, keep_weights)
    else:
        system, about, seconds = teacher_system(load_teacher(run.experiment.teacher)), (), 0.0
    return _measured(run, system, about, seconds)


def _train(trainer: Training, run: Run, folder: Path) -> float:
    """Train to the end; returns the seconds that all attempts took together."""
    with _noted(trainer, run, folder) as spent:
        trainer.begin()
        trainer.fit(look_every=max(1, run.steps // LOOKS))
    return spent[0]


@contextmanager
def _noted(trainer: Training, run: Run, folder: Path) -> Iterator[list[float]]:
    """Note the progress every few seconds meanwhile, by a thread that reads the trainer's step and nothing else."""
    before, begun, over = read_progress(folder)[1], time.monotonic(), threading.Event()
    spent = [before]

    def note() -> None:
        spent[0] = before + time.monotonic() - begun
        text = json.dumps({"step": trainer.step, "steps": run.steps, "seconds": round(spent[0], 1)})
        write_text(folder / PROGRESS, text + "\n")

    def beat() -> None:
        while not over.wait(_BEAT):
            note()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield spent
    finally:
        over.set()
        thread.join()
        note()


def read_progress(folder: Path) -> tuple[float, float]:
    """How far a run is (share of its steps) and how many seconds it took; (0, 0) before it begins."""
    try:
        said = json.loads((folder / PROGRESS).read_text("utf-8"))
        return said["step"] / max(1, said["steps"]), float(said["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, 0.0


def _about_training(detector: CollapseDetector, run: Run, seconds: float) -> tuple[Metric, ...]:
    """What the training itself says: its length, and the collapse detector's last word."""
    said = detector.summary()
    looks = max(1, len(detector.looks))

    def metric(name: str, value: float, protocol: str, unit: str = "1", backend: str = "sface") -> Metric:
        return Metric(name=name, value=float(value), unit=unit, backend=backend, protocol=protocol, n=looks)

    found = [
        metric(
            "steps", run.steps, f"optimiser steps of the student; L_per by {run.experiment.perceptual}", backend="none"
        ),
        metric("train_seconds", seconds, "wall time of all attempts, one thread", "s", backend="none"),
        metric("watch_collapsed", said["status"] == "collapsed", "1 if the run stayed at 'output = target' to its end"),
        metric("watch_recovered", said["status"] == "recovered", "1 if it stayed there and left again"),
        metric("watch_at_target", said["status"] == "at target", "1 if its last look, but no long stay, was there"),
    ]
    for name, what in (("gain", "how much nearer to the source than the target was"), ("change", "change of pixels")):
        if name in said:
            found.append(metric(f"watch_{name}", float(said[name]), f"{what}, mean over the watched pairs at the end"))
    return tuple(found)


def _keep(student: MobileFaceSwap, run: Run, path: Path, shipped: Path | None) -> None:
    """Write the averaged weights in half precision; a copy under the row's and seed's name where it was asked for."""
    about = {"experiment": run.name, "seed": str(run.seed), "steps": str(run.steps), "settings": run.digest}
    about["pictures"] = str(run.experiment.data.size)  # which are enlarged to the crops that it works on
    about["perceptual"] = run.experiment.perceptual  # the network of L_per
    save_student(path, student, crop_size=run.experiment.crop_size, metadata=about, dtype=torch.float16)
    if shipped is not None:
        shipped.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, shipped / f"{run.row.key}_{run.seed}{path.suffix}")


def _measured(run: Run, system: System, about: tuple[Metric, ...], seconds: float) -> Record:
    begun = time.monotonic()
    pairs = draw_pairs(run.pairs, run.experiment.data.size, PAIRS_SEED)
    found = measure(swaps_of(system, pairs), pairs, backends=Backends.load())
    record = found.record(
        run.name, wall_seconds=seconds + time.monotonic() - begun, profile=run.profile, seed=run.seed,
        device=f"cpu ({torch.backends.cpu.get_cpu_capability()}), one thread", data_digest=data_digest(run),
    )  # fmt: skip
    return replace(record, metrics=(*record.metrics, *about), experiment_digest=run.digest)


def find_run(row: str, seed: int, profile: str, experiments: Path) -> Run:
    """A run by the words of the command line.

    Raises:
        InputError: no such row, or another seed than 0 of a row that isn't trained.
    """
    for run in runs_of(read_table(experiments), profile, seeds=[seed], only=[row]):
        if run.seed == seed:
            return run
    raise InputError(f"{row} isn't trained: its one run has the seed 0.")


def prepare_pictures(run: Run, runs: Path) -> None:
    """Draw what a run learns from and let its teacher swap it, unless that is there; nothing is trained."""
    named_files(run.experiment)
    prepare(run.experiment, pools_folder(run, runs))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", help="stem of the row's file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--experiments", type=Path, default=FOLDER, help=f"folder of the rows (default: {FOLDER})")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    parser.add_argument("--results", type=Path, help="JSON-lines file that the record is appended to (default: none)")
    parser.add_argument("--keep-weights", type=Path, metavar="DIR", help="also put the student's weights there")
    parser.add_argument("--prepare", action="store_true", help="draw the pictures to learn from, and nothing else")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = find_run(options.row, options.seed, options.profile, options.experiments)
    if options.prepare:
        prepare_pictures(run, options.runs)
        return
    record = carry_out(run, options.runs, keep_weights=options.keep_weights)
    if options.results is not None:
        append_record(options.results, record)


if __name__ == "__main__":
    main()
