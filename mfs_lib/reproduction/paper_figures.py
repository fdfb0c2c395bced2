"""The paper's figures in this book's setting: the same comparisons, on people of whom the exact swap is known.

| figure  | function      | what                                                                              |
|---------|---------------|-----------------------------------------------------------------------------------|
| 1       | `teaser`      | source, target, both teachers and the students distilled from them, with costs    |
| 3, 4    | `comparison`  | source, target, a teacher, its student, the exact swap                            |
| 5       | `crossing`    | every source on every target                                                      |
| 6       | `comparison`  | source, target, methods side by side, the exact swap                              |
| 7       | `details`     | eyes and mouths, enlarged                                                         |
| 8, 9    | `ablation`    | a row for each network, with heat maps of the change outside the face or the error |
|         | `extremes`    | the pairs that a system gets best, typically and worst                            |

Figure 2 is `framework_drawing`'s. Pictures are shown at one size; systems of smaller crops are enlarged to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.evaluation.complexity.system import SystemCost
from mfs_lib.evaluation.sheets import sheet
from mfs_lib.faces.alignment import TEMPLATE
from mfs_lib.figures import image_grid
from mfs_lib.reproduction.paper_pairs import Deck, ShownPairs, ranked
from mfs_lib.reproduction.paper_systems import TRUTH, Shown, swaps_of

Heat = Literal["outside", "truth"]

HEAT_LIMIT: dict[Heat, float] = {"outside": 16.0, "truth": 64.0}
"""Grey levels (of 255) at which a heat map's colours end."""

HEAT_LABEL: dict[Heat, str] = {
    "outside": "change outside the face (grey levels)",
    "truth": "error to the exact swap (grey levels)",
}

_OUTSIDE = 0.02  # a face mask below this is background, as in the metric
_COLOURS = "magma"
_FACE_GREY = 0.85
_WINDOW = 0.375  # of the crop's side, that `details` enlarges


def _columns(deck: Deck, systems: Sequence[Shown], size: int) -> dict[str, Tensor]:
    """Pictures (N,3,S,S) by their titles: source, target, the swaps of each system that can be shown on these pairs.

    Raises:
        InputError: there is no such system.
    """
    pairs = deck.deal(size)
    shown = showable(systems, pairs)
    if not shown:
        raise InputError("there is no system to show: none of the wanted weights is here")
    swaps = {system.title: swaps_of(system, deck, size) for system in shown}
    return {"source": pairs.source, "target": pairs.target, **swaps}


def showable(systems: Sequence[Shown], pairs: ShownPairs) -> list[Shown]:
    """The systems but for those that need the exact swap where it isn't known."""
    return [system for system in systems if pairs.truth is not None or not system.needs_truth]


def _rows(columns: dict[str, Tensor]) -> list[tuple[Tensor, ...]]:
    return list(zip(*columns.values(), strict=True))


def comparison(deck: Deck, systems: Sequence[Shown], *, size: int = 64, cell: float = 0.95) -> Figure:
    """A row for each pair: source, target, and what each system makes of them.

    Raises:
        InputError: no system to compare.
    """
    columns = _columns(deck, systems, size)
    return sheet(_rows(columns), col_labels=list(columns), cell=cell)


def cost_label(cost: SystemCost) -> str:
    """What a frame costs, in two lines for the foot of a column; parameters are kernels, as in the paper's Table 1."""
    return f"{cost.video.operations.mac / 1e9:.3f} G MAC\n{cost.video.kernels / 1e6:.2f} M par."


def teaser(deck: Deck, systems: Sequence[Shown], *, size: int = 64, cell: float = 1.15) -> Figure:
    """Figure 1: as `comparison`, with the cost of a frame at the foot of every network's column.

    Raises:
        InputError: no system to compare.
    """
    columns = _columns(deck, systems, size)
    figure = image_grid(_rows(columns), col_labels=list(columns), cell=cell)
    feet = {system.title: cost_label(system.count()) for system in systems if system.count}
    for axes, title in zip(figure.axes[-len(columns) :], columns, strict=True):
        axes.set_xlabel(feet.get(title, ""), fontsize="small")
    return figure


def crossing(deck: Deck, system: Shown, *, count: int, size: int = 64, cell: float = 0.85) -> Figure:
    """Figure 5: `count` sources at the left, as many targets on top, a swap at each crossing."""
    pairs = deck.deal(size)
    everybody = Deck(deck.title, lambda side: deck.deal(side).crossed(count))
    swaps = swaps_of(system, everybody, size).view(count, count, *pairs.target.shape[1:])
    blank = torch.ones_like(pairs.source[0])
    rows = [[blank, *pairs.target[:count]], *([pairs.source[i], *swaps[i]] for i in range(count))]
    return sheet(rows, cell=cell)


def windows() -> dict[str, tuple[float, float]]:
    """Corners (left, top, as shares of the crop's side) of the windows that `details` enlarges, from the template."""
    middles = {"eyes": TEMPLATE[:2].mean(0), "mouth": TEMPLATE[3:].mean(0)}
    return {name: (float(x) - _WINDOW / 2, float(y) - _WINDOW / 2) for name, (x, y) in middles.items()}


def enlarged(pictures: Tensor, corner: tuple[float, float]) -> Tensor:
    """A window of pictures (N,3,S,S), at their own size again (bicubic)."""
    size = pictures.shape[-1]
    side, (left, top) = round(_WINDOW * size), (round(share * size) for share in corner)
    cut = pictures[..., top : top + side, left : left + side]
    return functional.interpolate(cut, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def details(deck: Deck, systems: Sequence[Shown], *, size: int = 128, cell: float = 0.95) -> Figure:
    """Figure 7: for each pair a row of whole crops, one of eyes and one of mouths.

    Raises:
        InputError: no system to compare.
    """
    columns = _columns(deck, systems, size)
    parts = {"crop": columns}
    for name, corner in windows().items():
        parts[name] = {title: enlarged(pictures, corner) for title, pictures in columns.items()}
    by_pair = list(zip(*(_rows(part) for part in parts.values()), strict=True))
    rows = [row for of_pair in by_pair for row in of_pair]
    return sheet(rows, row_labels=list(parts) * len(by_pair), col_labels=list(columns), cell=cell)


def heat_map(picture: Tensor, pairs: ShownPairs, heat: Heat) -> Tensor:
    """Where swaps (N,3,S,S) changed what they should have left alone, or miss the exact swap: colours (N,3,S,S).

    "outside" leaves the face of target and exact swap grey.

    Raises:
        InputError: the pairs' exact swap isn't known.
    """
    if pairs.truth is None or pairs.face is None:
        raise InputError("heat maps need pairs whose exact swap and faces are known: those of the face world")
    reference = pairs.target if heat == "outside" else pairs.truth
    difference = 255 * (picture - reference).abs().mean(1)
    levels = (difference / HEAT_LIMIT[heat]).clamp(0, 1)
    colours = torch.from_numpy(colormaps[_COLOURS](levels.numpy())[..., :3]).permute(0, 3, 1, 2).float()
    if heat == "truth":
        return colours
    return torch.where(pairs.face > _OUTSIDE, torch.tensor(_FACE_GREY), colours)


def ablation(deck: Deck, systems: Sequence[Shown], heat: Heat, *, size: int = 64, cell: float = 0.8) -> Figure:
    """Figures 8 and 9: a row for each system; at the left its swaps, at the right a heat map of each.

    The first rows are source and target, the last is the exact swap.

    Raises:
        InputError: no system to compare, or pairs without exact swaps.
    """
    if not systems:
        raise InputError("there is no network to show: none of the wanted weights is here")
    pairs, columns = deck.deal(size), _columns(deck, [*systems, TRUTH], size)
    maps = {title: heat_map(pictures, pairs, heat) for title, pictures in columns.items()}
    maps["source"] = torch.ones_like(pairs.source)  # it isn't compared with anything
    rows = [[*columns[title], *maps[title]] for title in columns]
    figure = sheet(rows, row_labels=list(columns), cell=cell)
    scale = ScalarMappable(Normalize(0, HEAT_LIMIT[heat]), _COLOURS)
    figure.colorbar(scale, ax=figure.axes[0], shrink=0.5, pad=0.02, extend="max", label=HEAT_LABEL[heat])
    return figure


def errors_to_truth(system: Shown, deck: Deck, size: int) -> Tensor:
    """Mean absolute error of a system's swaps to the exact ones, grey levels, (N,).

    Raises:
        InputError: the exact swaps aren't known.
    """
    truth = deck.deal(size).truth
    if truth is None:
        raise InputError(f"no exact swap is known of {deck.title}")
    return 255 * (swaps_of(system, deck, size) - truth).abs().mean((1, 2, 3))


def extremes(deck: Deck, systems: Sequence[Shown], by: Shown, *, size: int = 64, cell: float = 0.95) -> Figure:
    """Rows best, typical and worst: the pairs of a deck ranked by the error of the system `by` to the exact swap."""
    error = errors_to_truth(by, deck, size)
    chosen = ranked(error)
    few = Deck(deck.title, lambda side: deck.deal(side).select(list(chosen.values())))
    columns = _columns(few, systems, size)
    labels = [f"{name}\n{float(error[i]):.1f}" for name, i in chosen.items()]
    return sheet(_rows(columns), row_labels=labels, col_labels=list(columns), cell=cell)
