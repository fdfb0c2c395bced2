"""How the runs of a table learned: what their logs say of people that they never trained on, kept beside the records.

`results/table2_curves.csv` has a line for each look of each run: experiment, seed, profile, the first eight digits of the
settings' digest (as in the record's `experiment_digest`), step, and `CURVES`.

| column      | what it says of the watched pairs                                                            |
|-------------|------------------------------------------------------------------------------------------------|
| cos_source  | SFace's cosine of result and source                                                            |
| cos_target  | SFace's cosine of result and target                                                            |
| error_ratio | mean absolute error to the exact swap, as a share of the untouched target's                    |
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfs_lib.errors import InputError
from mfs_lib.reproduction.runs import Run
from mfs_lib.training.runlog import LOG
from mfs_lib.weights.safe_io import write_text

CURVES = ("cos_source", "cos_target", "error_ratio")
_HEADER = ("experiment", "seed", "profile", "digest", "step", *CURVES)


@dataclass(frozen=True)
class Curve:
    """What one run's looks found: `steps`, and as many values for each of `CURVES`."""

    experiment: str
    seed: int
    profile: str
    digest: str
    steps: tuple[int, ...]
    values: dict[str, tuple[float, ...]]

    @property
    def key(self) -> tuple[str, int, str, str]:
        """Whose it is: experiment, seed, profile, digest."""
        return self.experiment, self.seed, self.profile, self.digest


def curves_file(results: Path) -> Path:
    """Where the curves of the runs in a file of records are."""
    return results.with_name(f"{results.stem}_curves.csv")


def load_curves(path: Path) -> list[Curve]:
    """All curves of a file, none if it isn't there.

    Raises:
        InputError: a file of something else.
    """
    if not path.is_file():
        return []
    looks: dict[tuple[str, int, str, str], list[tuple[float, ...]]] = {}
    try:
        for line in csv.DictReader(io.StringIO(path.read_text("utf-8"))):
            key = (line["experiment"], int(line["seed"]), line["profile"], line["digest"])
            looks.setdefault(key, []).append((int(line["step"]), *(float(line[name]) for name in CURVES)))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} holds no learning curves ({error!r}): remove it, and mfs results writes it anew"
        ) from error
    found = []
    for key, rows in looks.items():
        steps, *columns = zip(*rows, strict=True)
        found.append(Curve(*key, tuple(int(step) for step in steps), dict(zip(CURVES, columns, strict=True))))
    return found


def present(curves: Iterable[Curve], digests: Mapping[str, str] | None) -> list[Curve]:
    """Those made with the present settings of rows (key -> digest); all where these can't be known."""
    if digests is None:
        return list(curves)
    return [one for one in curves if digests.get(one.experiment.rpartition("/")[2], "")[:8] == one.digest]


def _curve(run: Run, runs: Path) -> Curve | None:
    """What a run's log says; None where there is no log, or where it doesn't reach the last step."""
    log = run.folder(runs) / LOG
    if not run.row.trained or not log.is_file():
        return None
    looks = [look for line in log.read_text("utf-8").splitlines() if set(CURVES) <= set(look := json.loads(line))]
    if not looks or looks[-1]["step"] < run.steps:
        return None
    values = {name: tuple(float(look[name]) for look in looks) for name in CURVES}
    return Curve(run.name, run.seed, run.profile, run.digest[:8], tuple(int(look["step"]) for look in looks), values)


def note_curves(wanted: Sequence[Run], runs: Path, path: Path) -> int:
    """Add the curves of finished runs whose logs are in `runs`; the number of those that are new.

    Curves of other settings or of other runs stay as they are.
    """
    known = load_curves(path)
    made = [curve for run in wanted if (curve := _curve(run, runs)) is not None]
    new = [curve for curve in made if curve not in known]
    if new:
        replaced = {curve.key for curve in new}
        kept = [curve for curve in known if curve.key not in replaced]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _text([*kept, *new]))
    return len(new)


def _text(curves: Iterable[Curve]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEADER)
    for curve in sorted(curves, key=lambda c: (c.profile, c.experiment, c.digest, c.seed)):
        for place, step in enumerate(curve.steps):
            values = [curve.values[name][place] for name in CURVES]
            writer.writerow([*curve.key, step, *values])
    return out.getvalue()
