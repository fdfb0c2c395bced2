"""The garment, and laying pictures over one another."""

from __future__ import annotations

import numpy as np
import torch

from mfs_lib.faces.morphable.scenery import garment, lay_over


def test_a_garment_has_shoulders_and_a_neckline() -> None:
    light = np.array([0.1, -0.2, 0.4, 1, 1, 1], np.float32)
    shirt = garment(torch.Generator().manual_seed(3), light, 100.0)
    again = garment(torch.Generator().manual_seed(3), light, 100.0)
    assert np.array_equal(shirt.colour, again.colour)
    tops = [int(np.argmax(shirt.alpha[:, column] > 0.5)) for column in (60, 94, 110, 126, 160)]
    assert tops[1] < tops[2] > tops[3]  # the collar is lower in the middle
    assert tops[0] > tops[1] and tops[4] > tops[3]  # the shoulders fall
    assert shirt.alpha[-1, 110] == 1 and shirt.alpha[0].max() == 0


def test_laying_over_is_cut_at_the_canvas() -> None:
    canvas = np.full((10, 12, 3), 100, np.uint8)
    lay_over(canvas, np.full((6, 6, 3), 200.0), np.full((6, 6), 0.5, np.float32), -3, 8)
    assert (canvas[8:, :3] == 150).all() and (canvas[:8] == 100).all() and (canvas[:, 3:] == 100).all()
    lay_over(canvas, np.full((6, 6, 3), 200.0), np.ones((6, 6), np.float32), 40, 40)
    mask = np.zeros((4, 4), np.float32)
    lay_over(mask, np.ones((2, 2), np.float32), np.full((2, 2), 0.25, np.float32), 1, 1)
    assert mask.sum() == 1.0
