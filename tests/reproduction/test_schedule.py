"""Many runs in processes of their own: all are carried out, a crash stays alone, what is stopped ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mfs_lib.errors import MfsError, OutputError
from mfs_lib.reproduction import schedule
from mfs_lib.reproduction.one_run import PROGRESS
from mfs_lib.reproduction.runs import Run, runs_of
from mfs_lib.reproduction.schedule import Place, carry_out_all, prepare_all
from tests.reproduction.toys import toy_table


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Folders of a test."""
    return Place(runs=tmp_path / "runs", experiments=tmp_path / "experiments/toy", results=tmp_path / "r.jsonl")


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """The seven runs of the toy table."""
    return runs_of(toy_table(tmp_path))


def _python(code: str, *words: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, words)]


_TRACE = """
import os, sys, time
with open(sys.argv[1], "a") as out:
    out.write("begin\\n")
time.sleep(float(sys.argv[2]))
with open(sys.argv[1], "a") as out:
    out.write("end\\n")
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_than_jobs_at_once_and_all_in_the_end(runs: list[Run], place: Place, tmp_path: Path, jobs: int) -> None:
    trace = tmp_path / "trace"
    failed = carry_out_all(runs[:4], place, jobs=jobs, command=lambda run: _python(_TRACE, trace, 0.4), show=False)
    words = trace.read_text().split()
    most = going = 0
    for word in words:
        going += 1 if word == "begin" else -1
        most = max(most, going)
    assert failed == [] and words.count("end") == 4
    assert most == jobs


def test_a_crash_is_reported_with_its_last_words_and_loses_nobody_else(runs: list[Run], place: Place) -> None:
    def command(run: Run) -> list[str]:
        if run.row.key == "ours":
            return _python("print('on the way'); print('  out of luck  '); print(); raise SystemExit(3)")
        return _python("import sys; open(sys.argv[1], 'w').close()", run.folder(place.runs) / "done")

    failed = carry_out_all(runs, place, jobs=2, command=command, show=False)
    assert sorted((one.run.row.key, one.run.seed, one.code) for one in failed) == [("ours", 0, 3), ("ours", 1, 3)]
    assert failed[0].words == "out of luck" and str(failed[0]).startswith("toy/ours, seed 0: out of luck (all of it: ")
    assert failed[0].log.read_text().startswith("on the way\n")
    others = [run for run in runs if run.row.key != "ours"]
    assert all((run.folder(place.runs) / "done").is_file() for run in others)


def test_processes_have_one_thread_and_no_terminal(runs: list[Run], place: Place, tmp_path: Path) -> None:
    code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w')); print(repr(sys.stdin.read()))"
    out = tmp_path / "environment.json"
    assert carry_out_all(runs[:1], place, jobs=1, command=lambda run: _python(code, out), show=False) == []
    found = json.loads(out.read_text())
    assert {name: found[name] for name in schedule.ENVIRONMENT} == schedule.ENVIRONMENT
    assert found["OMP_NUM_THREADS"] == "1" and found["PATH"] == os.environ["PATH"]
    assert (runs[0].folder(place.runs) / schedule.LOG).read_text() == "''\n"


def test_stopping_ends_the_processes(runs: list[Run], place: Place, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"

    def stop(run: Run) -> list[str]:
        if run is runs[1]:
            while not (pid.is_file() and pid.read_text()):
                time.sleep(0.02)
            raise KeyboardInterrupt
        return _python(code, pid)

    with pytest.raises(KeyboardInterrupt):
        carry_out_all(runs[:2], place, jobs=2, command=stop, show=False)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_being_told_to_end_ends_the_processes_too(runs: list[Run], place: Place, tmp_path: Path) -> None:
    pid, before = tmp_path / "pid", signal.getsignal(signal.SIGTERM)
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"

    def tell() -> None:
        while not (pid.is_file() and pid.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    teller = threading.Thread(target=tell)
    teller.start()
    with pytest.raises(KeyboardInterrupt):
        carry_out_all(runs[:1], place, jobs=1, command=lambda run: _python(code, pid), show=False)
    teller.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_calls_never_share_a_folder(runs: list[Run], place: Place, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    slow = threading.Thread(
        target=carry_out_all, args=(runs[:1], place),
        kwargs={"jobs": 1, "command": lambda run: _python(_TRACE, trace, 3), "show": False},
    )  # fmt: skip
    slow.start()
    while not trace.is_file():
        time.sleep(0.02)
    with pytest.raises(OutputError, match="another process"):
        carry_out_all(runs[:1], place, jobs=1, show=False)
    slow.join()
    assert carry_out_all(runs[:1], place, jobs=1, command=lambda run: _python("pass"), show=False) == []


def test_the_bar_counts_parts_of_runs(runs: list[Run], place: Place, capfd: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    folder = runs[0].folder(place.runs)
    folder.mkdir(parents=True)
    (folder / PROGRESS).write_text(json.dumps({"step": 2, "steps": 4, "seconds": 10.0}))
    bar = schedule._Bar(runs[:2], place.runs, True)
    assert bar._bar.n == pytest.approx(0.45)
    bar.over(runs[0])
    bar.refresh([runs[1]])
    assert bar._bar.n == 1.0
    with bar:
        pass
    assert "1.0/2" in capfd.readouterr().err


def test_commands_name_everything(runs: list[Run], place: Place, tmp_path: Path) -> None:
    keeping = Place(runs=place.runs, experiments=place.experiments, results=place.results, keep_weights=tmp_path / "w")
    begun = [
        sys.executable, "-m", "mfs_lib.reproduction.one_run", "plain", "--seed", "0", "--profile", "mini",
        "--experiments", str(place.experiments), "--runs", str(place.runs),
    ]  # fmt: skip
    kept = ["--results", str(place.results), "--keep-weights", str(tmp_path / "w")]
    assert keeping.command(runs[0]) == begun + kept
    assert place.prepare_command(runs[0]) == [*begun, "--prepare"]


def test_pictures_are_drawn_once_and_one_after_the_other(
    runs: list[Run], place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, asked = tmp_path / "trace", list[str]()

    def command(self: Place, run: Run) -> list[str]:
        asked.append(str(run))
        return _python(_TRACE, trace, 0.1)

    monkeypatch.setattr(Place, "prepare_command", command)
    prepare_all(runs, place, show=False)
    assert asked == ["toy/plain, seed 0"]  # all rows learn from the same pictures and the same teacher
    assert trace.read_text().split() == ["begin", "end"]
    prepare_all([run for run in runs if not run.row.trained], place, show=False)
    assert len(asked) == 1
    monkeypatch.setattr(Place, "prepare_command", lambda self, run: _python("raise SystemExit('no world')"))
    with pytest.raises(MfsError, match="toy/plain can't be made: no world"):
        prepare_all(runs, place, show=False)
