"""Figures of the chapter on deployment: latency against operations, where a frame's time goes, what fewer bits change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.figures import COLOURS, image_grid
from mfs_lib.results import Record

_MARKERS = "osD^vPXp"

STAGES = ("track", "align", "swap", "paste")
"""Stages of a frame in the order in which they run; "search" runs only now and then."""


def roofline(entries: Mapping[str, Record], titles: Mapping[str, str]) -> Figure:
    """Milliseconds of a frame against its multiply-accumulates, with lines of equal speed.

    Args:
        entries: records with `median_ms` and `mac`, by name.
        titles: which of them to show, and how they are called.

    Raises:
        InputError: a record that isn't there.
    """
    missing = [name for name in titles if name not in entries]
    if missing:
        raise InputError(f"there is no record of {', '.join(missing)}: run mfs bench with --record")
    giga = np.array([entries[name].metric("mac").value / 1e9 for name in titles])
    times = np.array([entries[name].metric("median_ms").value for name in titles])
    figure = Figure(figsize=(7.2, 4.6))
    axes = figure.subplots()
    span = np.array([giga.min() / 3, giga.max() * 3])
    low, high = times.min() / 3, times.max() * 3
    for speed in (10, 30, 100, 300):
        axes.plot(span, 1e3 * span / speed, color="0.8", linewidth=0.8, zorder=0)
        middle = np.sqrt(span.prod())  # small networks lie to its left, large ones to its right
        axes.annotate(f"{speed} G MAC/s", (middle, 1e3 * middle / speed), fontsize=7, color="0.4", va="top")
    for place, (title, x, y) in enumerate(zip(titles.values(), giga, times, strict=True)):
        marker, colour = _MARKERS[place % len(_MARKERS)], COLOURS[place % len(COLOURS)]
        axes.plot(x, y, marker, color=colour, markersize=9, label=title, markeredgecolor="white")
    axes.set(
        xscale="log", yscale="log", xlabel="G MAC of a frame", ylabel="ms of a frame, one thread", xlim=tuple(span)
    )
    axes.set_ylim(low, high)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def stage_bars(stages: Mapping[str, Mapping[str, float]]) -> Figure:
    """Where the time of a frame goes: a bar for each size of video, of the stages' milliseconds.

    Args:
        stages: by size, such as "1920x1080", milliseconds by stage (see `STAGES`).
    """
    figure = Figure(figsize=(7.2, 0.9 + 0.6 * len(stages)))
    axes = figure.subplots()
    for row, values in enumerate(stages.values()):
        left = 0.0
        for place, stage in enumerate(STAGES):
            axes.barh(row, values[stage], left=left, color=COLOURS[place], label=stage if row == 0 else None)
            if values[stage] > 0.4:
                text = f"{values[stage]:.1f}"
                axes.annotate(
                    text, (left + values[stage] / 2, row), ha="center", va="center", fontsize=8, color="white"
                )
            left += values[stage]
    axes.set_yticks(range(len(stages)), list(stages), fontsize=9)
    axes.set(xlabel="ms on one thread")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=len(STAGES), fontsize=8)
    return figure


def variant_sheet(target: Tensor, swaps: Mapping[str, Tensor], *, times: int = 10) -> Figure:
    """Swaps of one target by several variants, and how each differs from the first, enlarged.

    Args:
        target: (3,S,S) in [0,1].
        swaps: (3,S,S) in [0,1] by the variant's name; the first is the reference.
        times: factor of the differences, which are shown around grey.
    """
    names = list(swaps)
    reference = swaps[names[0]]
    blank = torch.full_like(target, 0.5)
    differences = [blank, *((0.5 + times * (swaps[name] - reference)).clamp(0, 1) for name in names)]
    rows = [[target, *swaps.values()], differences]
    return image_grid(rows, row_labels=["picture", f"difference × {times}"], col_labels=["target", *names])


def newest(records: Sequence[Record], prefix: str) -> dict[str, Record]:
    """The newest record of each experiment `prefix/NAME`, by NAME."""
    found: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record.created):
        if record.experiment.startswith(f"{prefix}/"):
            found[record.experiment.removeprefix(f"{prefix}/")] = record
    return found
