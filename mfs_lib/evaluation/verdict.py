"""Aims held against what was recorded: which were reached is computed, not claimed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mfs_lib.errors import InputError
from mfs_lib.results import Metric, Record

Outcome = Literal["reached", "missed", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A bound on a metric of a record, in the record's unit except that percentages are given as shares of one."""

    text: str
    metric: str
    bound: float
    at_least: bool = True

    def outcome(self, metric: Metric | None) -> Outcome:
        """Whether a measured value keeps to the bound."""
        if metric is None:
            return "not measured"
        value = metric.value / 100 if metric.unit == "percent" else metric.value
        return "reached" if (value >= self.bound) == self.at_least or value == self.bound else "missed"


#: What the first student was asked to do before it was trained.
FIRST_STUDENT: tuple[Aim, ...] = (
    Aim(text="sampled people: judge finds the source where it finds it in the truth", metric="world.retrieval_given_truth",
        bound=0.85),
    Aim(text="sampled people: error to the truth, as a share of the target's own", metric="world.error_ratio", bound=0.5,
        at_least=False),
    Aim(text="sampled people: change of head pose in degrees", metric="world.pose_error", bound=3.0, at_least=False),
    Aim(text="photographs: nearer to the source than the target was", metric="london.nearer_than_target", bound=0.95),
    Aim(text="photographs: nearer to the source than to the target", metric="london.nearer_to_source", bound=0.6),
)  # fmt: skip


def _plain(name: str) -> str:
    return name.replace(".", "_")


def find(record: Record, name: str) -> Metric | None:
    """The metric of that name (dots and underscores alike), or None."""
    return next((metric for metric in record.metrics if _plain(metric.name) == _plain(name)), None)


def judged(record: Record, aims: Iterable[Aim]) -> list[tuple[str, str, str, Outcome]]:
    """Rows (what, measured, wanted, outcome), one for each aim."""
    rows = []
    for aim in aims:
        metric = find(record, aim.metric)
        wanted = f"{'≥' if aim.at_least else '≤'} {aim.bound:g}"
        rows.append((aim.text, str(metric) if metric else "–", wanted, aim.outcome(metric)))
    return rows


def sentence(outcomes: Iterable[Outcome]) -> str:
    """The outcomes in words, e.g. `3 of 5 aims are reached, 2 are missed`. InputError where there are none."""
    found = list(outcomes)
    if not found:
        raise InputError("There is no aim to speak of.")
    parts = [f"{found.count('reached')} of {len(found)} aims are reached"]
    parts += [f"{n} missed" for n in (found.count("missed"),) if n]
    parts += [f"{n} not measured" for n in (found.count("not measured"),) if n]
    return ", ".join(parts)
