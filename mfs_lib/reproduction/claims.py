"""What the paper says of its ablation, claim by claim, held against the recorded runs.

Each claim names two rows, a number of ours and the side on which the difference of the rows should lie. Its verdict comes
from the seeds: *reproduced* if the 95 % interval of the difference lies on the paper's side of zero, *opposite* if on the
other, *not separated* if zero is in it. "Comparable" claims have a margin: reproduced if the interval lies above minus
the margin. A row that hands back its targets has nothing that could be a fault: what is said of its pose or its artifacts
gets *no swap* for a verdict; only its identity is judged. Many claims are judged at once, and of twenty true nothings
one would seem to be something: `holds` says whether a verdict stands after Holm's correction over all that are judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mfs_lib.reproduction.collected import Collected, compare_rows
from mfs_lib.reproduction.statistics import Difference, holm
from mfs_lib.reproduction.table2 import Table

Verdict = Literal["reproduced", "opposite", "not separated", "no swap", "not measured"]
Side = Literal["more", "less"]

SIGNIFICANT = 0.05
_PRINTED = {"retrieval": 0, "pose_l2": 1, "fd_mnv2": 2}
"""Which of the paper's columns one of our metrics stands beside. FID and our Fréchet distance have different features."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`first` has `side` of `metric` than `second` has.

    Attributes:
        text: for people.
        quote: the paper's words.
        first, second: keys of rows.
        metric: name of ours.
        side: of the second row's number on which the paper sees the first's.
        margin: how far on the wrong side still counts as comparable, in the metric's unit.
        section: of the paper.
        gap: the paper's own difference, for a claim about others than its Table 2 prints beside these rows.
    """

    text: str
    quote: str
    first: str
    metric: str
    side: Side
    second: str = "ours"
    margin: float = 0.0
    section: str = "Ablation Study"
    gap: float | None = None

    def printed(self, table: Table) -> float | None:
        """The paper's own difference of the two, where it prints this number of both."""
        if self.gap is not None:
            return self.gap
        place = _PRINTED.get(self.metric)
        rows = [row for row in table.rows if row.key in (self.first, self.second)]
        if place is None or len(rows) < 2 or any(len(row.paper) <= place for row in rows):
            return None
        return table.row(self.first).paper[place] - table.row(self.second).paper[place]

    def verdict(self, found: Difference | None) -> Verdict:
        """By the interval alone."""
        if found is None:
            return "not measured"
        towards = found if self.side == "more" else found.turned()
        if towards.low > -self.margin:
            return "reproduced"
        return "opposite" if towards.high < -self.margin else "not separated"

    def speaks_of_no_swap(self, found: Collected) -> bool:
        """Whether it is about something else than the identity of a row that hands back its targets."""
        return self.metric != "retrieval" and not (found[self.first].swaps and found[self.second].swaps)

    def p(self, found: Difference) -> float:
        """Two-sided p of "the difference is exactly where the verdict turns"."""
        return found.shifted(self.margin if self.side == "more" else -self.margin).p


@dataclass(frozen=True)
class Judgement:
    """A claim, the difference that was found, and what it says; `p_holm` is corrected for all claims judged with it."""

    claim: Claim
    found: Difference | None
    verdict: Verdict
    p_holm: float | None
    printed: float | None

    @property
    def holds(self) -> bool:
        """Whether the verdict, reproduced or opposite, stands among all the claims."""
        return self.verdict in ("reproduced", "opposite") and self.p_holm is not None and self.p_holm < SIGNIFICANT


COMPARABLE_POINTS = 1.1
_TEACHER, _LOOKS = "Quantitative Results", "Qualitative Results"
_BETTER = "The identity retrieval accuracy and pose similarity of our results are better than the Teacher (SimSwap)"

ABLATION: tuple[Claim, ...] = (
    Claim(text="without weights prediction, less identity", first="no_weights_prediction", metric="retrieval",
          side="less", quote="The identity retrieval accuracy significantly drops"),
    Claim(text="with AdaIN for modulation, less identity", first="adain", metric="retrieval", side="less",
          quote="The identity retrieval accuracy significantly drops"),
    Claim(text="without the fusion module, the background drifts", first="no_fusion", metric="background", side="more",
          quote="there is a clear difference in the backgrounds between the generated and target image"),
    Claim(text="without modulation, less identity", first="no_modulation", metric="retrieval", side="less",
          quote="the qualitative and quantitative results drop slightly by removing the weighting modulation"),
    Claim(text="without modulation, more artifacts", first="no_modulation", metric="fd_mnv2", side="more",
          quote="which results in more artifacts than ours"),
    Claim(text="with an autoencoder, less identity", first="autoencoder", metric="retrieval", side="less",
          quote="or replacing the U-Net-based with AutoEncoder-based network"),
    Claim(text="with an autoencoder, more artifacts", first="autoencoder", metric="fd_mnv2", side="more",
          quote="which results in more artifacts than ours"),
    Claim(text="without distillation, less identity", first="no_distillation", metric="retrieval", side="less",
          quote="the generated results have noticeable artifacts and worse quantitative results"),
    Claim(text="without distillation, a worse pose", first="no_distillation", metric="pose_l2", side="more",
          quote="the generated results have noticeable artifacts and worse quantitative results"),
    Claim(text="without distillation, more artifacts", first="no_distillation", metric="fd_mnv2", side="more",
          quote="the generated results have noticeable artifacts and worse quantitative results"),
    Claim(text="identity reweighting raises retrieval", first="no_identity_reweighting", metric="retrieval", side="less",
          quote="The identity retrieval accuracy increases by 2.27% when adding the identity reweighting module"),
    Claim(text="quality reweighting: fewer artifacts", first="no_quality_reweighting", metric="fd_mnv2", side="more",
          quote="When adding image quality reweighting, our model can generate slightly better results"),
    Claim(text="without identity loss, less identity", first="no_identity_loss", metric="retrieval", side="less",
          quote="However, the identity retrieval accuracy is also pretty low"),
    Claim(text="without identity loss, fewer artifacts", first="no_identity_loss", metric="fd_mnv2", side="less",
          quote="the generated results have fewer artifacts than those of the proposed method"),
    Claim(text="with full mask supervision, the face's colour moves", first="full_mask", metric="colour_shift",
          side="more", quote="using a weakly semantic module can clearly decrease the color difference"),
)  # fmt: skip
"""The claims of the section on the ablation."""


SIMSWAP, FACESHIFTER = ("ours_simswap", "teacher_simswap"), ("ours", "teacher")
"""Student and teacher. The ablation's own teacher is our FaceShifter; the paper's was SimSwap."""
FACESHIFTER_GAP = 96.10 - 97.15  # points of retrieval, in the paper's Table 1


def _beside(rows: tuple[str, str], text: str, metric: str, side: Side, quote: str, section: str, **more: Any) -> Claim:
    """A claim about a student (first of `rows`) and its teacher."""
    student, teacher = rows
    return Claim(
        text=text, first=student, second=teacher, metric=metric, side=side, quote=quote, section=section, **more
    )


def comparable(rows: tuple[str, str], name: str, gap: float | None = None) -> Claim:
    """The weakest of the claims about a teacher; the paper calls a shortfall of 1.05 points comparable (FaceShifter)."""
    return _beside(
        rows, f"the student's identity is comparable to {name}'s (within {COMPARABLE_POINTS} points)", "retrieval", "more",
        "the obtained models using our method can achieve comparable results with their teachers", _TEACHER,
        margin=COMPARABLE_POINTS, gap=gap,
    )  # fmt: skip


AGAINST_TEACHER: tuple[Claim, ...] = (
    comparable(SIMSWAP, "SimSwap"),
    _beside(SIMSWAP, "the student shows more identity than SimSwap", "retrieval", "more", _BETTER, _TEACHER),
    _beside(SIMSWAP, "the student keeps the pose better than SimSwap", "pose_l2", "less", _BETTER, _TEACHER),
    _beside(SIMSWAP, "the student has fewer artifacts than SimSwap", "fd_mnv2", "less",
            "our results have fewer artifacts than those of SimSwap", _LOOKS),
    _beside(SIMSWAP, "the student keeps the background better than SimSwap", "background", "less",
            "our method can keep the hair and background more stable than SimSwap", _LOOKS),
    comparable(FACESHIFTER, "FaceShifter", FACESHIFTER_GAP),
    _beside(FACESHIFTER, "the student keeps the expression better than FaceShifter", "expression_mesh", "less",
            "our method can keep the expression of the target image better than FaceShifter", _LOOKS),
)  # fmt: skip
"""The claims about the students and their teachers."""


def claims_of(table: Table) -> tuple[Claim, ...]:
    """All claims about rows that the table has."""
    keys = {row.key for row in table.rows}
    return tuple(claim for claim in (*ABLATION, *AGAINST_TEACHER) if {claim.first, claim.second} <= keys)


def judge(claims: Iterable[Claim], found: Collected, table: Table) -> list[Judgement]:
    """Each claim's verdict by what is recorded, with p corrected over all claims that could be judged."""
    listed: Sequence[Claim] = list(claims)
    differences = [
        compare_rows(found[c.first], found[c.second], c.metric) if {c.first, c.second} <= set(found) else None
        for c in listed
    ]  # fmt: skip
    idle = [d is not None and claim.speaks_of_no_swap(found) for claim, d in zip(listed, differences, strict=True)]
    raw = {i: listed[i].p(d) for i, d in enumerate(differences) if d is not None and not idle[i]}
    corrected = dict(zip(raw, holm(list(raw.values())), strict=True))
    return [
        Judgement(
            claim,
            found_here,
            "no swap" if idle[i] else claim.verdict(found_here),
            corrected.get(i),
            claim.printed(table),
        )
        for i, (claim, found_here) in enumerate(zip(listed, differences, strict=True))
    ]


def counted(judgements: Iterable[Judgement]) -> dict[Verdict, int]:
    """How many claims have each verdict; those without any are left out."""
    verdicts = [judgement.verdict for judgement in judgements]
    order: tuple[Verdict, ...] = ("reproduced", "opposite", "not separated", "no swap", "not measured")
    return {verdict: verdicts.count(verdict) for verdict in order if verdict in verdicts}
