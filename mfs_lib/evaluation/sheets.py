"""Contact sheets: many equally large pictures in one drawing, quick to make however many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mfs_lib.errors import InputError

_GAP = 2  # white pixels between pictures


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) or (1, H, W) in [0, 1] to (H, W, 3) uint8; one channel becomes grey."""
    array = (image.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(array.expand(3, -1, -1).permute(1, 2, 0).numpy())


def sheet(
    rows: Sequence[Tensor | Sequence[Tensor]],
    *,
    row_labels: Sequence[str] = (),
    col_labels: Sequence[str] = (),
    cell: float = 0.8,
) -> Figure:
    """Rows of pictures, (N, C, S, S) or N times (C, S, S) in [0, 1] with C 1 or 3, `cell` inches each.

    Raises InputError where there is nothing to draw, rows differ in length, or labels don't fit.
    """
    if not rows or not len(rows[0]) or len({len(row) for row in rows}) > 1:
        raise InputError("A sheet needs rows of pictures, all equally long.")
    height, width = len(rows), len(rows[0])
    if len(row_labels) not in (0, height) or len(col_labels) not in (0, width):
        raise InputError(f"{len(row_labels)} and {len(col_labels)} labels don't fit a sheet of {height}×{width}.")
    side = rows[0][0].shape[-1]
    step = side + _GAP
    canvas = np.full((height * step - _GAP, width * step - _GAP, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            canvas[i * step : i * step + side, j * step : j * step + side] = to_pixels(picture)
    figure = Figure(figsize=(cell * width + (1.0 if row_labels else 0), cell * height + (0.35 if col_labels else 0)))
    axes = figure.add_subplot()
    axes.imshow(canvas, interpolation="antialiased")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize="small")
    middles = np.arange(max(height, width)) * step + side / 2
    axes.set_yticks(middles[: len(row_labels)], row_labels)
    axes.set_xticks(middles[: len(col_labels)], col_labels)
    axes.xaxis.tick_top()
    return figure


def in_rows(images: Tensor, columns: int) -> list[Tensor]:
    """Cut (N, ...) into rows of `columns`; what doesn't fill a row is left out."""
    return [images[i : i + columns] for i in range(0, len(images) - columns + 1, columns)]
