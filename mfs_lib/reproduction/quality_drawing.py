"""What the chapter on the quality scorer shows: its calibration, what it knows of real errors, whom it scores low."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.evaluation.sheets import sheet
from mfs_lib.figures import COLOURS
from mfs_lib.reproduction.rank_statistics import Estimate, spearman
from mfs_lib.reproduction.sampled_pairs import SampledPairs
from mfs_lib.results import Record


def calibration_figure(points: Sequence[Record]) -> Figure:
    """Left, Q against the true progress of checkpoints; right, the real error of these checkpoints.

    Raises:
        InputError: no checkpoint was measured.
    """
    if not points:
        raise InputError("there is no calibration to draw: examine the scorer first")
    figure = Figure(figsize=(7.6, 2.9))
    left, right = figure.subplots(1, 2)
    true, mean, low, high, error = (
        [record.metric(name).value for record in points] for name in ("progress", "q", "q_5", "q_95", "error")
    )
    left.plot([0, 1], [0, 1], color="#333333", linestyle="--", linewidth=0.9, label="exact")
    left.plot(true, mean, color=COLOURS[0], marker=".", label="mean of Q")
    left.fill_between(true, low, high, color=COLOURS[0], alpha=0.2, label="nine pictures in ten")
    left.set(xlabel="true progress", ylabel="Q", xlim=(0, 1.02), ylim=(0, 1.02), title="calibration")
    left.legend(fontsize="small")
    right.plot(true, error, color=COLOURS[3], marker=".")
    right.set(xlabel="true progress", ylabel="grey levels", title="mean error to the truth")
    return figure


def forest(rows: Mapping[str, Sequence[Estimate]], series: Sequence[str], *, xlabel: str, zero: float = 0.0) -> Figure:
    """Estimates with intervals: a line for each row, a colour for each series.

    Raises:
        InputError: nothing to draw, or a row without one estimate for each series.
    """
    if not rows or any(len(found) != len(series) for found in rows.values()):
        raise InputError(f"every row needs {len(series)} estimates, one for each of {list(series)}")
    figure = Figure(figsize=(6.8, 0.9 + 0.36 * len(rows)))
    axes = figure.subplots()
    middles = np.arange(len(rows))[::-1]
    for k, (name, colour) in enumerate(zip(series, COLOURS, strict=False)):
        found = [estimates[k] for estimates in rows.values()]
        shift = 0.24 * ((len(series) - 1) / 2 - k)
        axes.hlines(middles + shift, [x.low for x in found], [x.high for x in found], color=colour, linewidth=2)
        axes.plot([x.value for x in found], middles + shift, "o", color=colour, markersize=4, label=name)
    axes.axvline(zero, color="black", linewidth=0.8)
    axes.set_yticks(middles, list(rows))
    axes.set_xlabel(xlabel)
    if len(series) > 1:
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def weight_scatter(weights: Mapping[str, FloatArray], error: FloatArray, labels: Mapping[str, str]) -> Figure:
    """Every picture's error against its weights, a panel for each of `labels`, with the rank correlation."""
    figure = Figure(figsize=(2.6 * len(labels), 2.7))
    panels = np.atleast_1d(figure.subplots(1, len(labels), sharey=True))
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
        axes.plot(weights[name], error, ".", color=COLOURS[0], markersize=3, alpha=0.6)
        found = f"{spearman(weights[name], error):.2f}".replace("-", "−")
        axes.set(xlabel=label, title=f"ρ = {found}")
    panels[0].set_ylabel("error to the truth")
    return figure


def extremes(values: FloatArray, each: int) -> tuple[list[int], list[int]]:
    """Indices of the `each` lowest values, lowest first, and of the highest, highest first.

    Raises:
        InputError: fewer values than that.
    """
    if len(values) < 2 * each:
        raise InputError(f"{2 * each} pictures are to be shown, and there are {len(values)}")
    order = np.argsort(values, kind="stable").tolist()
    return order[:each], order[::-1][:each]


def extremes_sheet(
    pictures: Tensor, pairs: SampledPairs, values: FloatArray, each: int, *, cell: float = 0.85
) -> Figure:
    """Targets, pictures and truths of those with the lowest `values` (left) and with the highest (right)."""
    low, high = extremes(values, each)
    chosen = [*low, *high[::-1]]
    labels = [f"{values[i]:.2f}" for i in chosen]
    rows = [batch[chosen] for batch in (pairs.source, pairs.target, pictures, pairs.truth)]
    return sheet(rows, row_labels=["source", "target", "teacher", "truth"], col_labels=labels, cell=cell)
