"""The table as data: rows are the files of its folder, what is said of them comes from the file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.reproduction.table2 import read_table
from tests.reproduction.toys import ABOUT, toy_table, write_table


def test_rows_are_the_files_in_the_order_of_the_list_and_unlisted_ones_come_last(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    assert [row.key for row in table.rows] == ["plain", "teacher", "ours", "unlisted"]
    plain, unlisted = table.row("plain"), table.row("unlisted")
    assert (plain.title, plain.line, plain.paper, plain.label) == ("plain one", 2, (86.2, 2.12, 9.92), "guessed")
    assert (unlisted.title, unlisted.paper, unlisted.label) == ("unlisted", (), "not in the paper")
    assert [row.key for row in table.rows if not row.trained] == ["teacher"]
    with pytest.raises(InputError, match="no row 'nothing'; it has plain, teacher"):
        table.row("nothing")


def test_profiles_start_from_the_tables_own(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    assert (table.profile("mini").seeds, table.profile("mini").pairs, table.profile("mini").settings) == ((0, 1), 5, {})
    smoke = table.profile("smoke")
    assert (smoke.seeds, smoke.pairs, smoke.settings["ema"]) == ((0,), 4, 0.5)
    with pytest.raises(InputError, match="no profile 'paper'"):
        table.profile("paper")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": []}, "needs different seeds"),
        ({"seeds": [1, 1]}, "needs different seeds"),
        ({"pairs": 3}, "four pairs"),
        ({"colour": "red"}, "unknown keys"),
        ({"rows": {"ours": {"label": "surely"}}}, "label must be one of"),
        ({"rows": {"ours": {"paper": [1, 2, 3, 4]}}}, "up to three numbers"),
        ({"rows": {"ours": {"paper": ["many"]}}}, "up to three numbers"),
        ({"rows": {"ours": {"lines": 3}}}, "unknown keys"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_table(write_table(tmp_path, {**ABOUT, **changed}))


def test_a_folder_without_rows_and_one_without_a_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no experiment"):
        read_table(tmp_path / "nowhere")
    folder = write_table(tmp_path, rows={})
    with pytest.raises(ConfigError, match="holds no experiments"):
        read_table(folder)


def test_the_shipped_table_is_the_papers(repository: Path) -> None:
    """Twelve printed lines, each once, with the numbers in the paper's order; two labels fit two lines each."""
    table = read_table(repository / "experiments" / "table2")
    lines = {row.line: row for row in table.rows if row.line}
    assert sorted(lines) == list(range(1, 13))
    assert [lines[n].paper[0] for n in range(1, 13)] == [
        16.29, 86.20, 96.10, 92.78, 18.34, 88.48, 95.28, 93.71, 28.13, 95.46, 95.94, 95.98,
    ]  # fmt: skip
    assert [lines[n].paper[1] for n in range(1, 13)] == [
        1.40, 2.12, 1.69, 1.43, 1.30, 3.21, 1.50, 1.52, 0.98, 1.42, 1.39, 1.32,
    ]  # fmt: skip
    assert [lines[n].paper[2] for n in range(1, 13)] == [
        16.75, 9.92, 12.13, 7.77, 12.04, 17.37, 8.12, 7.38, 4.76, 7.44, 10.26, 6.79,
    ]  # fmt: skip
    assert {row.line for row in table.rows if row.label == "order unknown"} == {1, 2, 4, 5}
    assert {row.line for row in table.rows if row.label == "guessed"} == {7, 10}
    assert (lines[11].key, lines[12].key) == ("teacher", "ours")
    assert all(row.why for row in table.rows if row.line)
    identity = table.row("no_identity_reweighting")
    assert lines[12].paper[0] - identity.paper[0] == pytest.approx(2.27)  # as the text says
