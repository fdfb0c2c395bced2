"""Claims against recorded runs whose answer is known by hand, and what correcting for many claims does to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfs_lib.reproduction.claims import ABLATION, AGAINST_TEACHER, Claim, claims_of, counted, judge
from mfs_lib.reproduction.collected import Measured
from mfs_lib.reproduction.table2 import Row, Table, read_table
from tests.reproduction.toys import record


def _row(key: str, trained: bool = True, paper: tuple[float, ...] = ()) -> Row:
    return Row(key=key, file=Path(f"{key}.yaml"), title=key, trained=trained, paper=paper)


def _measured(row: Row, values: list[float], data: str = "d" * 64) -> Measured:
    records = {seed: record(f"t/{row.key}", seed, {"retrieval": v}, data=data) for seed, v in enumerate(values)}
    return Measured(row, records)


OURS, LESS, TEACHER = _row("ours", paper=(95.98, 1.3)), _row("less", paper=(90.0,)), _row("teacher", trained=False)
TABLE = Table("t", (OURS, LESS, TEACHER), {})
DROPS = Claim(text="it drops", quote="drops", first="less", metric="retrieval", side="less")
ABOVE = Claim(text="above", quote="better", first="ours", second="teacher", metric="retrieval", side="more")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([80.0, 82.0, 81.0], "reproduced"),  # gaps -10, -9, -11
        ([100.0, 102.0, 101.0], "opposite"),
        ([89.0, 92.0, 93.0], "not separated"),  # gaps -1, 1, 1
        ([80.0], "not measured"),
    ],
)
def test_verdicts_by_the_interval(values: list[float], verdict: str) -> None:
    found = {"ours": _measured(OURS, [90.0, 91.0, 92.0]), "less": _measured(LESS, values)}
    (judgement,) = judge([DROPS], found, TABLE)
    assert judgement.verdict == verdict
    if judgement.found is not None:
        assert judgement.found.method == "paired"
    (mirrored,) = judge([Claim(**{**vars(DROPS), "side": "more"})], found, TABLE)
    turned = {"reproduced": "opposite", "opposite": "reproduced"}
    assert mirrored.verdict == turned.get(verdict, verdict)


def test_a_row_that_swaps_nobody_is_judged_by_its_identity_alone() -> None:
    still = Claim(text="still", quote="more artifacts", first="less", metric="pose_l2", side="more")

    def row(row: Row, retrieval: list[float], pose: list[float], collapsed: list[float]) -> Measured:
        columns = zip(retrieval, pose, collapsed, strict=True)
        names = ("retrieval", "pose_l2", "watch_collapsed")
        return Measured(
            row, {i: record("t/x", i, dict(zip(names, values, strict=True))) for i, values in enumerate(columns)}
        )

    ours = row(OURS, [90.0, 91.0, 92.0], [2.0, 2.1, 2.2], [0.0] * 3)
    for collapsed, verdict in (([1.0, 1.0, 1.0], "no swap"), ([1.0, 0.0, 0.0], "opposite")):
        found = {"ours": ours, "less": row(LESS, [0.0, 1.0, 2.0], [0.0, 0.1, 0.2], collapsed)}
        drops, keeps = judge([DROPS, still], found, TABLE)
        assert drops.verdict == "reproduced" and drops.holds
        assert keeps.verdict == verdict and (keeps.p_holm is None) == (verdict == "no swap")
        assert keeps.found is not None and keeps.found.value == pytest.approx(-2.0)


def test_runs_on_other_data_are_not_paired() -> None:
    found = {"ours": _measured(OURS, [90.0, 91.0, 92.0]), "less": _measured(LESS, [80.0, 82.0, 81.0], data="e" * 64)}
    (judgement,) = judge([DROPS], found, TABLE)
    assert judgement.found is not None
    assert judgement.found.method == "welch" and judgement.verdict == "reproduced"


def test_a_row_that_is_not_there_leaves_its_claims_unmeasured() -> None:
    (judgement,) = judge([DROPS], {"ours": _measured(OURS, [1.0, 2.0])}, TABLE)
    assert (judgement.verdict, judgement.p_holm, judgement.holds) == ("not measured", None, False)


def test_a_margin_lets_a_small_shortfall_pass() -> None:
    found = {"ours": _measured(OURS, [89.4, 89.5, 89.6]), "teacher": _measured(TEACHER, [90.0])}
    comparable = Claim(**{**vars(ABOVE), "margin": 1.05})
    strict, loose = judge([ABOVE, comparable], found, TABLE)
    assert strict.found is not None and strict.found.method == "one-sample"
    assert (strict.verdict, loose.verdict) == ("opposite", "reproduced")
    assert loose.found is not None
    assert ABOVE.p(loose.found) == pytest.approx(loose.found.p)
    assert comparable.p(loose.found) == pytest.approx(loose.found.shifted(1.05).p)  # how far from -1.05, not from 0
    swapped = Claim(**{**vars(comparable), "first": "teacher", "second": "ours", "side": "less"})
    (other_way,) = judge([swapped], found, TABLE)
    assert other_way.verdict == "reproduced"
    assert other_way.found is not None and other_way.found.value == pytest.approx(0.5)


def test_many_claims_at_once_cost_certainty() -> None:
    found = {"ours": _measured(OURS, [90.0, 91.0, 92.0]), "less": _measured(LESS, [88.0, 88.0, 89.5])}  # gaps 2, 3, 2.5
    alone = judge([DROPS], found, TABLE)[0]
    assert alone.verdict == "reproduced" and alone.holds
    many = judge([DROPS] * 4, found, TABLE)
    assert {one.verdict for one in many} == {"reproduced"}
    assert alone.p_holm is not None
    assert many[0].p_holm == pytest.approx(4 * alone.p_holm) and not many[0].holds


def test_the_papers_own_difference_stands_beside() -> None:
    found = {"ours": _measured(OURS, [1.0, 2.0]), "less": _measured(LESS, [1.0, 2.0])}
    assert judge([DROPS], found, TABLE)[0].printed == pytest.approx(90.0 - 95.98)
    assert Claim(**{**vars(DROPS), "metric": "fd_mnv2"}).printed(TABLE) is None  # not printed of both
    assert Claim(**{**vars(DROPS), "metric": "error"}).printed(TABLE) is None
    assert ABOVE.printed(TABLE) is None


def test_verdicts_are_counted_in_one_order() -> None:
    found = {"ours": _measured(OURS, [90.0, 91.0, 92.0]), "less": _measured(LESS, [80.0, 82.0, 81.0])}
    judgements = judge([ABOVE, DROPS, DROPS], found, TABLE)
    assert list(counted(judgements).items()) == [("reproduced", 2), ("not measured", 1)]


def test_the_papers_claims_name_rows_that_exist_and_agree_with_what_it_prints(repository: Path) -> None:
    """Whatever is claimed of a printed number lies on that side in the paper's own table."""
    table = read_table(repository / "experiments" / "table2")
    listed = claims_of(table)
    assert {claim.text for claim in ABLATION} <= {claim.text for claim in listed}
    assert len({(claim.first, claim.second, claim.metric, claim.side, claim.margin) for claim in listed}) == len(listed)
    checked = 0
    for claim in listed:
        printed = claim.printed(table)
        if printed is not None:
            assert (printed if claim.side == "more" else -printed) > -claim.margin, claim.text
            checked += 1
    assert checked >= 14


def test_claims_about_rows_that_the_table_lacks_are_left_out() -> None:
    assert [(claim.first, claim.second) for claim in claims_of(TABLE)] == [("ours", "teacher")] * 2
    every = Table(
        "t", tuple(_row(key) for claim in (*ABLATION, *AGAINST_TEACHER) for key in (claim.first, claim.second)), {}
    )
    assert claims_of(every) == (*ABLATION, *AGAINST_TEACHER)
