"""The table and its claims as text: numbers with their intervals, what is missing, what is inferred."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mfs_lib.reproduction.claims import Claim, judge
from mfs_lib.reproduction.collected import Collected, collect
from mfs_lib.reproduction.rendering import (
    COLUMNS,
    IDENTITY,
    POSE,
    claim_rows,
    markdown_report,
    mean_text,
    missing_titles,
    p_text,
    separation_rows,
    table_header,
    table_rows,
)
from mfs_lib.reproduction.statistics import Mean
from mfs_lib.reproduction.table2 import Table
from tests.reproduction.toys import record, toy_table

METRICS = [column.metric for column in COLUMNS]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """The toy table."""
    return toy_table(tmp_path)


@pytest.fixture
def found(table: Table) -> Collected:
    """Two rows of three seeds and a teacher; the row `unlisted` has no record."""
    records = []
    for seed in range(3):
        for key, low in (("ours", 90.0), ("plain", 80.0)):
            values = dict.fromkeys(METRICS, low + seed)
            records.append(record(f"toy/{key}", seed, {**values, "train_seconds": 1800.0}, unit="percent"))
    return collect(table, [*records, record("toy/teacher", 0, dict.fromkeys(METRICS, 95.5), unit="percent")])


@pytest.mark.parametrize(
    ("mean", "text"),
    [
        (Mean(91.234, 88.8, 93.7, 3), "91.2 ± 2.5"),
        (Mean(91.234, 61.2, 121.2, 3), "91 ± 30"),
        (Mean(-3.0, -4.0, -2.0, 3), "−3.0 ± 1.0"),
        (Mean(0.5, 0.4988, 0.5012, 3), "0.50 ± 0.00"),
        (Mean(4.0, 4.0, 4.0, 3), "4.00 ± 0.00"),
        (Mean(12.345, math.nan, math.nan, 1), "12.3"),
        (Mean(-123.4, math.nan, math.nan, 1), "−123"),
    ],
)
def test_a_mean_shows_as_many_digits_as_its_interval_allows(mean: Mean, text: str) -> None:
    assert mean_text(mean) == text


def test_rows_show_seeds_means_and_what_is_printed(table: Table, found: Collected) -> None:
    rows = {row[0]: row[1:] for row in table_rows(table, found, (IDENTITY, POSE))}
    assert rows == {
        "plain one\\*": ["3", "81.0 ± 2.5", "81.0 ± 2.5", "86.20 / 2.12 / 9.92"],
        "teacher": ["–", "95.5", "95.5", "95.94 / 1.39 / 10.26"],
        "ours": ["3", "91.0 ± 2.5", "91.0 ± 2.5", "95.98 / 1.32 / 6.79"],
        "unlisted": ["0", "–", "–", "–"],
    }
    header = table_header((IDENTITY, POSE))
    assert header == ["", "seeds", "retrieval, % ↑", "pose, ° ↓", "paper: Id / Pose / FID"]
    assert missing_titles(table, found) == ["unlisted"]


def test_a_row_that_collapsed_is_marked(table: Table) -> None:
    records = [
        record("toy/plain", seed, {**dict.fromkeys(METRICS, 0.0), "watch_collapsed": float(seed == 1)}, unit="percent")
        for seed in range(2)
    ]
    found = collect(table, [*records, record("toy/ours", 0, dict.fromkeys(METRICS, 90.0), unit="percent")])
    titles = [row[0] for row in table_rows(table, found, (IDENTITY,))]
    assert titles == ["plain one\\*†", "teacher", "ours", "unlisted"]


def test_separation_says_how_far_rows_lie_apart(found: Collected) -> None:
    (cells,) = separation_rows(found, (IDENTITY,))
    assert cells[0] == "retrieval, %"
    assert cells[1:4] == ["7.07", "1.00", "150"]  # means 81 and 91; seeds 0, 1, 2 apart; 3 * 50 / 1
    assert cells[4] == "<0.001"
    assert [p_text(p) for p in (0.0001, 0.0321, 0.512)] == ["<0.001", "0.032", "0.51"]


def test_claims_show_difference_interval_method_and_verdict(table: Table, found: Collected) -> None:
    drops = Claim(text="it drops", quote="q", first="plain", metric="retrieval", side="less")
    rises = Claim(text="it rises", quote="q", first="unlisted", metric="retrieval", side="more")
    above = Claim(text="above", quote="q", first="ours", second="teacher", metric="retrieval", side="more")
    rows = claim_rows(judge([drops, rises, above], found, table), found)
    assert rows[0] == ["it drops", "−10.00 (−10.00 to −10.00) points, paired", "−9.78", "reproduced", "<0.001"]
    assert rows[1] == ["it rises", "–", "–", "not measured", "–"]
    assert rows[2][1] == "−4.5 (−7.0 to −2.0) points, one-sample" and rows[2][3] == "opposite"


def test_a_verdict_that_falls_to_the_correction_says_so(table: Table, found: Collected) -> None:
    above = Claim(text="above", quote="q", first="ours", second="teacher", metric="retrieval", side="less")
    rows = claim_rows(judge([above] * 9, found, table), found)
    assert {row[3] for row in rows} == {"reproduced (not after Holm)"}


def test_the_report_has_everything(table: Table, found: Collected) -> None:
    drops = Claim(text="it drops", quote="q", first="plain", metric="retrieval", side="less")
    text = markdown_report(table, found, judge([drops], found, table))
    assert "Not recorded yet: unlisted." in text
    assert "Trained for 3.0 hours of one core." in text
    assert "1 reproduced" in text and "| plain one\\* | 3 | 81.0 ± 2.5 |" in text.replace("\\\\", "\\")
    assert "–" in markdown_report(table, {}, judge([drops], {}, table))
