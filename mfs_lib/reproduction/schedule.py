"""Carries out many runs, each in a process of its own with one thread, so many at once as there are cores.

A run that fails is reported with its last words and leaves the others alone. Stopped by Ctrl-C or told to end, all processes
end; what they had saved is where the next call goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from mfs_lib.errors import MfsError, OutputError
from mfs_lib.reproduction.one_run import read_progress
from mfs_lib.reproduction.runs import Run, pools_folder

LOG = "output.log"
#: One thread each, whatever the machine. glibc would give every large tensor's memory back and ask for it again, and the
#: kernel would clear it each time.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "TQDM_DISABLE": "1",
}
_TRAINING_SHARE = 0.9  # of a run's time, for the bar: the rest is measuring
_GRACE = 10.0  # seconds that a process has to end by itself

Command = Callable[[Run], list[str]]


@dataclass(frozen=True)
class Failure:
    """A run that didn't come to its record: its process's code, its last words, and where all of them are."""

    run: Run
    code: int
    words: str
    log: Path

    def __str__(self) -> str:
        """One line."""
        return f"{self.run}: {self.words or f'ended with code {self.code}'} (all of it: {self.log})"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a table's files are, and where its records go.

    Attributes:
        runs: folder of all runs.
        experiments: folder of the rows.
        results: JSON-lines file of the records.
        keep_weights: folder for the students' weights, besides the run's.
    """

    runs: Path
    experiments: Path
    results: Path
    keep_weights: Path | None = None

    def command(self, run: Run) -> list[str]:
        """What carries out a run."""
        kept = [] if self.keep_weights is None else ["--keep-weights", str(self.keep_weights)]
        return [*self._begin(run), "--results", str(self.results), *kept]

    def prepare_command(self, run: Run) -> list[str]:
        """What draws a run's pictures."""
        return [*self._begin(run), "--prepare"]

    def _begin(self, run: Run) -> list[str]:
        module = "mfs_lib.reproduction.one_run"
        return [
            sys.executable, "-m", module, run.row.key, "--seed", str(run.seed), "--profile", run.profile,
            "--experiments", str(self.experiments), "--runs", str(self.runs),
        ]  # fmt: skip


def prepare_all(runs: Sequence[Run], place: Place, *, show: bool = True) -> None:
    """Draw the pictures of all trained runs, one after the other: no two processes ever draw the same ones.

    Raises:
        MfsError: they can't be made; says why.
    """
    wanted: dict[tuple[object, ...], Run] = {}
    for run in runs:
        if run.row.trained:
            taught = (run.experiment.teacher, run.experiment.reweighting.scorer)
            wanted.setdefault((pools_folder(run, place.runs), *taught), run)
    for (folder, *_), run in tqdm(wanted.items(), desc="pictures to learn from", disable=not show):
        assert isinstance(folder, Path)
        process = _start(place.prepare_command(run), folder / f"prepare_{run.row.key}.log")
        try:
            with _ends_when_told():
                code = process.wait()
        except BaseException:
            _end([process])
            raise
        if code:
            log = folder / f"prepare_{run.row.key}.log"
            raise MfsError(f"the pictures of {run.name} can't be made: {_last_words(log)} (all of it: {log})")


def carry_out_all(
    runs: Sequence[Run], place: Place, *, jobs: int, command: Command | None = None, show: bool = True
) -> list[Failure]:
    """Carry out runs, `jobs` at once; returns those that failed.

    Args:
        runs: in the order in which they begin.
        place: of files.
        jobs: processes at once.
        command: what carries out a run; `place.command` when None.
        show: a progress bar over the runs, with the time that is left.
    """
    waiting, going, failed = list(runs), dict[int, _Going](), list[Failure]()
    with _ends_when_told(), _alone(place.runs), _Bar(runs, place.runs, show) as bar:
        try:
            while waiting or going:
                while waiting and len(going) < jobs:
                    run = waiting.pop(0)
                    log = run.folder(place.runs) / LOG
                    process = _start((command or place.command)(run), log)
                    going[process.pid] = _Going(run, process, log)
                time.sleep(0.1)
                for one in [one for one in going.values() if one.process.poll() is not None]:
                    del going[one.process.pid]
                    bar.over(one.run)
                    if code := one.process.returncode:
                        failed.append(Failure(one.run, code, _last_words(one.log), one.log))
                bar.refresh([one.run for one in going.values()])
        finally:
            _end([one.process for one in going.values()])
    return failed


@dataclass(frozen=True)
class _Going:
    run: Run
    process: subprocess.Popen[bytes]
    log: Path


def _start(command: Sequence[str], log: Path, environment: Mapping[str, str] = ENVIRONMENT) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        # Ctrl-C reaches this process alone, which then ends the others.
        return subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask what still runs to end, with all that it started; after a while, make it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
        until = time.monotonic() + _GRACE
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.0, until - time.monotonic()))


def _last_words(log: Path) -> str:
    """The last line of a log that says anything."""
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


@contextmanager
def _ends_when_told() -> Iterator[None]:
    """Meanwhile SIGTERM is taken like Ctrl-C, so that nothing that was started goes on alone."""
    if threading.current_thread() is not threading.main_thread():  # only that one may be told
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone(runs: Path) -> Iterator[None]:
    """Nobody else carries out runs in this folder meanwhile, on systems that can lock files."""
    runs.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # pragma: no cover - not on Windows
        yield
        return
    with (runs / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"another process carries out runs in {runs}: wait for it, or name another folder"
            ) from error
        yield


class _Bar:
    """A bar over runs that counts parts of runs, so that the time left is known before the first is over."""

    def __init__(self, runs: Sequence[Run], folder: Path, show: bool) -> None:
        self._folder, self._show = folder, show
        self._done = {id(run): self._part(run) for run in runs}
        self._bar: tqdm[NoReturn] = tqdm(
            total=len(runs), initial=self._sum(), desc="runs", smoothing=0, disable=not show,
            bar_format="{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]",
        )  # fmt: skip

    def _part(self, run: Run) -> float:
        return _TRAINING_SHARE * read_progress(run.folder(self._folder))[0]

    def _sum(self) -> float:
        return sum(self._done.values())

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def over(self, run: Run) -> None:
        """A run ended, well or not."""
        self._done[id(run)] = 1.0

    def refresh(self, going: Sequence[Run]) -> None:
        """Read how far those are that go on."""
        if self._show:
            self._done |= {id(run): self._part(run) for run in going}
            done = self._sum()
            if done != self._bar.n:  # else a log of the command would get a line for every look at the processes
                self._bar.n = done
                self._bar.refresh()
