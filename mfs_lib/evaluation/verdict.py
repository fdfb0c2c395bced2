"""Aims held against what was recorded: which were reached is computed, not claimed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mfs_lib.errors import InputError
from mfs_lib.results import Metric, Record

Outcome = Literal["reached", "missed", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A bound, in the metric's own unit, on a metric of an experiment; `text` says what is asked for."""

    text: str
    experiment: str
    metric: str
    bound: float
    at_least: bool = True

    def outcome(self, metric: Metric | None) -> Outcome:
        """Whether a measured value keeps to the bound (the bound itself does)."""
        if metric is None:
            return "not measured"
        kept = metric.value >= self.bound if self.at_least else metric.value <= self.bound
        return "reached" if kept else "missed"


FACE_WORLD: tuple[Aim, ...] = (
    Aim(text="the judge finds the source from the exact swap (percent)", experiment="world/truth_strength",
        metric="retrieval_truth", bound=85),
    Aim(text="it finds the source from the target (percent)", experiment="world/truth_strength",
        metric="retrieval_target", bound=1, at_least=False),
    Aim(text="pictures a second at 128 pixels on two cores", experiment="world/speed", metric="speed_128", bound=150),
)  # fmt: skip
"""What was asked of the face world before it was made."""

FIRST_STUDENT: tuple[Aim, ...] = (
    Aim(text="sampled: the judge finds the source where the exact swap lets it (percent)",
        experiment="first_student/world", metric="retrieval_given_truth", bound=85),
    Aim(text="sampled: error to the truth as a share of the target's", experiment="first_student/world",
        metric="error_ratio", bound=0.5, at_least=False),
    Aim(text="sampled: change of head pose (degrees)", experiment="first_student/world", metric="pose_error", bound=3,
        at_least=False),
    Aim(text="photographs: nearer to the source than the target was (percent)", experiment="first_student/london",
        metric="nearer_than_target", bound=95),
    Aim(text="photographs: nearer to the source than to the target (percent)", experiment="first_student/london",
        metric="nearer_to_source", bound=60),
)  # fmt: skip
"""What was asked of the first student before it was trained."""

SHIPPED_STUDENT: tuple[Aim, ...] = tuple(
    Aim(text=f"{people}: {text}", experiment=f"first_student/{place}", metric=metric, bound=bound, at_least=at_least)
    for people, place, found in (("sampled", "world", 95), ("photographs", "london", 80))
    for text, metric, bound, at_least in (
        ("the judge finds the source (percent)", "retrieval", found, True),
        ("change outside the face (grey levels)", "background", 1, False),
        ("change of head pose (degrees)", "pose_error", 2, False),
    )
)
"""What was asked of the package's student when the first one was there."""


def newest(records: Iterable[Record]) -> dict[str, Record]:
    """The newest record of each experiment, by name."""
    return {record.experiment: record for record in sorted(records, key=lambda record: record.created)}


def judged(records: Sequence[Record], aims: Iterable[Aim]) -> list[tuple[str, str, str, Outcome]]:
    """Rows (what, measured, wanted, outcome), one for each aim, by the newest record of its experiment."""
    found = {
        (name, metric.name): metric for name, record in newest(records).items() for metric in record.metrics
    }  # fmt: skip
    rows = []
    for aim in aims:
        metric = found.get((aim.experiment, aim.metric))
        wanted = f"{'≥' if aim.at_least else '≤'} {aim.bound:g}"
        rows.append((aim.text, str(metric) if metric else "–", wanted, aim.outcome(metric)))
    return rows


def sentence(outcomes: Iterable[Outcome]) -> str:
    """The outcomes in words, e.g. `3 of 5 aims are reached, 2 missed`. InputError where there are none."""
    found = list(outcomes)
    if not found:
        raise InputError("There is no aim to speak of.")
    parts = [f"{found.count('reached')} of {len(found)} aims are reached"]
    parts += [f"{found.count(other)} {other}" for other in ("missed", "not measured") if other in found]
    return ", ".join(parts)
