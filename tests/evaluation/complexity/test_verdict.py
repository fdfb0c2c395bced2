"""Printed and counted numbers: what counts as the same."""

from __future__ import annotations

import pytest

from mfs_lib.errors import InputError
from mfs_lib.evaluation.complexity.verdict import judge, prints_as


@pytest.mark.parametrize(
    ("value", "printed", "same"),
    [(0.412217, "0.412", True), (0.412217, "0.413", False), (7.4812, "7.48", True), (52.19, "52.2", True)],
)
def test_rounding_as_printed(value: float, printed: str, same: bool) -> None:
    assert prints_as(value, printed) is same


def test_what_is_no_number_is_refused() -> None:
    for value, printed in ((1.0, "about 3"), (float("nan"), "0.1")):
        with pytest.raises(InputError, match="compared"):
            prints_as(value, printed)
        with pytest.raises(InputError, match="compared"):
            judge(printed, {"thop-noup": value})
    with pytest.raises(InputError, match="nothing was counted"):
        judge("1.0", {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.499, "exact (thop-noup)"),
        (0.494, "near (thop-noup: −1.2 %)"),
        (0.45, "not reproducible (thop-noup: −10.0 %)"),
        (0.56, "not reproducible (thop-noup: +12.0 %)"),
        (2.0, "not reproducible (thop-noup: 4 times as much)"),
    ],
)
def test_verdicts_say_how_far_off(value: float, text: str) -> None:
    verdict = judge("0.50", {"thop-noup": value})
    assert str(verdict) == text
    inside = text.partition("thop-noup: ")[2].rstrip(")").replace("4 times as much", "×4")
    assert verdict.short == {"exact": "exact", "near": f"near, {inside}"}.get(verdict.level, f"no, {inside}")


def test_the_nearest_convention_is_named() -> None:
    verdict = judge("0.500", {"all declared": 0.6, "kernels only": 0.501})
    assert (verdict.level, verdict.convention) == ("near", "kernels only")
    assert verdict.ratio == pytest.approx(1.002)
    assert str(judge("0.5", {"a": 0.5, "b": 0.51, "c": 0.6})) == "exact (a, b)"
