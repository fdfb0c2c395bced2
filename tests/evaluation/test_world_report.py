"""The report of the face world: what it says about speed, and about strength for a world that is too weak."""

from __future__ import annotations

import os

import pytest

from mfs_lib.evaluation import world_report
from mfs_lib.faces.morphable import MorphableWorld, WorldSample


def test_speed_counts_every_picture_of_every_process() -> None:
    metric = world_report.rendering_speed(32, rounds=2, batch=3)
    processes = os.cpu_count() or 1
    assert metric.n == 6 * processes and metric.value > 0 and metric.unit == "images/s"
    assert f"{processes} processes" in (metric.protocol or "")


def test_a_swap_that_does_nothing_is_a_weak_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    world = MorphableWorld.load()
    strong = {m.name: m.value for m in world_report.truth_strength(world, 25)}

    def nothing(self: MorphableWorld, *, identity_of: WorldSample, attributes_of: WorldSample) -> WorldSample:
        return attributes_of

    monkeypatch.setattr(MorphableWorld, "swap", nothing)
    weak = {m.name: m.value for m in world_report.truth_strength(world, 25)}
    assert weak["cos_truth"] == pytest.approx(weak["cos_target"], abs=1e-5)
    assert strong["cos_truth"] > weak["cos_truth"] + 0.4
    assert strong["retrieval_truth"] > weak["retrieval_truth"] + 50
