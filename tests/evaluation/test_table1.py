"""The paper's sizes: which of them the code confirms, and in which convention."""

from __future__ import annotations

from mfs_lib.evaluation.table1 import CONVENTION, Claim, claims


def test_what_is_confirmed_and_what_is_not() -> None:
    exact = {claim.what: claim.exact for claim in claims()}
    assert exact == {
        "identity network": ["all declared"],
        "identity + injection network": ["all declared"],
        "mobile network": [],
        "fusion mask": ["kernels only"],
        "both of every frame": ["kernels only"],
        "identity network, 112²": [CONVENTION],
        "mobile network, 224²": [],
        "fusion mask, 224²": [],
        "both of every frame, 224²": [],
        "both of every frame, 256²": [],
        "one image with everything, 224²": [],
    }


def test_verdicts_say_how_far_off() -> None:
    def verdict(value: float) -> str:
        return Claim(what="x", printed="0.50", unit="G", counted={"MAC": value}).verdict

    assert verdict(0.499) == "exact (MAC)"
    assert verdict(0.45) == "not reproducible (MAC: −10.0 %)"
    assert verdict(2.0) == "not reproducible (MAC: 4.0 times as much)"
    close = Claim(what="x", printed="0.500", unit="G", counted={"MAC": 0.501, "other": 0.6})
    assert close.verdict == "off by a hair (MAC: +0.2 %)"
    assert close.row() == ["x", "0.500 G", "MAC 0.50100; other 0.60000", close.verdict]
