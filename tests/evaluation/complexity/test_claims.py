"""The paper's sizes of its own parts: which of them the code confirms, and in which convention."""

from __future__ import annotations

from mfs_lib.evaluation.complexity.claims import claims


def test_what_is_confirmed_and_what_is_not() -> None:
    levels = {claim.what: (claim.verdict.level, claim.verdict.convention) for claim in claims()}
    assert levels == {
        "identity network": ("exact", "all declared"),
        "identity + injection network": ("exact", "all declared"),
        "mobile network": ("near", "kernels only"),
        "fusion mask": ("exact", "kernels only"),
        "both of every frame": ("exact", "kernels only"),
        "identity network, 112²": ("exact", "thop-noup"),
        "mobile network, 224²": ("not reproducible", "thop-noup"),
        "fusion mask, 224²": ("not reproducible", "thop-noup"),
        "the same, enlarged once at the end": ("not reproducible", "thop-noup"),
        "both of every frame, 224²": ("not reproducible", "thop-noup"),
        "both of every frame, 256²": ("not reproducible", "thop-noup"),
        "one image with everything, 224²": ("near", "thop-noup"),
    }


def test_rows_show_every_convention() -> None:
    rows = {row[0]: row for row in (claim.row() for claim in claims())}
    assert rows["identity network, 112²"] == [
        "identity network, 112²",
        "7.52 G",
        "MAC 7.4812; fvcore 7.4993; thop-noup 7.5206",
        "exact (thop-noup)",
    ]
