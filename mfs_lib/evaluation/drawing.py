"""Diagrams of the book, drawn from boxes and arrows: the two flows of the project, and networks as they were run.

Nothing here knows a layer by heart: sizes come from `layers.trace_stages` and `layers.layer_counts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.layers import LayerCount, Stage
from mfs_lib.figures import COLOURS
from mfs_lib.networks.modulation import Modulated

BLUE, ORANGE, GREEN, VERMILION = COLOURS[:4]
GREY = "#666666"
_TEXT = 8.5


class Box(NamedTuple):
    """A labelled box around (`x`, `y`), in inches; y grows upwards. `colour` tints it."""

    x: float
    y: float
    text: str
    width: float = 1.15
    height: float = 0.5
    colour: str = GREY


class Arrow(NamedTuple):
    """An arrow between two named boxes; `label` is set beside its middle, `bend` curves it, `dashed` sets it apart."""

    start: str
    end: str
    label: str = ""
    bend: float = 0.0
    dashed: bool = False


def draw_boxes(
    boxes: Mapping[str, Box], arrows: Iterable[Arrow], notes: Sequence[tuple[float, float, str]] = ()
) -> Figure:
    """Boxes, arrows between them and free `notes` (x, y, text), one inch of the figure to one unit.

    Raises InputError where an arrow starts or ends at a box that isn't there.
    """
    left = min(b.x - b.width / 2 for b in boxes.values()) - 0.1
    right = max(b.x + b.width / 2 for b in boxes.values()) + 0.1
    bottom = min([b.y - b.height / 2 for b in boxes.values()] + [y for _, y, _ in notes]) - 0.15
    top = max([b.y + b.height / 2 for b in boxes.values()] + [y for _, y, _ in notes]) + 0.15
    figure = Figure(figsize=(right - left, top - bottom))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    for box in boxes.values():
        _box(axes, box)
    for arrow in arrows:
        missing = {arrow.start, arrow.end} - set(boxes)
        if missing:
            raise InputError(f"no box is called {sorted(missing)}; there are {sorted(boxes)}")
        _arrow(axes, boxes[arrow.start], boxes[arrow.end], arrow)
    for x, y, text in notes:
        axes.text(x, y, text, fontsize=_TEXT, color="black", ha="left", va="center")
    return figure


def _box(axes: Axes, box: Box) -> None:
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    frame = FancyBboxPatch(
        corner, box.width, box.height, boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=f"{box.colour}26", edgecolor=box.colour, linewidth=1.2,
    )  # fmt: skip
    axes.add_patch(frame)
    axes.text(box.x, box.y, box.text, fontsize=_TEXT, ha="center", va="center", linespacing=1.15)


def _edge(start: Box, end: Box) -> tuple[float, float]:
    """The point of `start`'s border that faces `end`: the middle of the side that the straight line leaves through."""
    dx, dy = end.x - start.x, end.y - start.y
    if abs(dx) * start.height >= abs(dy) * start.width:
        return start.x + (start.width / 2 if dx > 0 else -start.width / 2), start.y
    return start.x, start.y + (start.height / 2 if dy > 0 else -start.height / 2)


def _arrow(axes: Axes, start: Box, end: Box, arrow: Arrow) -> None:
    tail, head = _edge(start, end), _edge(end, start)
    patch = FancyArrowPatch(
        tail, head, arrowstyle="-|>", mutation_scale=9, shrinkA=1, shrinkB=1, linewidth=1.1,
        color="#333333", linestyle="--" if arrow.dashed else "-", connectionstyle=f"arc3,rad={arrow.bend}",
    )  # fmt: skip
    axes.add_patch(patch)
    if arrow.label:
        x, y = (tail[0] + head[0]) / 2, (tail[1] + head[1]) / 2
        level = abs(tail[0] - head[0]) > abs(tail[1] - head[1])
        axes.text(
            x + (0.0 if level else 0.06),
            y + (0.03 if level else 0.0),
            arrow.label,
            fontsize=_TEXT - 1,
            color="#333333",
            ha="center" if level else "left",
            va="bottom" if level else "center",
        )


_SWAP_FLOW = {
    "photo": Box(0.6, 4.0, "source\nphoto", 0.9),
    "id": Box(2.2, 4.0, "identity\nnetwork", colour=BLUE),
    "iin": Box(4.1, 4.0, "injection\nnetwork", colour=BLUE),
    "weights": Box(6.0, 4.0, "weights of\nthe mobile net", 1.25, colour=BLUE),
    "frame": Box(0.6, 2.9, "target\nframe", 0.9),
    "align": Box(2.2, 2.9, "detect,\nalign", colour=GREEN),
    "idn": Box(6.0, 2.9, "mobile network\n+ fusion mask", 1.25, colour=GREEN),
    "paste": Box(7.75, 2.9, "paste back", colour=GREEN),
    "mark": Box(9.2, 2.9, "mark as\nsynthetic", 0.95, colour=GREEN),
}
_LEARN_FLOW = {
    "faces": Box(0.6, 1.5, "faces", 0.9),
    "pairs": Box(2.2, 1.5, "source,\ntarget", colour=ORANGE),
    "teacher": Box(4.1, 1.5, "teacher, or\nexact swap", colour=ORANGE),
    "losses": Box(6.0, 1.5, "losses", 1.25, colour=ORANGE),
    "student": Box(4.1, 0.4, "student", colour=ORANGE),
    "swap": Box(6.0, 0.4, "its swap", 1.25, colour=ORANGE),
    "judges": Box(7.75, 0.4, "frozen judges", colour=VERMILION),
    "results": Box(9.2, 0.4, "results", 0.95, colour=VERMILION),
}
_FLOW_ARROWS = [
    Arrow("photo", "id", "align"),
    Arrow("id", "iin", "$z$, $f$"),
    Arrow("iin", "weights"),
    Arrow("weights", "idn", "write"),
    Arrow("frame", "align"),
    Arrow("align", "idn", "target crop"),
    Arrow("idn", "paste"),
    Arrow("paste", "mark"),
    Arrow("faces", "pairs"),
    Arrow("pairs", "teacher"),
    Arrow("teacher", "losses", "wanted"),
    Arrow("pairs", "student"),
    Arrow("student", "swap"),
    Arrow("swap", "losses", "made"),
    Arrow("losses", "student", "gradient", dashed=True),
    Arrow("swap", "judges"),
    Arrow("judges", "results"),
]


def two_flows() -> Figure:
    """How this project uses its parts: swapping (weights once for each person, then frame after frame) and learning."""
    notes = [(0.15, 4.5, "SWAP, once for each person"), (0.15, 3.4, "SWAP, for every frame"), (0.15, 2.0, "LEARN")]
    return draw_boxes({**_SWAP_FLOW, **_LEARN_FLOW}, _FLOW_ARROWS, notes)


def _stage_box(stage: Stage, x: float, y: float, colour: str) -> Box:
    kernels = ", ".join(f"{k}×{k}" for k in stage.kernels)
    up = "↑2, " if stage.upsamples else ""
    return Box(x, y, f"{stage.name}: {stage.inputs}→{stage.outputs}\n{up}{kernels}", 1.22, 0.46, colour)


def mobile_network(stages: Sequence[Stage]) -> Figure:
    """The traced mobile network as a U: a row for each resolution, encoder left, decoder right, joins across.

    Raises InputError where the trace is empty.
    """
    if not stages:
        raise InputError("there are no stages to draw: trace a network first")
    encoder = [s for s in stages if s.name.startswith("E")]
    levels = {side: -0.85 * i for i, side in enumerate(sorted({s.side_out for s in stages}, reverse=True))}
    boxes = {"input": Box(0.75, levels[stages[-1].side_out], f"target\n3 channels, {stages[0].side_in}²", 1.22, 0.46)}
    arrows = []
    for index, stage in enumerate(stages):
        down = index < len(encoder)
        column = 0.75 + (
            0.62 * (index + 1) if down else 0.62 * (len(encoder) + 1) + 1.0 + 0.75 * (index - len(encoder))
        )
        colour = BLUE if down else (GREY if stage.name == "final" else ORANGE)
        boxes[stage.name] = _stage_box(stage, column, levels[stage.side_out], colour)
        arrows.append(Arrow(stage.before, stage.name))
        arrows += [Arrow(other, stage.before, "join", dashed=True) for other in stage.joined]
    deepest = boxes[encoder[-1].name]
    boxes["mask"] = Box(deepest.x, deepest.y - 0.85, "fusion mask", 1.22, 0.4, GREEN)
    arrows.append(Arrow(encoder[-1].name, "mask", "detached"))
    edge = max(b.x for b in boxes.values()) + 0.75
    notes = [(edge, y, f"{side}²") for side, y in levels.items()]
    boxes["edge"] = Box(edge + 0.2, 0.0, "", 0.4, 0.0, "#ffffff")
    return draw_boxes(boxes, arrows, notes)


def mask_head(layers: Sequence[LayerCount], side_in: int) -> Figure:
    """The traced mask head as a chain: each box is one upsampled, separable layer with its cost in millions of MAC."""
    pairs = [layers[i : i + 2] for i in range(0, len(layers) - 1, 2)]
    boxes = {"in": Box(0.65, 0.0, f"E4's output\n{layers[0].inputs} × {side_in}²", 1.2, 0.75, BLUE)}
    arrows, before = [], "in"
    for i, (depthwise, pointwise) in enumerate(pairs):
        cost = (depthwise.macs + pointwise.macs) / 1e6
        text = f"↑2, {depthwise.kernel}×{depthwise.kernel}\n{pointwise.outputs} × {pointwise.side}²\n{cost:.1f} M"
        boxes[str(i)] = Box(2.3 + 1.25 * i, 0.0, text, 0.95, 0.75, GREEN)
        arrows.append(Arrow(before, str(i), "cut" if i == 0 else "", dashed=i == 0))
        before = str(i)
    last = layers[-1]
    text = f"{last.kernel}×{last.kernel}, σ\n{last.outputs} × {last.side}²\n{last.macs / 1e6:.1f} M"
    boxes["out"] = Box(2.3 + 1.25 * len(pairs), 0.0, text, 0.95, 0.75, GREEN)
    arrows.append(Arrow(before, "out"))
    return draw_boxes(boxes, arrows)


def modulation_panels(modulated: Modulated, row: int = 0) -> Figure:
    """One identity's way from learned to modulated to demodulated weights, with the two vectors that do it."""
    scale = modulated.scale[row].detach()
    learned = modulated.weight.detach().flatten(1)
    scaled = learned * scale
    final = scaled * modulated.demodulation[row].detach()[:, None]
    figure = Figure(figsize=(7.6, 2.9))
    axes = figure.subplots(2, 3, gridspec_kw={"height_ratios": [1, 4]})
    limit = max(float(m.abs().max()) for m in (learned, scaled, final))
    titles = ("learned $W$", r"modulated $\hat W$", r"demodulated $\tilde W$")
    for top, bottom, matrix, title in zip(axes[0], axes[1], (learned, scaled, final), titles, strict=True):
        picture = _matrix(bottom, matrix, limit)
        top.set_title(title)
        _bars(top, scale if matrix is scaled else None)
        norms = matrix.norm(dim=1)
        for output, norm in enumerate(norms.tolist()):
            bottom.text(matrix.shape[1] - 0.3, output, f"{norm:.2f}", fontsize=7, va="center", ha="left")
    figure.colorbar(picture, ax=axes[1, 2], pad=0.22)
    return figure


def _matrix(axes: Axes, matrix: Tensor, limit: float) -> AxesImage:
    axes.grid(False)
    picture = axes.imshow(matrix.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set(xlabel="input channel", ylabel="output channel")
    axes.set_xticks(range(0, matrix.shape[1], 2))
    axes.set_yticks(range(0, matrix.shape[0], 2))
    axes.spines[:].set_visible(False)
    return picture


def _bars(axes: Axes, scale: Tensor | None) -> None:
    """The scales over the matrix that they multiply; elsewhere nothing."""
    if scale is None:
        axes.set_axis_off()
        return
    axes.bar(range(len(scale)), scale.numpy(), color=ORANGE)
    axes.axhline(1.0, color="#333333", linewidth=0.8)
    axes.set(xlim=(-0.5, len(scale) - 0.5), xticks=[], ylabel="scale")
