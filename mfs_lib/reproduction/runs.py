"""The runs of a table, and which of them are recorded already.

A record counts for a run if experiment, seed, profile and digest are the run's. The digest is over all settings of the run
but its seed, over how it is measured, and over the bytes of the networks that the settings name: who changes any of these
has other runs, and the old records stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.faces.morphable.model import MODEL_FILE
from mfs_lib.reproduction.table2 import Profile, Row, Table
from mfs_lib.results import Record
from mfs_lib.runinfo import file_digest
from mfs_lib.training.config import StudentExperiment, experiment_from_dict
from mfs_lib.training.settings import BASE, decisive, merged, read_settings
from mfs_lib.training.teachers.shipped import SHIPPED_TEACHERS, Part, shipped_file
from mfs_lib.weights.shipped import student_path

PAIRS_SEED = 20_267
"""Of the pairs that everything is measured on; no pool is drawn from it."""

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Run:
    """One training (or, of a teacher, one measurement) of a row.

    Attributes:
        table: name of the table.
        row, seed, profile: which run of it.
        experiment: its settings with that seed.
        pairs: how many pairs of people it is measured on.
        digest: SHA-256 over all that decides its numbers beside the code and the seed.
    """

    table: str
    row: Row
    seed: int
    profile: str
    experiment: StudentExperiment
    pairs: int
    digest: str

    @property
    def name(self) -> str:
        """Of the experiment in records: the file's path below experiments/, without its suffix."""
        return f"{self.table}/{self.row.key}"

    @property
    def steps(self) -> int:
        """Steps of its training; none for what isn't trained."""
        return self.experiment.steps if self.row.trained else 0

    def folder(self, runs: Path) -> Path:
        """Where it trains: runs of other settings never share a folder."""
        return runs / self.table / self.row.key / f"{self.seed}-{self.digest[:8]}"

    def is_in(self, records: Iterable[Record]) -> bool:
        """Whether it is recorded."""
        return any(self.made(record) for record in records)

    def made(self, record: Record) -> bool:
        """Whether a record is this run's."""
        key = (record.experiment, record.seed, record.profile, record.experiment_digest)
        return key == (self.name, self.seed, self.profile, self.digest)

    def __str__(self) -> str:
        """For messages: `table2/adain, seed 1`."""
        return f"{self.name}, seed {self.seed}"


def runs_of(
    table: Table, profile: str = "mini", *, seeds: Sequence[int] | None = None, only: Sequence[str] = ()
) -> list[Run]:
    """The runs of a table, seed by seed: an unfinished table then has all rows rather than all seeds of a few.

    Args:
        table: its rows.
        profile: by name.
        seeds: instead of the profile's.
        only: keys of rows; all where there are none.

    Raises:
        InputError: no such profile or row, or a negative seed.
        ConfigError: a row's settings can't be.
        AssetError: a network that the settings name isn't there.
    """
    chosen, wanted = table.profile(profile), [table.row(key) for key in only] or list(table.rows)
    numbers = chosen.seeds if seeds is None else tuple(dict.fromkeys(seeds))
    if not numbers or min(numbers) < 0:
        raise InputError(f"seeds are numbers from 0, got {list(numbers)}")
    first = {row.key: _run(table, row, profile, chosen) for row in wanted}
    out = []
    for seed in numbers:
        out += [_with_seed(first[row.key], seed) for row in wanted if row.trained]
        if seed == numbers[0]:
            out += [first[row.key] for row in wanted if not row.trained]
    return out


def _with_seed(run: Run, seed: int) -> Run:
    return replace(run, seed=seed, experiment=replace(run.experiment, seed=seed))


def _run(table: Table, row: Row, name: str, profile: Profile) -> Run:
    settings = row_settings(row.file, profile.settings)
    settings.pop("seed", None)
    experiment = experiment_from_dict({**settings, "seed": 0}, where=str(row.file))
    if experiment.data.seed is None:
        raise ConfigError(f"{row.file}: data needs a seed of its own, so that all runs learn from the same pictures")
    digest = settings_digest(settings, experiment, pairs=profile.pairs, trained=row.trained)
    return Run(table.name, row, 0, name, experiment, profile.pairs, digest)


def row_settings(file: Path, between: Mapping[str, Any]) -> dict[str, Any]:
    """A row's settings: its base's, over them `between`, and over them its own, so that a row stays what it is.

    Raises:
        ConfigError: a file is missing, or no mapping of settings.
    """
    everything = read_settings(file)
    own = yaml.safe_load(file.read_text("utf-8"))
    base = own.pop(BASE, None)
    if base is None:
        return merged(between, everything)
    return merged(merged(read_settings(file.parent / base), between), own)


def settings_digest(
    settings: Mapping[str, Any], experiment: StudentExperiment, *, pairs: int, trained: bool
) -> str:  # fmt: skip
    """SHA-256 over merged settings without the seed, how they are measured, and the networks that they name.

    What isn't trained depends on its teacher and on the size of its pictures alone.
    """
    decisive = dict(settings)
    if not trained:
        decisive = {"teacher": asdict(experiment.teacher), "size": experiment.data.size}
    files = {name: file_digest(path) for name, path in named_files(experiment, trained=trained).items()}
    measured = {"pairs": pairs, "seed": PAIRS_SEED}
    text = json.dumps({"settings": decisive, "measured": measured, "files": files}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def data_digest(run: Run) -> str:
    """SHA-256 over what decides the pictures that a run learns from: the face world and the settings of its data.

    Runs of one data digest learn from the same pictures, and those of one seed besides in the same order, as far as what
    they change lets them.
    """
    data = {"data": decisive(run.experiment.data), "world": file_digest(MODEL_FILE)}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def named_files(experiment: StudentExperiment, *, trained: bool = True) -> dict[str, Path]:
    """Files of the networks that an experiment names: its teacher's, its scorer's, its first weights'.

    Those that a package's registry pins (SimSwap's own weights) are not among them.

    Raises:
        AssetError: one of them is missing.
    """
    found = {"teacher": _file(experiment.teacher.name, "teacher")}
    if trained:
        found["scorer"] = _file(experiment.reweighting.scorer, "quality")
        for part, name in (("start", experiment.start), ("backbone", experiment.backbone)):
            found[part] = student_path(name) if name else None
    return {name: path for name, path in found.items() if path is not None}


def _file(name: str, part: Part) -> Path | None:
    if name in SHIPPED_TEACHERS:
        return shipped_file(name, part)
    if not name.endswith(_SUFFIX):
        return None
    if not Path(name).is_file():
        raise AssetError(f"there is no {part} {name}: check the name in the experiment, or make it")
    return Path(name)


def pools_folder(run: Run, runs: Path) -> Path:
    """Where the pictures that a run learns from are kept; the same for all runs of one data digest."""
    return runs / run.table / f"pools_{data_digest(run)[:12]}"


def missing(runs: Iterable[Run], records: Sequence[Record]) -> list[Run]:
    """Runs that aren't recorded, in their order."""
    return [run for run in runs if not run.is_in(records)]
