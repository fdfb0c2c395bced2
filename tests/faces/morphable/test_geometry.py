"""Geometry of the face world: rotations, similarities and the inverse of a map, on cases with known answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.faces.morphable.frame import GRID, grid_points, sample_field
from mfs_lib.faces.morphable.geometry import (
    PIVOT,
    fit_similarity,
    inverse_map,
    pose_points,
    rotation_matrices,
    surface_normals,
    transform,
)

ZERO = torch.zeros(1)


def _turned(point: tuple[float, float, float], **angles: float) -> Tensor:
    """A point relative to the pivot, rotated; the rest of the angles are 0."""
    named = {name: torch.tensor([angles.get(name, 0.0)]) for name in ("yaw", "pitch", "roll")}
    rotation = rotation_matrices(named["yaw"], named["pitch"], named["roll"])
    return (rotation @ torch.tensor(point)[:, None]).flatten()


def test_positive_angles_turn_right_down_and_clockwise() -> None:
    nose, top = (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)
    sine, cosine = math.sin(math.radians(30)), math.cos(math.radians(30))
    torch.testing.assert_close(_turned(nose, yaw=30), torch.tensor([sine, 0.0, cosine]))
    torch.testing.assert_close(_turned(nose, pitch=30), torch.tensor([0.0, sine, cosine]))
    torch.testing.assert_close(_turned(top, roll=30), torch.tensor([sine, -cosine, 0.0]))


def test_rotations_are_rotations() -> None:
    angles = (torch.rand(3, 20, generator=torch.Generator().manual_seed(0)) - 0.5) * 120
    matrices = rotation_matrices(*angles)
    torch.testing.assert_close(matrices @ matrices.transpose(1, 2), torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(20), atol=1e-5, rtol=0)


def test_the_pivot_stays_and_what_is_nearer_looks_larger() -> None:
    pivot = torch.tensor(PIVOT)
    points = torch.stack([pivot, pivot + torch.tensor([0.1, 0.0, 0.0]), pivot + torch.tensor([0.1, 0.0, 0.5])])[None]
    posed = pose_points(points, rotation_matrices(ZERO, ZERO, ZERO))[0]
    torch.testing.assert_close(posed[0, :2], pivot[:2])
    assert posed[1, 0] - pivot[0] == pytest.approx(0.1)
    assert posed[2, 0] - pivot[0] == pytest.approx(0.1 * 4 / 3.5)  # CAMERA_DISTANCE 4 in front of the pivot
    assert posed[2, 2] == pytest.approx(0.5)


def test_a_similarity_is_recovered_exactly_and_a_shear_is_not_followed() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(4, 7, 2, generator=generator)
    angle, scale, shift = torch.tensor([0.0, 0.5, -2.0, 3.0]), torch.tensor([1.0, 0.3, 2.0, 5.0]), torch.rand(4, 2)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    known = torch.cat([turn * scale[:, None, None], shift[:, :, None]], 2)
    torch.testing.assert_close(fit_similarity(points, transform(points, known)), known, atol=1e-5, rtol=1e-5)
    sheared = points * torch.tensor([1.0, 2.0])
    linear = fit_similarity(points, sheared)[:, :, :2]
    torch.testing.assert_close(linear[:, 0, 0], linear[:, 1, 1])
    torch.testing.assert_close(linear[:, 0, 1], -linear[:, 1, 0])


def _bent(amount: float) -> Tensor:
    """A smooth displacement of the whole frame, (1, 2, G, G)."""
    x, y = torch.tensor(grid_points(), dtype=torch.float32).permute(2, 0, 1)
    right = amount * torch.sin(2 * math.pi * y) * torch.sin(math.pi * x)
    down = amount * torch.cos(1.5 * math.pi * x) * torch.sin(math.pi * y)
    return torch.stack([x + right, y + down])[None]


@pytest.mark.parametrize("size", [32, 96])
def test_the_inverse_map_inverts_a_smooth_displacement(size: int) -> None:
    position = _bent(0.06)  # up to 5.8 px of 96
    inverse = inverse_map(position, torch.zeros(1, 1, GRID, GRID), size)
    landed = functional.grid_sample(position, inverse * 2 - 1, align_corners=True).permute(0, 2, 3, 1)
    centres = (torch.arange(size) + 0.5) / size
    pixels = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    assert ((inverse[0] - pixels).norm(dim=-1) * size).max() > 0.04 * size  # there was something to invert
    assert ((landed[0] - pixels).norm(dim=-1) * size).max() < 0.1


def test_of_two_sheets_the_nearer_is_seen() -> None:
    position = torch.tensor(grid_points(), dtype=torch.float32).permute(2, 0, 1)[None].clone()
    position[:, 0] = 0.5 - (position[:, 0] - 0.5).abs()  # the right half is folded onto the left
    depth = torch.zeros(1, 1, GRID, GRID)
    depth[..., GRID // 2 + 1 :] = 0.5
    seen = inverse_map(position, depth, 64)[0, :, 6:26, 0]
    assert (seen > 0.5).all()
    assert (inverse_map(position, -depth, 64)[0, :, 6:26, 0] < 0.5).all()


def test_maps_larger_than_the_splat_can_number_are_refused() -> None:
    with pytest.raises(InputError, match="512"):
        inverse_map(_bent(0.0), torch.zeros(1, 1, GRID, GRID), 513)


def test_fields_are_sampled_at_frame_positions() -> None:
    field = torch.tensor(grid_points(), dtype=torch.float32).permute(2, 0, 1)[None]
    points = torch.rand(9, 2, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(sample_field(field, points)[0], points, atol=1e-5, rtol=0)


def test_normals_of_a_slope() -> None:
    x, y = torch.tensor(grid_points(), dtype=torch.float32).permute(2, 0, 1)
    slope = torch.stack([x, y, 0.5 * x])[None]  # rises to the right: it faces the left
    expected = torch.tensor([-0.5, 0.0, 1.0]) / math.hypot(0.5, 1)
    torch.testing.assert_close(surface_normals(slope)[0, :, GRID // 2, GRID // 2], expected, atol=1e-5, rtol=0)
