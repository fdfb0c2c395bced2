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
    "cos_source": "judge's cosine to the source",
    "cos_target": "to the target",
    "retrieval": "retrieval, %",
    "error": "error to the truth,\ngrey levels",
}
"""Metrics of a checkpoint that have a panel, and its title."""
LEVELS = {"oracle": ("exact swap", ":"), "target": ("doing nothing", "--")}
"""Records whose values are drawn as lines, and how."""


def learning_curves(curves: Mapping[str, Sequence[Record]], levels: Mapping[str, Record]) -> Figure:
    """Every teacher's identity and error against progress, a panel each, with intervals, and lines for `LEVELS`.

    Args:
        curves: records of its checkpoints by the teacher's name.
        levels: records of what is in `LEVELS`, as far as they are there.

    Raises:
        InputError: no checkpoint was measured.
    """
    if not any(curves.values()):
        raise InputError("there is no checkpoint to draw: measure a run's checkpoints first")
    figure = Figure(figsize=(8.4, 2.9))
    for axes, (metric, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
            progress = [100 * record.metric("progress").value for record in curve]
            found = [read_estimate(record.metrics, metric) for record in curve]
            axes.plot(progress, [x.value for x in found], color=colour, marker=".", label=name)
            axes.fill_between(progress, [x.low for x in found], [x.high for x in found], color=colour, alpha=0.2)
        _draw_levels(axes, metric, levels)
        axes.set(title=title, xlabel="share of training, %")
        axes.title.set_fontsize("small")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
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
