"""What is recorded of a table, row by row: the newest record of each seed, all of them of one and the same settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mfs_lib.errors import AssetError, InputError
from mfs_lib.reproduction.runs import runs_of
from mfs_lib.reproduction.statistics import Difference, Mean, Values, difference, mean_over_seeds
from mfs_lib.reproduction.table2 import Row, Table
from mfs_lib.results import Record


@dataclass(frozen=True)
class Measured:
    """A row and its records, by seed."""

    row: Row
    records: Mapping[int, Record]

    def values(self, metric: str) -> Values:
        """A metric's values by seed. InputError, naming those there are, if a record hasn't got it."""
        return {seed: record.metric(metric).value for seed, record in self.records.items()}

    def mean(self, metric: str) -> Mean:
        """Mean and interval over the seeds."""
        return mean_over_seeds(self.values(metric))

    @property
    def data(self) -> set[str | None]:
        """Digests of the data that it learned from."""
        return {record.data_digest for record in self.records.values()}

    def total(self, metric: str) -> float:
        """The sum over seeds of a metric that a row may lack (then 0): times, verdicts."""
        return sum(m.value for record in self.records.values() for m in record.metrics if m.name == metric)

    @property
    def swaps(self) -> bool:
        """Whether most of its runs ended elsewhere than at 'output = target'."""
        return 2 * self.total("watch_collapsed") <= len(self.records)


Collected = Mapping[str, Measured]
"""Rows by key, in the table's order; without those that have no record."""


def present_digests(table: Table, profile: str) -> dict[str, str] | None:
    """The digest of each row's present settings; None where a network that they name isn't there."""
    try:
        return {run.row.key: run.digest for run in runs_of(table, profile)}
    except AssetError:
        return None


def collect(
    table: Table, records: Sequence[Record], profile: str = "mini", digests: Mapping[str, str] | None = None
) -> dict[str, Measured]:
    """The records of each row; of other settings than `digests` none, and without `digests` those of the newest's.

    Raises:
        InputError: records of one row were measured in different ways.
    """
    found = {}
    for row in table.rows:
        mine = [r for r in records if r.experiment == f"{table.name}/{row.key}" and r.profile == profile]
        mine.sort(key=lambda record: record.created)
        if not mine:
            continue
        wanted = mine[-1].experiment_digest if digests is None else digests.get(row.key)
        newest = {r.seed: r for r in mine if r.experiment_digest == wanted}
        if newest:
            found[row.key] = Measured(row, dict(sorted(newest.items())))
    _check_alike(found)
    return found


def _check_alike(found: Collected) -> None:
    """A column must compare like with like."""
    kinds: dict[str, tuple[str, str, str]] = {}
    for measured in found.values():
        for record in measured.records.values():
            for metric in record.metrics:
                kind = (metric.unit, metric.backend, metric.protocol)
                if kinds.setdefault(metric.name, kind) != kind:
                    raise InputError(
                        f"{record.experiment}: {metric.name} was measured in another way than in the rows before: {kind} "
                        f"and {kinds[metric.name]}. Remove the older records, and run again."
                    )


def compare_rows(first: Measured, second: Measured, metric: str) -> Difference | None:
    """The first row's mean less the second's, with its interval; None where there are too few runs.

    A row that isn't trained has one number, the same for all seeds.
    """
    if not first.row.trained and not second.row.trained:
        return None
    if not first.row.trained:
        turned = compare_rows(second, first, metric)
        return None if turned is None else turned.turned()
    fixed, same = not second.row.trained, first.data == second.data and len(first.data) == 1
    return difference(first.values(metric), second.values(metric), same_data=same, fixed=fixed)
