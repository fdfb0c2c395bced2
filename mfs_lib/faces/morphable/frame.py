"""The mean frame: the coordinate system that all faces of the morphable model share.

A square of side 1, one and a half times as wide as the aligned crop that lies in its middle. Textures are pictures in
this frame, shapes are displacement fields over it (in fractions of its side), so that a texture of one person can be
drawn on the shape of another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.faces.alignment import TEMPLATE

CROP_FRACTION = 2.0 / 3.0
"""Side of the aligned crop as a fraction of the frame's side."""

GRID = 65
"""Control points a side of a displacement field (corners included)."""


def template_in_frame() -> NDArray[np.float64]:
    """The alignment template's five points in frame coordinates, (5, 2) in [0, 1]."""
    return 0.5 + (np.asarray(TEMPLATE, np.float64) - 0.5) * CROP_FRACTION


def grid_points(size: int = GRID) -> NDArray[np.float64]:
    """Positions of a regular grid over the frame, (size, size, 2), x then y, in [0, 1]."""
    line = np.linspace(0.0, 1.0, size)
    return np.stack(np.meshgrid(line, line), axis=-1)


def sample_field(field: Tensor, points: Tensor) -> Tensor:
    """Value of control-grid fields at frame positions.

    Args:
        field: (B, C, G, G) values on the control grid, corners at the frame's corners.
        points: (B, N, 2) or (N, 2) positions in [0, 1], x then y.

    Returns:
        (B, N, C) bilinearly interpolated values.
    """
    if points.dim() == 2:
        points = points.expand(field.shape[0], -1, -1)
    grid = (points * 2 - 1).unsqueeze(2)  # (B, N, 1, 2)
    out = F.grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return out.squeeze(3).transpose(1, 2)
