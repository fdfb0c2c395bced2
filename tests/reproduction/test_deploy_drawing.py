"""Figures of the deployment chapter."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.reproduction.deploy_drawing import STAGES, newest, roofline, stage_bars, variant_sheet
from mfs_lib.results import Metric, Record


def _record(name: str, created: str = "2026-01-01T00:00:00Z", **values: float) -> Record:
    metrics = tuple(Metric(name=key, value=value, protocol="test", n=1) for key, value in values.items())
    return Record(
        experiment=name, profile="mini", seed=0, metrics=metrics, device="cpu", wall_seconds=1.0, created=created
    )  # fmt: skip


def test_the_roofline_shows_every_network_at_its_place() -> None:
    entries = {"a": _record("bench/a", median_ms=5.0, mac=3e8), "b": _record("bench/b", median_ms=400.0, mac=4.8e10)}
    axes = roofline(entries, {"a": "ours", "b": "theirs"}).axes[0]
    points = {line.get_label(): tuple(float(v[0]) for v in line.get_data()) for line in axes.lines}
    assert (points["ours"], points["theirs"]) == ((0.3, 5.0), (48.0, 400.0))
    assert sum("G MAC/s" in text.get_text() for text in axes.texts) == 4
    with pytest.raises(InputError, match="mfs bench"):
        roofline(entries, {"c": "missing"})


def test_bars_add_up_to_the_frame() -> None:
    stages = {"1280x720": dict.fromkeys(STAGES, 1.0), "1920x1080": dict.fromkeys(STAGES, 2.0)}
    axes = stage_bars(stages).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert max(ends) == 8.0
    assert len(axes.patches) == 2 * len(STAGES)


def test_the_sheet_shows_swaps_and_their_differences() -> None:
    reference, other = torch.zeros(3, 8, 8), torch.full((3, 8, 8), 0.02)
    figure = variant_sheet(torch.ones(3, 8, 8), {"float32": reference, "int8": other}, times=10)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 6
    assert abs(float(shown[-1].mean()) / 255 - 0.7) < 0.01 or abs(float(shown[-1].mean()) - 0.7) < 0.01


def test_the_newest_record_of_each_counts() -> None:
    records = [_record("bench/a", "2026-02-01T00:00:00Z", x=2.0), _record("bench/a", x=1.0), _record("other/a", x=3.0)]
    assert {name: record.metric("x").value for name, record in newest(records, "bench").items()} == {"a": 2.0}
