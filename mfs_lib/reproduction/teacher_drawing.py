"""What the chapter on teachers shows: learning curves, pictures of a training's stages, and all teachers on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.sheets import sheet
from mfs_lib.figures import COLOURS
from mfs_lib.reproduction.measure import swaps_of, teacher_system
from mfs_lib.reproduction.rank_statistics import read_estimate
from mfs_lib.reproduction.sampled_pairs import SampledPairs
from mfs_lib.reproduction.stages import Stages
from mfs_lib.results import Record
from mfs_lib.training.teachers import Teacher

PANELS = {
    "judge's cosine": {"cos_source": "to the source", "cos_target": "to the target"},
    "retrieval, %": {"retrieval": ""},
    "error to the truth, grey levels": {"error": ""},
}
LEVELS = {"oracle": ("exact swap", ":"), "target": ("doing nothing", "--")}
"""Records whose values are drawn as lines, and how."""


def learning_curves(curve: Sequence[Record], levels: Mapping[str, Record]) -> Figure:
    """Identity and error against progress, one panel each, with intervals, and lines for `LEVELS` where they are given.

    Raises:
        InputError: no checkpoint was measured.
    """
    if not curve:
        raise InputError("there is no checkpoint to draw: measure a run's checkpoints first")
    figure = Figure(figsize=(8.4, 2.9))
    progress = [100 * record.metric("progress").value for record in curve]
    for axes, (title, lines) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for (metric, label), colour in zip(lines.items(), COLOURS, strict=False):
            found = [read_estimate(record.metrics, metric) for record in curve]
            axes.plot(progress, [x.value for x in found], color=colour, marker=".", label=label)
            axes.fill_between(progress, [x.low for x in found], [x.high for x in found], color=colour, alpha=0.2)
        _draw_levels(axes, next(iter(lines)), levels)
        axes.set(title=title, xlabel="share of the training, %")
        axes.legend(fontsize="small")
    return figure


def _draw_levels(axes: Axes, metric: str, levels: Mapping[str, Record]) -> None:
    for name, (label, style) in LEVELS.items():
        if name in levels:
            value = levels[name].metric(metric).value
            axes.axhline(value, color="#333333", linestyle=style, linewidth=0.9, label=label)


def teacher_rows(
    teachers: Mapping[str, Teacher], pairs: SampledPairs, count: int
) -> tuple[list[str], list[list[Tensor]]]:
    """Column names and rows of pictures for a sheet: source, target, what each teacher makes of them, truth."""
    few = pairs.first(count)
    columns = {"source": few.source, "target": few.target}
    columns |= {name: swaps_of(teacher_system(teacher), few) for name, teacher in teachers.items()}
    columns["truth"] = few.truth
    return list(columns), [[batch[i] for batch in columns.values()] for i in range(len(few))]


def teacher_sheet(teachers: Mapping[str, Teacher], pairs: SampledPairs, count: int, *, cell: float = 0.9) -> Figure:
    """All teachers next to the truth, a row for each of the first `count` pairs."""
    names, rows = teacher_rows(teachers, pairs, count)
    return sheet(rows, col_labels=names, cell=cell)


def stage_sheet(stages: Stages, count: int, *, cell: float = 0.9) -> Figure:
    """How the pictures of the first `count` pairs changed while a teacher was trained."""
    return sheet(stages.rows(count), col_labels=stages.columns(), cell=cell)
