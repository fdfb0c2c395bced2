"""Aims are judged by the newest records, in both directions, and what is missing is said."""

from __future__ import annotations

import pytest

from mfs_lib.errors import InputError
from mfs_lib.evaluation.verdict import FACE_WORLD, FIRST_STUDENT, SHIPPED_STUDENT, Aim, judged, newest, sentence
from mfs_lib.results import Metric, Record


def _record(created: str, **values: float) -> Record:
    metrics = tuple(Metric(name=name, value=value, protocol="p", n=1) for name, value in values.items())
    return Record(
        experiment="e", profile="mini", seed=0, metrics=metrics, device="cpu", wall_seconds=1.0, created=created
    )


HIGH = Aim(text="high", experiment="e", metric="a", bound=2)
LOW = Aim(text="low", experiment="e", metric="b", bound=2, at_least=False)
OTHER = Aim(text="other", experiment="f", metric="a", bound=2)


@pytest.mark.parametrize(("a", "b", "wanted"), [(2, 2, "reached"), (3, 1, "reached"), (1, 3, "missed")])
def test_bounds_hold_in_their_direction(a: float, b: float, wanted: str) -> None:
    rows = judged([_record("2026-01-01T00:00:00Z", a=a, b=b)], (HIGH, LOW))
    assert [row[-1] for row in rows] == [wanted, wanted]


def test_the_newest_record_counts() -> None:
    records = [_record("2026-01-02T00:00:00Z", a=3), _record("2026-01-01T00:00:00Z", a=1)]
    assert newest(records)["e"] is records[0]
    assert judged(records, (HIGH,))[0][1:] == ("3", "≥ 2", "reached")


def test_what_was_not_measured_is_said() -> None:
    rows = judged([_record("2026-01-01T00:00:00Z", a=1)], (HIGH, LOW, OTHER))
    assert sentence(row[-1] for row in rows) == "0 of 3 aims are reached, 1 missed, 2 not measured"
    with pytest.raises(InputError):
        sentence([])


def test_aims_name_a_metric_once() -> None:
    for aims in (FACE_WORLD, FIRST_STUDENT, SHIPPED_STUDENT):
        assert len({(aim.experiment, aim.metric) for aim in aims}) == len(aims)
