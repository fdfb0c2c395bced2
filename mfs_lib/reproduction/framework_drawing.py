"""The paper's Figure 2 from code: (a) the training, (b) the injection network, (c) the mobile network with its fusion mask.

What stands in the boxes was seen while the networks ran (`paper_trace`), or is read from the objects that the training is
made of (`DistillationWeights`); which box follows which is the paper's figure. Pictures are put in where they are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.drawing import BLUE, GREEN, GREY, ORANGE, VERMILION, Arrow, Box, draw_boxes
from mfs_lib.evaluation.layers import Stage
from mfs_lib.evaluation.sheets import to_pixels
from mfs_lib.reproduction.paper_trace import Framework, InjectionModule, Shape
from mfs_lib.training.distillation_losses import DistillationWeights

PICTURES = ("source", "target", "teacher", "swap", "mask")
"""What can be shown in the training: I_s, I_t, I'_g, I_g and its mask."""

_SIDE = 0.86  # of a picture, inches
_NETWORK_TOP, _INJECTION_TOP, _TRAINING_TOP = 0.0, 4.05, 8.75
_STEP = 1.6  # between the modules of a chain
_STYLE = 1.9  # below the injection network's title: where the identity runs along


@dataclass
class _Panel:
    """Boxes, arrows and notes, gathered; `top` is where the panel's title stands, y is counted downwards from there."""

    top: float
    boxes: dict[str, Box] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    notes: list[tuple[float, float, str]] = field(default_factory=list)

    def box(self, name: str, at: tuple[float, float], text: str, *, width: float = 1.05, height: float = 0.5,
            colour: str = GREY) -> None:  # fmt: skip
        """Add a box around the point `at`."""
        self.boxes[name] = Box(at[0], self.top - at[1], text, width, height, colour)

    def note(self, at: tuple[float, float], text: str) -> None:
        """Add a free text."""
        self.notes.append((at[0], self.top - at[1], text))

    def chain(self, *names: str, dashed: bool = False) -> None:
        """Arrows from each box to the next."""
        self.arrows += [Arrow(a, b, dashed=dashed) for a, b in pairwise(names)]

    def depth(self, name: str) -> float:
        """How far below the title a box lies."""
        return self.top - self.boxes[name].y


def framework(traced: Framework, *, pictures: Mapping[str, Tensor] | None = None,
              weights: DistillationWeights | None = None) -> Figure:  # fmt: skip
    """All three panels below one another.

    Args:
        traced: what `trace_framework` saw.
        pictures: (3,S,S) or, of the mask, (1,S,S) in [0,1], by the names in `PICTURES`; all of them or none.
        weights: the λ of equation 7; the paper's without them.

    Raises:
        InputError: some pictures are missing, or there is one that has no place.
    """
    shown = dict(pictures or {})
    if shown and set(shown) != set(PICTURES):
        raise InputError(f"the training shows the pictures {sorted(PICTURES)}, got {sorted(shown)}")
    training, injection = _training(traced, weights or DistillationWeights()), _injection(traced)
    panels = [training, injection, _network(traced)]
    boxes = {name: box for panel in panels for name, box in panel.boxes.items()}
    figure = draw_boxes(
        boxes, [arrow for panel in panels for arrow in panel.arrows], [note for panel in panels for note in panel.notes]
    )
    for name, picture in shown.items():
        _picture(figure.axes[0], training.boxes[f"a {name}"], picture)
    _style_line(figure.axes[0], injection)
    return figure


def _picture(axes: Axes, box: Box, picture: Tensor) -> None:
    """Lay a picture over a box, a little of whose border stays, its name below it."""
    reach = 0.47 * _SIDE
    extent = (box.x - reach, box.x + reach, box.y - reach, box.y + reach)
    axes.imshow(to_pixels(picture), extent=extent, zorder=3, interpolation="antialiased")
    axes.text(box.x, box.y - _SIDE / 2 - 0.02, box.text, fontsize=8.5, ha="center", va="top")


def _style_line(axes: Axes, panel: _Panel) -> None:
    """The identity's way along both rows of modulations, with an arrow into each."""
    start, ends = panel.boxes["b z"], [box for name, box in panel.boxes.items() if name.startswith("b m ")]
    axes.plot([start.x + start.width / 2, max(box.x for box in ends)], [start.y] * 2, color="#333333", linewidth=1.1)
    for box in ends:
        edge = box.y + (box.height / 2 if box.y < start.y else -box.height / 2)
        arrow = FancyArrowPatch(
            (box.x, start.y), (box.x, edge), arrowstyle="-|>", mutation_scale=9, shrinkA=0, shrinkB=1, linewidth=1.1,
            color="#333333",
        )  # fmt: skip
        axes.add_patch(arrow)


_PLACES = {
    "source": ((0.6, 0.8), "$I_s$"), "target": ((0.6, 1.95), "$I_t$"), "mask": ((6.85, 0.8), "$M_g$"),
    "swap": ((6.85, 2.1), "$I_g$"), "teacher": ((6.85, 3.4), "$I'_g$"),
}  # fmt: skip
_NETWORKS = {
    "identity": ((2.35, 0.8), "identity network $F_{id}$", GREY), "injection": ((4.65, 0.8), "injection network (b)", BLUE),
    "mobile": ((4.65, 1.95), "mobile network (c)", GREEN), "teacher": ((4.65, 3.4), "teacher", GREY),
}  # fmt: skip


def _training(traced: Framework, weights: DistillationWeights) -> _Panel:
    panel = _Panel(_TRAINING_TOP)
    panel.note((0.1, 0.1), "(a) The training. Grey networks are frozen")
    for name, (at, text) in _PLACES.items():
        panel.box(f"a {name}", at, text, width=_SIDE, height=_SIDE)
    for name, (at, title, colour) in _NETWORKS.items():
        text = f"{title}\n{traced.sizes[name].lines()}"
        panel.box(f"a net {name}", at, text, width=1.75, height=0.66, colour=colour)
    panel.arrows.append(Arrow("a net identity", "a net injection", r"$z_{id}$"))
    panel.arrows.append(Arrow("a net injection", "a net mobile", "weights"))
    panel.chain("a source", "a net identity")
    panel.chain("a target", "a net mobile", "a swap")
    panel.chain("a target", "a net teacher", "a teacher")
    panel.chain("a source", "a net teacher")
    panel.chain("a net mobile", "a mask")
    _losses(panel, traced, weights)
    return panel


def _losses(panel: _Panel, traced: Framework, weights: DistillationWeights) -> None:
    """Equation 7 at the right of the training."""
    x = 9.45
    rows = {
        "mask": (0.8, rf"${weights.mask:g}\,L_{{mask}}$: background of $M_g$"),
        "id": (1.55, rf"${weights.id:g}\,L_{{id}}$: $F_{{id}}(I_g)$ and $z_{{id}}$"),
        "adv": (2.1, rf"${weights.adv:g}\,L_{{adv}}$: a discriminator"),
        "distil": (2.75, rf"$\alpha\,({weights.rec:g}\,L_{{rec}} + {weights.per:g}\,L_{{per}})$"),
    }
    for name, (y, text) in rows.items():
        panel.box(f"a loss {name}", (x, y), text, width=1.9, height=0.44, colour=VERMILION)
    alpha = r"$\alpha = \cos(z_{id}, z'_{id})^2\, Q(I'_g)$"
    panel.box("a alpha", (x, 3.4), alpha, width=1.9, height=0.44, colour=ORANGE)
    scorer = f"quality scorer $Q$\n{traced.sizes['scorer'].lines()}"
    panel.box("a scorer", (x, 4.15), scorer, width=1.75, height=0.66)
    panel.chain("a mask", "a loss mask")
    for loss in ("id", "adv", "distil"):
        panel.chain("a swap", f"a loss {loss}")
    panel.chain("a teacher", "a loss distil")
    panel.chain("a teacher", "a scorer", "a alpha", "a loss distil", dashed=True)
    panel.chain("a teacher", "a alpha", dashed=True)


def _sides(shape: Shape) -> str:
    """(512,4,4) as `512×4²`; a vector as its length."""
    return f"{shape[0]}" if len(shape) == 1 else f"{shape[0]}×{shape[1]}²"


def _injection(traced: Framework) -> _Panel:
    panel = _Panel(_INJECTION_TOP)
    title = "(b) The injection network: a module for each stage of (c), run once for a person, whose picture has"
    panel.note((0.1, 0.1), f"{title} {traced.identity_size}²")
    panel.box("b map", (0.7, 0.6), f"features\n{_sides(traced.feature_map)}")
    panel.box("b z", (0.7, _STYLE), f"$z_{{id}}$\n{_sides(traced.style)}")
    first, second = traced.trunk
    panel.box("b first", (2.1, 0.6), f"trunk\n{_sides(first)}", colour=BLUE)
    panel.box("b second", (2.1, 3.2), f"trunk\n{_sides(second)}", colour=BLUE)
    panel.chain("b map", "b first", "b second")
    encoder = [module for module in traced.modules if module.stage.startswith("E")]
    decoder = [module for module in traced.modules if module.stage.startswith("D")]
    _chain(panel, "b first", encoder, predicted=0.6, modulated=1.3)
    _chain(panel, "b second", decoder, predicted=3.2, modulated=2.5)
    return panel


def _chain(panel: _Panel, start: str, modules: list[InjectionModule], *, predicted: float, modulated: float) -> None:
    """One chain of the predictor in a row, and the modulations of the same stages between it and the identity."""
    before, passed = start, ""
    for place, module in enumerate(modules):
        x, name = 3.6 + _STEP * place, f"b k {module.stage}"
        panel.box(name, (x, predicted), f"{module.stage}: kernels\n{_sides(module.kernel)}", colour=BLUE)
        outputs, inputs = module.weight
        text = f"{module.stage}: {module.scales} scales\nof {outputs}×{inputs}"
        panel.box(f"b m {module.stage}", (x, modulated), text, width=1.25, colour=ORANGE)
        panel.arrows.append(Arrow(before, name, passed))
        before, passed = name, _sides(module.hidden)


def _stage_text(stage: Stage) -> str:
    kernels = ", ".join(f"{k}×{k}" for k in stage.kernels)
    return (
        f"{stage.name}: {stage.inputs}→{stage.outputs}, {stage.side_out}²\n{'↑2, ' if stage.upsamples else ''}{kernels}"
    )


def _network(traced: Framework) -> _Panel:
    panel = _Panel(_NETWORK_TOP)
    sizes = {name: traced.sizes[name].lines().replace("\n", ", ") for name in ("mobile", "mask")}
    title = f"(c) The mobile network, run on every frame ({sizes['mobile']}), and its fusion mask ({sizes['mask']})"
    panel.note((0.1, 0.1), title)
    encoder = [stage for stage in traced.stages if stage.name.startswith("E")]
    sides = sorted({stage.side_out for stage in traced.stages}, reverse=True)
    level = {side: 0.6 + 0.62 * place for place, side in enumerate(sides)}
    panel.box("c input", (0.75, level[traced.size]), f"$I_t$\n3×{traced.size}²", height=0.46)
    for place, stage in enumerate(traced.stages):
        down, name = place < len(encoder), f"c {stage.name}"
        x = 0.75 + (0.72 * (place + 1) if down else 0.72 * (len(encoder) + 1) + 0.75 * (place - len(encoder) + 1))
        colour = BLUE if down else (GREY if stage.name == "final" else ORANGE)
        panel.box(name, (x, level[stage.side_out]), _stage_text(stage), width=1.25, height=0.46, colour=colour)
        panel.arrows.append(Arrow(f"c {stage.before}", name))
        panel.arrows += [Arrow(f"c {other}", f"c {stage.before}", "join", dashed=True) for other in stage.joined]
    _fusion(panel, traced, deepest=f"c {encoder[-1].name}", last=f"c {traced.stages[-1].name}")
    return panel


def _fusion(panel: _Panel, traced: Framework, *, deepest: str, last: str) -> None:
    """The mask head along the bottom, and the fusion of the network's picture with the target."""
    before = deepest
    for place, layer in enumerate(layer for layer in traced.mask if layer.kind != "depthwise"):
        name, at = f"c mask {place}", (panel.boxes[deepest].x + 1.0 * place, panel.depth(deepest) + 0.7)
        panel.box(name, at, f"{layer.inputs}→{layer.outputs}\n{layer.side}²", width=0.8, height=0.46, colour=GREEN)
        panel.arrows.append(Arrow(before, name, dashed=place == 0))
        before = name
    at = panel.boxes[last].x + 1.8, panel.depth(last)
    panel.box("c fusion", at, r"$I_g = M_g\,I + (1 - M_g)\,I_t$", width=1.95, height=0.46, colour=GREEN)
    panel.arrows.append(Arrow(last, "c fusion", "$I$"))
    panel.arrows.append(Arrow(before, "c fusion", "$M_g$"))
