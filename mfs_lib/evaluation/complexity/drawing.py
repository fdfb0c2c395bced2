"""Figures of what swaps cost: accuracy against operations, and what the number of parameters doesn't tell."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfs_lib.errors import InputError
from mfs_lib.evaluation.complexity.table import Table
from mfs_lib.figures import COLOURS

_MARKERS = "osD^vPX*<"


def accuracy_scatter(table: Table) -> Figure:
    """The paper's two accuracies against the operations of a video frame, as counted here or, hollow, as printed."""
    figure = Figure(figsize=(7.2, 4.2))
    identity, pose = figure.subplots(1, 2)
    lines = [
        line
        for line in table.lines
        # One of FaceShifter's two open variants is enough: the one nearer to the printed count.
        if line.use == "video" and line.paper.identity and line.paper.pose and line.system != "faceshifter-1x1"
    ]
    for place, line in enumerate(lines):
        row = line.paper
        giga = line.cost.operations.mac / 1e9 if line.cost else float(line.printed[1])
        colour = COLOURS[3] if row.method.startswith("Ours") else COLOURS[0]
        look = {"color": colour, "marker": _MARKERS[place % len(_MARKERS)], "markersize": 7, "linestyle": "none"}
        face = colour if line.cost else "none"
        for axes, value in ((identity, row.identity), (pose, row.pose)):
            axes.plot(giga, float(value or "nan"), label=row.method, markerfacecolor=face, alpha=0.8, **look)
    for axes, label in ((identity, "identity retrieval (%), higher is better"), (pose, "pose error, lower is better")):
        axes.set(xscale="log", xlabel="G MAC of a frame", ylabel=label, xlim=(0.1, 3000))
    figure.legend(*identity.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return figure


def hidden_costs(table: Table, keys: Sequence[str]) -> Figure:
    """Weights, operations and activations of a frame, side by side; InputError for a system that isn't in the table."""
    missing = [key for key in keys if key not in table.costs]
    if missing:
        raise InputError(f"the table holds no {', '.join(missing)}; it has {', '.join(table.costs)}")
    costs = [table.costs[key] for key in keys]
    figure = Figure(figsize=(7.2, 0.6 + 0.32 * len(keys)))
    panels = figure.subplots(1, 3, sharey=True)
    _bars(panels[0], [cost.video.weight_bytes / 1e6 for cost in costs], "weights (MB)")
    _bars(panels[1], [cost.video.operations.mac / 1e9 for cost in costs], "G MAC")
    _bars(panels[2], [cost.memory.peak_activations / 1e6 for cost in costs], "activations (MB)")
    panels[0].set_yticks(range(len(costs)), [cost.system.title for cost in costs], fontsize=8)
    panels[0].invert_yaxis()
    return figure


def _bars(axes: Axes, values: Sequence[float], label: str) -> None:
    axes.barh(range(len(values)), values, color=COLOURS[0])
    for place, value in enumerate(values):
        text = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        axes.annotate(text, (value, place), (3, 0), textcoords="offset points", fontsize=7, va="center")
    axes.set(xscale="log", xlabel=label)
    axes.set_xlim(min(values) / 3, max(values) * 20)
    axes.grid(axis="y", visible=False)
