"""Records of what was measured, and the tables that are made of nothing else.

A run appends one line of JSON to a file under `results/`, checked against `schemas/result.json`. Numbers in the book's
text and tables are read from these records, so each can be traced to an experiment, a seed, a commit and its data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from mfs_lib import runinfo
from mfs_lib.errors import InputError

#: Units that read better as a sign right behind the number.
_SIGNS = {"1": "", "percent": " %", "degree": "°"}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measured number: `value` in `unit`, over `n` samples, by `backend` (what measured), after `protocol`."""

    name: str
    value: float
    unit: str = "1"
    backend: str = "none"
    protocol: str
    n: int

    def __str__(self) -> str:
        """Three significant digits with the unit: `92.3 %`, `1.07°`, `151 images/s`."""
        digits = f"{self.value:.0f}" if abs(self.value) >= 100 else f"{self.value:.3g}"
        return digits + _SIGNS.get(self.unit, f" {self.unit}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run. The fields about version, commit, machine and time fill themselves in when a run makes the record."""

    experiment: str
    profile: str
    seed: int
    metrics: tuple[Metric, ...]
    device: str
    wall_seconds: float
    experiment_digest: str | None = None
    data_digest: str | None = None
    git_commit: str | None = field(default_factory=runinfo.git_commit)
    package_version: str = field(default_factory=runinfo.package_version)
    machine: str = field(default_factory=runinfo.machine)
    created: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def metric(self, name: str) -> Metric:
        """The metric called `name`; InputError, naming those there are, if the run didn't measure it."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        known = ", ".join(metric.name for metric in self.metrics)
        raise InputError(f"{self.experiment} has no metric {name!r}; it has {known}.")


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(files("mfs_lib").joinpath("schemas/result.json").read_text("utf-8")))


def _check(values: Any, where: str) -> None:
    for error in _validator().iter_errors(values):
        raise InputError(f"{where}: {error.json_path.removeprefix('$.')}: {error.message}.")


def append_record(path: Path, record: Record) -> None:
    """Append `record` to the JSON-lines file `path` (made with its folder where missing), flushed to the disk.

    The line is written by a single call at the file's end: earlier records are never touched, and runs that end at the
    same moment don't mix their lines. Raises InputError for a record that breaks the schema (NaN and infinity included)
    and leaves the file alone then.
    """
    values = asdict(record)
    values["metrics"] = list(values["metrics"])
    _check(values, f"{record.experiment}: not a valid record")
    try:
        line = json.dumps(values, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise InputError(f"{record.experiment}: a metric is not a finite number; nothing was recorded.") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (line + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _parse(line: str, where: str) -> Record:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg}); remove the line or run the experiment again.") from error
    _check(values, where)
    return Record(**(values | {"metrics": tuple(Metric(**metric) for metric in values["metrics"])}))


def load_records(path: Path, *, experiment: str | None = None, profile: str | None = None) -> list[Record]:
    """The records of a JSON-lines file, or of every `*.jsonl` below a folder, in the order in which they were written.

    `experiment` and `profile` keep only those that match. Empty where there is nothing; InputError, with file and line,
    for a line that isn't a valid record.
    """
    sources = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path] if path.exists() else []
    records = [
        _parse(line, f"{source.name}:{number}")
        for source in sources
        for number, line in enumerate(source.read_text("utf-8").split("\n"), 1)
        if line.strip()
    ]
    return [
        record
        for record in records
        if (experiment is None or record.experiment == experiment) and (profile is None or record.profile == profile)
    ]


def latest(path: Path, experiment: str, *, profile: str | None = None) -> Record:
    """The newest record of `experiment`; InputError where it was never run."""
    records = load_records(path, experiment=experiment, profile=profile)
    if not records:
        raise InputError(f"There is no record of {experiment!r} in {path.name}: run the experiment first.")
    return max(records, key=lambda record: record.created)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; cells are turned to text, and `|` inside them is escaped."""

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(header), "|" + "---|" * len(header), *(line(row) for row in rows)])


def render_table(records: Sequence[Record], metrics: Sequence[str] | None = None) -> str:
    """A Markdown table of `records`: a row per run, a column per metric (all of them unless some are named).

    A metric that a run didn't measure shows as `–`; one measured by different backends or protocols in different runs
    raises InputError, because a column must compare like with like.
    """
    names = list(dict.fromkeys(metric.name for record in records for metric in record.metrics))
    names = list(metrics) if metrics is not None else names
    for name in names:
        kinds = {(m.unit, m.backend, m.protocol) for record in records for m in record.metrics if m.name == name}
        if len(kinds) > 1:
            raise InputError(f"{name!r} was measured in different ways and can't share a column: {sorted(kinds)}.")
    rows = []
    for record in records:
        found = {metric.name: str(metric) for metric in record.metrics}
        rows.append([record.experiment, record.profile, record.seed, *(found.get(name, "–") for name in names)])
    return markdown_table(["experiment", "profile", "seed", *names], rows)


def render_report(folder: Path) -> str:
    """Everything recorded below `folder`, newest run of each experiment and profile, as Markdown lists."""
    newest: dict[tuple[str, str], Record] = {}
    for record in sorted(load_records(folder), key=lambda record: record.created):
        newest[record.experiment, record.profile] = record
    parts = []
    for (experiment, profile), record in sorted(newest.items()):
        header = ["metric", "value", "n", "backend", "protocol"]
        rows = [[metric.name, metric, metric.n, metric.backend, metric.protocol] for metric in record.metrics]
        parts.append(
            f"## {experiment} ({profile}, seed {record.seed}, {record.created})\n\n{markdown_table(header, rows)}"
        )
    return "\n\n".join(parts) or "Nothing is recorded yet."


if __name__ == "__main__":
    print(render_report(Path("results")))
