"""The collapse detector on traces of healthy, late, collapsed and recovered runs, and on runs broken otherwise."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import InputError
from mfs_lib.training import collapse
from mfs_lib.training.collapse import CollapseDetector, Look, take_look

HEALTHY = (0.5, 0.4, 0.020)
TARGET = (0.15, 0.85, 0.010)
LOOKS = 20


def _trace(*parts: tuple[int, tuple[float, float, float]]) -> list[Look]:
    """A run of twenty looks: so many of each (cos_source, cos_target, change)."""
    values = [value for count, value in parts for _ in range(count)]
    return [Look((i + 1) / LOOKS, value[0], value[1], 0.14, value[2]) for i, value in enumerate(values)]


def _follow(trace: list[Look]) -> tuple[list[str], CollapseDetector]:
    detector = CollapseDetector()
    return [detector.add(look) for look in trace], detector


def test_a_healthy_run_is_never_flagged() -> None:
    status, detector = _follow(_trace((1, TARGET), (19, HEALTHY)))
    assert status[0] == "at target" and set(status[1:]) == {"learning"}
    assert not detector.collapsed


def test_a_run_that_stays_at_the_target_is_flagged_after_three_looks_and_a_tenth_of_the_run() -> None:
    status, detector = _follow(_trace((20, TARGET)))
    assert status[:4] == ["at target", "at target", "collapsed", "collapsed"] and status[-1] == "collapsed"
    assert detector.collapsed
    summary = detector.summary()
    assert summary["collapsed"] is True and summary["status"] == "collapsed"
    assert summary["gain"] == pytest.approx(0.01)


def test_a_late_bloomer_is_not_flagged() -> None:
    status, detector = _follow(_trace((2, TARGET), (18, HEALTHY)))
    assert "collapsed" not in status and detector.status == "learning"
    often = [Look(i / 1000, *TARGET[:2], 0.14, TARGET[2]) for i in range(90)]  # many looks in its first tenth
    status, _ = _follow([*often, Look(0.1, *HEALTHY[:2], 0.14, HEALTHY[2])])
    assert "collapsed" not in status


def test_a_run_that_leaves_collapse_is_recovered_and_may_fall_back() -> None:
    status, detector = _follow(_trace((8, TARGET), (12, HEALTHY)))
    assert status[7] == "collapsed" and status[8] == "recovered" == status[-1]
    assert not detector.collapsed
    status, _ = _follow(_trace((5, TARGET), (5, HEALTHY), (2, TARGET), (2, HEALTHY), (6, TARGET)))
    assert status[10:12] == ["at target", "at target"]  # a moment is no collapse, also the second time
    assert status[13] == "recovered" and status[-1] == "collapsed"


@pytest.mark.parametrize(
    ("values", "at_target"),
    [
        ((0.14, 1.0, 0.0), True),  # the target itself
        ((0.13, 0.82, 0.020), True),  # blurred: pixels change as much as a swap changes them
        ((0.10, 0.45, 0.002), True),  # recognisers can be upset by little
        ((0.38, 0.73, 0.010), False),  # half a swap
        ((0.14, 0.40, 0.100), False),  # noise: broken, not the target
    ],
)
def test_what_counts_as_the_target(values: tuple[float, float, float], at_target: bool) -> None:
    assert Look(0.5, values[0], values[1], 0.14, values[2]).at_target is at_target


def test_thresholds_leave_room_for_the_exact_swap() -> None:
    assert not Look(0.5, 0.55, 0.39, 0.14, 0.020).at_target
    assert collapse.LEAST_GAIN < 0.41 / 4 and 0.39 + 2 * 0.10 <= collapse.STILL_TARGET < 0.82 - 2 * 0.05
    assert collapse.UNCHANGED < 0.020 / 2


def _embeddings(seed: int) -> Tensor:
    return F.normalize(torch.randn(12, 32, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_a_look_measures_means_of_cosines() -> None:
    source, target = _embeddings(0), _embeddings(1)
    look = take_look(0.5, result=source, source=source, target=target, change=torch.tensor([0.1, 0.3]))
    assert look.cos_source == pytest.approx(1) and look.change == pytest.approx(0.2)
    assert look.cos_before == look.cos_target == pytest.approx(float((source * target).sum(1).mean()))
    assert not look.at_target
    assert take_look(0.5, result=target, source=source, target=target, change=0.0).at_target
    with pytest.raises(InputError, match="embeddings"):
        take_look(0.5, result=source[:3], source=source, target=target, change=0.0)


def test_a_broken_run_goes_on_from_its_state() -> None:
    trace = _trace((8, TARGET), (12, HEALTHY))
    whole, _ = _follow(trace)
    for stop in (2, 8, 12):
        first, second = CollapseDetector(), CollapseDetector()
        status = [first.add(look) for look in trace[:stop]]
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert status + [second.add(look) for look in trace[stop:]] == whole
        assert second.looks == trace


def test_looks_come_in_order_and_none_is_needed() -> None:
    detector = CollapseDetector()
    assert detector.summary() == {"status": "learning", "collapsed": False}
    detector.add(Look(0.5, *HEALTHY[:2], 0.14, HEALTHY[2]))
    with pytest.raises(InputError, match="order"):
        detector.add(Look(0.4, *HEALTHY[:2], 0.14, HEALTHY[2]))
