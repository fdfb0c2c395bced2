"""Background: nothing for a change inside the face, all of one outside, by hand-made meshes and masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.background import background_metric, face_regions
from mfs_lib.evaluation.metrics.meshes import Meshes
from mfs_lib.faces.mesh import FACE_OVAL

SIZE = 100


def disc(x: float, y: float, radius: float) -> Meshes:
    """A mesh whose outline is a circle."""
    mesh = np.full((1, 468, 3), [x, y, 0.0])
    angle = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    mesh[0, list(FACE_OVAL), :2] += radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    return mesh


def test_region_is_the_union_widened() -> None:
    plain = face_regions(disc(30, 50, 15), disc(70, 50, 15), SIZE, widen=0)[0]
    assert plain[50, 30] and plain[50, 70] and not plain[50, 50]
    assert plain.sum() == pytest.approx(2 * np.pi * 15.5**2, rel=0.03)  # the outline itself belongs to the face
    wide = face_regions(disc(30, 50, 15), disc(70, 50, 15), SIZE, widen=0.05)[0]
    assert wide.sum() == pytest.approx(2 * np.pi * 20.5**2, rel=0.03)
    assert wide[plain].all()


def test_change_inside_counts_nothing_and_outside_everything() -> None:
    region = face_regions(disc(50, 50, 30), disc(50, 50, 30), SIZE)
    target = torch.full((1, 3, SIZE, SIZE), 0.5)
    inside, outside = target.clone(), target.clone()
    inside[:, :, 40:60, 40:60] = 1
    outside[:, :, torch.from_numpy(~region[0])] += 10 / 255
    assert background_metric(inside, target, region, backend="m").value == 0
    found = background_metric(outside, target, region, backend="m")
    assert found.value == pytest.approx(10, abs=1e-3)
    assert (found.unit, found.backend, found.n) == ("grey levels", "m", 1)


def test_given_masks_bytes_and_pairs_that_are_all_face() -> None:
    target = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    result = target.clone()
    result[:, :, 0] = 16
    mask = torch.ones(2, 1, 8, 8)
    mask[0, :, :4] = 0.01
    found = background_metric(result, target, mask, backend="masks")
    assert found.value == pytest.approx(4)
    assert found.n == 1


def test_no_background_and_wrong_shapes_are_refused() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    with pytest.raises(InputError, match="no background"):
        background_metric(picture, picture, torch.ones(1, 8, 8), backend="m")
    with pytest.raises(InputError, match="don't fit"):
        background_metric(picture, picture, torch.ones(1, 4, 4), backend="m")
