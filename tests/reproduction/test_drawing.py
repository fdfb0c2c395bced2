"""The figures show what the records say: every row a dot at its mean, every claim on its side."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfs_lib.reproduction.claims import Claim, judge
from mfs_lib.reproduction.collected import collect
from mfs_lib.reproduction.drawing import claim_plot, dot_plot
from mfs_lib.reproduction.rendering import IDENTITY, OWN, POSE
from tests.reproduction.toys import record, toy_table


def test_every_recorded_row_is_a_dot_with_its_interval(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    records = [
        record(f"toy/{key}", seed, {"retrieval": mean + seed, "pose_l2": 1.0})
        for key, mean in (("ours", 89.0), ("plain", 79.0))
        for seed in range(3)
    ]
    found = collect(table, [*records, record("toy/teacher", 0, {"retrieval": 95.0, "pose_l2": 2.0})])
    figure = dot_plot(table, found, (IDENTITY, POSE))
    assert len(figure.axes) == 4
    first, second, below, _ = figure.axes
    dots = [bars.lines[0].get_xydata()[0].tolist() for bars in first.containers]
    assert dots == [[80.0, 0.0], [95.0, 1.0], [90.0, 2.0]]  # plain, teacher, ours in the table's order
    reach = first.containers[0].lines[2][0].get_segments()[0]
    assert reach[:, 0].tolist() == pytest.approx([80 - 4.302653 / 3**0.5, 80 + 4.302653 / 3**0.5], abs=1e-4)
    assert [label.get_text() for label in first.get_yticklabels()] == ["plain one", "teacher", "ours", "unlisted"]
    assert [label.get_text() for label in second.get_yticklabels()] == [""] * 4
    printed = [line.get_xydata()[0].tolist() for line in below.lines if line.get_marker() == "s"]
    assert printed == [[86.2, 0.0], [95.94, 1.0], [95.98, 2.0]]
    assert first.get_ylim()[0] > first.get_ylim()[1]  # the first row on top


def test_without_the_printed_numbers_there_is_one_line_of_panels(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    values = {column.metric: 1.0 for column in OWN}
    figure = dot_plot(table, collect(table, [record("toy/ours", 0, values)]), OWN, printed=False)
    assert len(figure.axes) == len(OWN)
    assert [len(axes.containers) for axes in figure.axes] == [1, 1, 1]
    assert [len(axes.containers) for axes in dot_plot(table, {}, OWN, printed=False).axes] == [0, 0, 0]


def test_claims_lie_right_of_zero_where_they_agree_with_the_paper(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    records = [record("toy/ours", seed, {"retrieval": 90.0 + seed}) for seed in range(3)]
    records += [record("toy/plain", seed, {"retrieval": value}) for seed, value in enumerate((80.0, 82.0, 83.0))]
    found = collect(table, records)
    claims = [
        Claim(text="agrees", quote="q", first="plain", metric="retrieval", side="less"),
        Claim(text="opposes", quote="q", first="plain", metric="retrieval", side="more"),
        Claim(text="unmeasured", quote="q", first="unlisted", metric="retrieval", side="more"),
        Claim(text="same", quote="q", first="ours", metric="retrieval", side="more"),
    ]
    axes = claim_plot(judge(claims, found, table)).axes[0]
    places = [bars.lines[0].get_xdata()[0] for bars in axes.containers]
    assert places[0] > 1 and places[1] == pytest.approx(-places[0]) and places[2] == 0
    assert [label.get_text() for label in axes.get_yticklabels()] == ["agrees", "opposes", "unmeasured", "same"]
