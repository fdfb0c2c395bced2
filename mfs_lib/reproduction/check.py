"""One recorded run made again from nothing, and every number compared: equal to the last bit on the same kind of CPU."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from mfs_lib.errors import InputError
from mfs_lib.reproduction.runs import Run
from mfs_lib.reproduction.schedule import Place, carry_out_all, prepare_all
from mfs_lib.results import Record, load_records

TIMES = ("train_seconds",)
"""Metrics that are another time's."""


@dataclass(frozen=True)
class Comparison:
    """A recorded run and the same made again: how many numbers were compared, and (name, then, now) of those that differ.

    A number that only one of them has stands as None in the other's place.
    """

    recorded: Record
    again: Record
    compared: int
    differences: tuple[tuple[str, float | None, float | None], ...]

    def __str__(self) -> str:
        """For people."""
        what = f"{self.recorded.experiment}, seed {self.recorded.seed}"
        if not self.differences:
            return f"{what}: all {self.compared} numbers are equal"
        listed = "; ".join(f"{name} {_text(then)}, now {_text(now)}" for name, then, now in self.differences)
        kinds = {(record.device, record.machine) for record in (self.recorded, self.again)}
        why = f" (recorded on {self.recorded.device}, {self.recorded.machine})" if len(kinds) > 1 else ""
        return f"{what}: {len(self.differences)} of {self.compared} numbers differ{why}: {listed}"


def _text(value: float | None) -> str:
    return "not measured" if value is None else repr(value)


def compare(recorded: Record, again: Record) -> Comparison:
    """Compare all numbers of two records but for times."""
    then, now = ({m.name: m.value for m in r.metrics if m.name not in TIMES} for r in (recorded, again))
    names = list(dict.fromkeys([*then, *now]))
    differing = tuple((name, then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name))
    return Comparison(recorded, again, len(names), differing)


def check(run: Run, place: Place, *, show: bool = True) -> Comparison:
    """Make a recorded run again in a folder of its own, and compare.

    Raises:
        InputError: it isn't recorded with these settings, or can't be made again.
    """
    recorded = [record for record in load_records(place.results) if run.made(record)]
    if not recorded:
        raise InputError(
            f"{run} isn't recorded in {place.results} with the present settings: there is nothing to check."
        )
    runs = place.runs / "check"
    shutil.rmtree(run.folder(runs), ignore_errors=True)
    fresh = run.folder(runs) / "record.jsonl"
    there = Place(runs=runs, experiments=place.experiments, results=fresh)
    prepare_all([run], there, show=show)
    if failed := carry_out_all([run], there, jobs=1, show=show):
        raise InputError(f"the run can't be made again: {failed[0]}")
    (again,) = load_records(fresh)
    return compare(max(recorded, key=lambda record: record.created), again)
