"""Table 2 of the paper as data: a file for each row, what the paper prints, and how sure its labels are.

Rows are the files in `experiments/table2/`: each names `../base.yaml` as its base and says only what differs. Beside the
folder lies `table2.yaml` with the order of the rows, their titles, the paper's numbers, and the profiles, whose settings
go between the base's and the row's own:

    seeds: [0, 1, 2]
    pairs: 200                  # sampled pairs that every system is measured on
    profiles:
      smoke: {seeds: [0], pairs: 8, settings: {...}}
    rows:
      adain: {title: ..., line: 5, paper: [18.34, 1.30, 12.04], label: order unknown, why: ...}
      teacher: {trained: false, ...}                    # the teacher's own swaps are measured
      teacher_simswap: {table: 1, paper: [95.94, 1.39], ...}

A file that it doesn't mention is a row, too: the last, without anything to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.training.settings import make_part, read_settings

FOLDER = Path("experiments/table2")
Label = Literal["by its numbers", "inferred", "order unknown", "guessed", "not in the paper"]
"""How it is known which printed line a row is (the table's own labels are lost in the text that we have): the text or
another table gives its numbers; the text's words fit no other line; they fit two lines; they say hardly anything."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        key: the file's stem.
        file: its settings.
        title: for people.
        line: its line in the printed table, 0 where it has none.
        table: of the paper that prints it.
        paper: identity retrieval (percent), pose error, FID as printed; as many as there are.
        label: how it is known that this line is this row; `why` says it in words.
        trained: a student is trained for each seed; if not, the teacher itself is measured, once.
    """

    key: str
    file: Path
    title: str
    line: int = 0
    table: int = 2
    paper: tuple[float, ...] = ()
    label: Label = "not in the paper"
    why: str = ""
    trained: bool = True


@dataclass(frozen=True)
class Profile:
    """How large the experiment is: settings over those of the rows' base, seeds of the runs, pairs that are measured."""

    seeds: tuple[int, ...] = (0, 1, 2)
    pairs: int = 200
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """All rows in their order, and the profiles by name."""

    name: str
    rows: tuple[Row, ...]
    profiles: Mapping[str, Profile]

    def row(self, key: str) -> Row:
        """A row by its key; InputError, naming those there are, if there is none."""
        for row in self.rows:
            if row.key == key:
                return row
        raise InputError(f"{self.name} has no row {key!r}; it has {', '.join(row.key for row in self.rows)}.")

    def profile(self, name: str) -> Profile:
        """A profile by its name; InputError if the table has none of that name."""
        if name not in self.profiles:
            raise InputError(f"{self.name} has no profile {name!r}; it has {', '.join(self.profiles)}.")
        return self.profiles[name]


@dataclass(frozen=True)
class _About:
    """What the table's file says of a row."""

    title: str = ""
    line: int = 0
    table: int = 2
    paper: tuple[float, ...] = ()
    label: str = "not in the paper"
    why: str = ""
    trained: bool = True


def read_table(folder: Path = FOLDER) -> Table:
    """The rows of a folder of experiments and what the file beside it says of them.

    Raises:
        ConfigError: a file is missing or says something that can't be.
    """
    beside = folder.with_suffix(".yaml")
    said = read_settings(beside)
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if not files:
        raise ConfigError(f"{folder} holds no experiments: run this from the repository's root, or name the folder")
    about = said.pop("rows", {})
    keys = [key for key in about if key in files] + [key for key in files if key not in about]
    rows = tuple(_row(key, files[key], about.get(key, {}), str(beside)) for key in keys)
    return Table(folder.name, rows, _profiles(said, str(beside)))


def _row(key: str, file: Path, said: object, where: str) -> Row:
    about: _About = make_part(_About, said, f"{where}: rows: {key}")
    if about.label not in get_args(Label):
        raise ConfigError(f"{where}: rows: {key}: label must be one of {get_args(Label)}, got {about.label!r}")
    if len(about.paper) > 3 or not all(isinstance(x, int | float) for x in about.paper):
        raise ConfigError(f"{where}: rows: {key}: paper holds up to three numbers, got {about.paper!r}")
    title = about.title or key.replace("_", " ")
    return Row(
        key=key, file=file, title=title, line=about.line, table=about.table, paper=about.paper,
        label=about.label, why=about.why, trained=about.trained,  # type: ignore[arg-type]  # checked above
    )  # fmt: skip


def _profiles(said: dict[str, Any], where: str) -> dict[str, Profile]:
    """`mini` is the table as its rows say; every other profile starts from it."""
    others = said.pop("profiles", {})
    mini: Profile = make_part(Profile, said, where)
    found = {"mini": mini}
    for name, values in others.items():
        usual = {"seeds": mini.seeds, "pairs": mini.pairs}
        found[name] = make_part(Profile, {**usual, **values}, f"{where}: profiles: {name}")
    for name, profile in found.items():
        if not profile.seeds or profile.pairs < 4 or len(set(profile.seeds)) != len(profile.seeds):
            raise ConfigError(f"{where}: {name} needs different seeds, and four pairs at least")
    return found
