"""Table 2 and its claims as text: cells for the book's tables, and Markdown for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mfs_lib.reproduction.claims import Judgement, counted
from mfs_lib.reproduction.collected import Collected, Measured
from mfs_lib.reproduction.statistics import Mean, Separation, separation
from mfs_lib.reproduction.table2 import Row, Table
from mfs_lib.results import markdown_table

SURE = ("by its numbers", "not in the paper")
"""Labels that need no mark."""


@dataclass(frozen=True)
class Column:
    """A number of the table: our metric, its heading, and `+1` where more of it is better."""

    metric: str
    title: str
    better: int

    @property
    def heading(self) -> str:
        """With an arrow to where it is better."""
        return f"{self.title} {'↑' if self.better > 0 else '↓'}"


IDENTITY = Column("retrieval", "retrieval, %", 1)
POSE = Column("pose_l2", "pose, °", -1)
FRECHET = Column("fd_mnv2", "FD-MNV2", -1)
BACKGROUND = Column("background", "background", -1)
COLOUR = Column("colour_shift", "colour", -1)
ERROR = Column("error", "error to truth", -1)

PAPERS = (IDENTITY, POSE, FRECHET)
"""Beside the paper's Id, Pose and FID."""

OWN = (BACKGROUND, COLOUR, ERROR)
"""What the text of the paper speaks of, and what the face world alone can tell."""

COLUMNS = (*PAPERS, *OWN)


def mean_text(mean: Mean) -> str:
    """`91.3 ± 2.4`; of one seed (or of what has none) the number alone."""
    if mean.n < 2:
        return _number(mean.value)
    digits = _decimals(mean.half)
    return f"{mean.value:.{digits}f} ± {mean.half:.{digits}f}".replace("-", "−")


def _decimals(half: float) -> int:
    """So many that the half width has two digits, two at most."""
    return 2 if half <= 0 else min(2, max(0, 1 - math.floor(math.log10(half))))


def _number(value: float) -> str:
    """Three significant digits and two decimals at most, with a true minus sign."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return text.replace("-", "−")


def title(row: Row) -> str:
    """A row's title, starred where the label of its printed line is inferred."""
    return row.title + ("" if row.label in SURE else "\\*")


def paper_text(row: Row) -> str:
    """What is printed of a row: `86.20 / 2.12 / 9.92`."""
    decimals = (2, 2, 2)
    return " / ".join(f"{value:.{n}f}" for value, n in zip(row.paper, decimals, strict=False)) or "–"


def table_header(columns: Sequence[Column] = COLUMNS) -> list[str]:
    """Headings for `table_rows`."""
    return ["", "seeds", *(column.heading for column in columns), "paper: Id / Pose / FID"]


def table_rows(table: Table, found: Collected, columns: Sequence[Column] = COLUMNS) -> list[list[str]]:
    """A row for each of the table's: title, seeds, mean ± half the 95 % interval for each column, what is printed."""
    return [
        [title(row) + _collapsed(found.get(row.key)), *_cells(found.get(row.key), columns), paper_text(row)]
        for row in table.rows
    ]


def _collapsed(measured: Measured | None) -> str:
    """A dagger for a row whose runs, one at least, ended at "output = target": its other numbers say nothing."""
    return "†" if measured is not None and measured.total("watch_collapsed") else ""


def _cells(measured: Measured | None, columns: Sequence[Column]) -> list[str]:
    if measured is None:
        return ["0", *("–" for _ in columns)]
    seeds = str(len(measured.records)) if measured.row.trained else "–"
    return [seeds, *(mean_text(measured.mean(column.metric)) for column in columns)]


def missing_titles(table: Table, found: Collected) -> list[str]:
    """Titles of the rows without any record."""
    return [row.title for row in table.rows if row.key not in found]


def separations(found: Collected, columns: Sequence[Column] = COLUMNS) -> dict[str, Separation]:
    """How far the trained rows lie apart beside how far their seeds scatter, for each column where that can be said."""
    out = {}
    for column in columns:
        rows = [measured.values(column.metric) for measured in found.values() if measured.row.trained]
        if (apart := separation(rows)) is not None:
            out[column.title] = apart
    return out


def separation_rows(found: Collected, columns: Sequence[Column] = COLUMNS) -> list[list[str]]:
    """Cells: column, standard deviation of the rows' means, that within rows, ratio of the variances, its p."""
    return [
        [name, _number(s.between), _number(s.within), _number(s.ratio), p_text(s.p)]
        for name, s in separations(found, columns).items()
    ]  # fmt: skip


SEPARATION_HEADER = ["", "between rows", "within rows", "F", "p"]
CLAIMS_HEADER = ["claim", "difference here", "paper", "verdict", "p, Holm"]


def p_text(p: float) -> str:
    """`0.032`, `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def claim_rows(judgements: Sequence[Judgement], found: Collected) -> list[list[str]]:
    """Cells: claim, difference of the first row to the second with its interval, the printed one, verdict, corrected p."""
    return [
        [
            judgement.claim.text, _difference(judgement, found),
            "–" if judgement.printed is None else _signed(judgement.printed, 2),
            _verdict(judgement),
            "–" if judgement.p_holm is None else p_text(judgement.p_holm),
        ]
        for judgement in judgements
    ]  # fmt: skip


def _verdict(judgement: Judgement) -> str:
    uncertain = judgement.verdict in ("reproduced", "opposite") and not judgement.holds
    return judgement.verdict + (" (not after Holm)" if uncertain else "")


def _difference(judgement: Judgement, found: Collected) -> str:
    gap = judgement.found
    if gap is None:
        return "–"
    unit = next(iter(found[judgement.claim.first].records.values())).metric(judgement.claim.metric).unit
    digits = _decimals((gap.high - gap.low) / 2)
    values = " to ".join(_signed(end, digits) for end in (gap.low, gap.high))
    return f"{_signed(gap.value, digits)} ({values}){_UNITS.get(unit, '')}, {gap.method}"


_UNITS = {"percent": " points", "degree": "°", "grey levels": " grey levels"}


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def markdown_report(table: Table, found: Collected, judgements: Sequence[Judgement]) -> str:
    """The table, whether its rows separate, and every claim with its verdict, as Markdown."""
    lacking = missing_titles(table, found)
    seconds = sum(m.total("train_seconds") for m in found.values())
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in counted(judgements).items())
    parts = [
        f"## {table.name}: mean over seeds ± half the 95 % interval",
        markdown_table(table_header(), table_rows(table, found)),
        "\\* which printed line this is, is inferred; FD-MNV2 and FID have different features. † A run at least ended at "
        "'output = target': no swap, and so no fault.",
        *([f"Not recorded yet: {', '.join(lacking)}."] if lacking else []),
        f"Trained for {seconds / 3600:.1f} hours of one core.",
        "## Do the rows separate?", markdown_table(SEPARATION_HEADER, separation_rows(found)),
        f"## The paper's claims: {verdicts}", markdown_table(CLAIMS_HEADER, claim_rows(judgements, found)),
    ]  # fmt: skip
    return "\n\n".join(parts)
