"""Sentences about recorded numbers, so that the book's text says what was measured and not what was hoped for."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from mfs_lib.errors import InputError
from mfs_lib.reproduction.rank_statistics import Estimate, read_estimate
from mfs_lib.results import Metric, Record

MISSING = "(not recorded yet)"
"""What stands in the text where an experiment hasn't been run."""

_HARDLY, _SOME, _MUCH = 0.15, 0.35, 0.6


def found(record: Record | None, name: str) -> Estimate | None:
    """An estimate of a record; None where there is no record or it has no such number."""
    if record is None:
        return None
    try:
        return read_estimate(record.metrics, name)
    except InputError:
        return None


def interval(estimate: Estimate | None, digits: int = 2) -> str:
    """An estimate with its interval, or what stands for one that is missing."""
    return MISSING if estimate is None else estimate.text(digits)


def knows(weight_and_error: Estimate | None) -> str:
    """What a weight knows of an error, by their rank correlation: a good weight is low where the error is high."""
    if weight_and_error is None:
        return MISSING
    if not weight_and_error.sure:
        return "nothing that can be told from chance"
    if weight_and_error.value > 0:
        return "the opposite of what it should"
    size = -weight_and_error.value
    return "hardly anything" if size < _HARDLY else "a little" if size < _SOME else "much" if size < _MUCH else "most"


def swap_sentence(name: str, record: Record, oracle: Record, target: Record) -> str:
    """How good a teacher is, in plain words: whose face, how wrong, what becomes of the rest."""

    def value(of: Record, metric: str) -> float:
        return of.metric(metric).value

    nothing, truth = value(target, "cos_source"), value(oracle, "cos_source")
    way = 100 * (value(record, "cos_source") - nothing) / (truth - nothing)
    error, worst = value(record, "error"), value(target, "error")
    than = "less than" if error < worst else "more than"
    n = record.metric("error").n
    return (
        f"**{name}** goes {way:.0f} % of the way from the target's identity to that of the exact swap, as the judge sees it, "
        f"and is retrieved in {value(record, 'retrieval'):.0f} % of the cases (the exact swap in "
        f"{value(oracle, 'retrieval'):.0f} %, chance {100 / n:.1g} %). It errs by {error:.1f} grey levels, {than} doing "
        f"nothing ({worst:.1f}); {value(record, 'background'):.1f} grey levels outside the faces, where nothing should "
        f"change, and the pose moves by {value(record, 'pose_error'):.1f}° (the exact swap's: "
        f"{value(oracle, 'pose_error'):.1f}°)."
    )


def table_cells(records: Sequence[Record | None], name: str) -> list[str]:
    """One recorded metric of several experiments, three digits each."""

    def cell(record: Record | None) -> str:
        metric: Metric | None = next((m for m in record.metrics if m.name == name), None) if record else None
        return "–" if metric is None else f"{0 if abs(metric.value) < 5e-4 else metric.value:.3g}".replace("-", "−")

    return [cell(record) for record in records]


def placeholder(text: str) -> Figure:
    """A figure that says why there is none."""
    figure = Figure(figsize=(6.4, 0.8))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize="small")
    return figure
