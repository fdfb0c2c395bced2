"""Table 2 as dots with intervals, what was measured here above what the paper prints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfs_lib.figures import COLOURS
from mfs_lib.reproduction.claims import Claim, Judgement
from mfs_lib.reproduction.collected import Collected
from mfs_lib.reproduction.curves import Curve
from mfs_lib.reproduction.rendering import PAPERS, Column
from mfs_lib.reproduction.statistics import Difference
from mfs_lib.reproduction.table2 import Row, Table

_REFERENCE = "ours"
_LINES = (COLOURS[0], *COLOURS[2:6], COLOURS[7])  # orange is the whole method, yellow too light for a thin line
_FAR = 8.0  # half widths beyond which a difference is drawn at the edge
_VERDICTS = {"reproduced": COLOURS[2], "opposite": COLOURS[3], "not separated": "#777777"}


def dot_plot(table: Table, found: Collected, columns: Sequence[Column], *, printed: bool = True) -> Figure:
    """A panel for each column with all rows in the table's order, means over seeds and their 95 % intervals.

    Below each panel, if `printed`, the paper's numbers in the same order. A dashed line goes through the whole method. The
    place of a row that isn't recorded stays empty.
    """
    lines = [row for row in table.rows if row.table == 2 and len(row.paper) == len(PAPERS)]
    heights = [0.23 * len(rows) + 0.7 for rows in ((table.rows, lines) if printed else (table.rows,))]
    figure = Figure(figsize=(7.4, sum(heights)))
    axes = figure.subplots(len(heights), len(columns), squeeze=False, height_ratios=heights)
    for place, column in enumerate(columns):
        _measured(axes[0][place], table.rows, found, column)
        if printed:
            _printed(axes[1][place], lines, place, column)
    for line in axes:
        for other in line[1:]:
            other.set_yticklabels([])
    return figure


def _measured(axes: Axes, rows: Sequence[Row], found: Collected, column: Column) -> None:
    for place, row in enumerate(rows):
        if row.key not in found:
            continue
        mean = found[row.key].mean(column.metric)
        reach = 0.0 if math.isnan(mean.half) else mean.half
        axes.errorbar(
            mean.value, place, xerr=reach, fmt="o" if row.trained else "D", color=_colour(row), capsize=2.5,
            markersize=4, linewidth=1.2,
        )  # fmt: skip
        if row.key == _REFERENCE:
            axes.axvline(mean.value, color=COLOURS[1], linestyle="--", linewidth=0.8, zorder=0)
    _label(axes, rows, column.heading)


def _printed(axes: Axes, rows: Sequence[Row], place: int, column: Column) -> None:
    for height, row in enumerate(rows):
        axes.plot(row.paper[place], height, "s", markersize=4, color=_colour(row), fillstyle="none")
        if row.key == _REFERENCE:
            axes.axvline(row.paper[place], color=COLOURS[1], linestyle="--", linewidth=0.8, zorder=0)
    names = ("Id, %", "Pose", "FID")
    _label(axes, rows, f"paper: {names[place]} {'↑' if column.better > 0 else '↓'}")


def _colour(row: Row) -> str:
    return COLOURS[1] if row.key == _REFERENCE else COLOURS[0] if row.trained else "#333333"


def _label(axes: Axes, rows: Sequence[Row], name: str) -> None:
    axes.set_yticks(range(len(rows)), [row.title for row in rows], fontsize="small")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(name, fontsize="small")
    axes.tick_params(axis="x", labelsize="small")


def curve_plot(
    table: Table,
    curves: Sequence[Curve],
    keys: Sequence[str],
    names: Mapping[str, str],
    *,
    highest: float | None = None,
) -> Figure:
    """How rows learned: a panel for each of `names` (column of the curves -> label), a thin line for each seed.

    Up to six rows beside the whole method, which is orange. The last panel ends at `highest`.
    """
    figure = Figure(figsize=(7.4, 3.2))
    for axes, (name, label) in zip(figure.subplots(1, len(names), squeeze=False)[0], names.items(), strict=True):
        free = iter(_LINES)
        for row in map(table.row, keys):
            title, color = row.title, COLOURS[1] if row.key == _REFERENCE else next(free)
            for curve in (one for one in curves if one.experiment == f"{table.name}/{row.key}"):
                axes.plot(curve.steps, curve.values[name], color=color, linewidth=1, label=title)
                title = "_"  # one entry in the legend for all seeds
        axes.set_xlabel("step", fontsize="small")
        axes.set_ylabel(label, fontsize="small")
        axes.tick_params(labelsize="small")
    axes.set_ylim(top=highest)
    axes.legend(fontsize="x-small")
    return figure


def claim_plot(judgements: Sequence[Judgement]) -> Figure:
    """Every claim's difference in units of its interval's half width: right of zero is the paper's side.

    A bar that crosses zero says nothing; one that lies clear of it says what its colour says; a filled dot stands after
    Holm's correction. The place of a claim that can't be judged stays empty.
    """
    figure = Figure(figsize=(7.4, 0.26 * len(judgements) + 0.8))
    axes = figure.subplots()
    for place, judgement in enumerate(judgements):
        if judgement.found is not None and judgement.verdict in _VERDICTS:
            axes.errorbar(
                _towards(judgement.claim, judgement.found), place, xerr=1, fmt="o", markersize=4, capsize=2.5,
                color=_VERDICTS[judgement.verdict], fillstyle="full" if judgement.holds else "none",
            )  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(judgements)), [judgement.claim.text for judgement in judgements], fontsize="small")
    axes.set_ylim(len(judgements) - 0.4, -0.6)
    axes.set_xlim(-_FAR - 1.2, _FAR + 1.2)
    axes.set_xlabel("against the paper  ←  half widths of the interval  →  with the paper", fontsize="small")
    return figure


def _towards(claim: Claim, found: Difference) -> float:
    """How far on the paper's side, in half widths of the interval, and no farther than is drawn."""
    towards = (found if claim.side == "more" else found.turned()).shifted(claim.margin)
    half = (towards.high - towards.low) / 2
    if half > 0:
        return max(-_FAR, min(_FAR, towards.value / half))
    return math.copysign(_FAR, towards.value) if towards.value else 0.0
