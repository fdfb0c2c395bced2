"""Where every point of the frame lands in the picture, and back.

Forward: shape and expression displace the frame's control grid, a rigid 3-D rotation with weak perspective poses it,
and a similarity puts it into the crop. Backward: a depth-buffered splat finds the foremost sheet of the (possibly
folded) surface and a few fixed-point steps refine it to a smooth inverse map.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import InputError

PIVOT = (0.5, 0.56, -0.20)
"""Centre of rotation of the head in frame units: behind the face, a little below the eyes."""

CAMERA_DISTANCE = 4.0
"""Distance of the pinhole camera from the pivot, in frame sides: a portrait lens, not a wide angle."""

_LARGEST_MAP = 512
"""Side of the largest inverse map: the splat numbers its (2 * side)**2 points with 20 bits."""

_DAMPING = 0.65
"""Share of a fixed-point step that is taken: converges where a turned cheek is stretched up to threefold."""


def rotation_matrices(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Rotations (B, 3, 3) from angles in degrees; y points down, z towards the camera.

    Positive yaw turns the face to the image's right, positive pitch down, positive roll clockwise.
    """
    y, p, r = (torch.deg2rad(a) for a in (yaw, pitch, roll))
    one, zero = torch.ones_like(y), torch.zeros_like(y)

    def matrix(rows: list[list[Tensor]]) -> Tensor:
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    about_y = matrix([[y.cos(), zero, y.sin()], [zero, one, zero], [-y.sin(), zero, y.cos()]])
    about_x = matrix([[one, zero, zero], [zero, p.cos(), p.sin()], [zero, -p.sin(), p.cos()]])
    about_z = matrix([[r.cos(), -r.sin(), zero], [r.sin(), r.cos(), zero], [zero, zero, one]])
    return about_z @ about_x @ about_y


def pose_points(points: Tensor, rotation: Tensor) -> Tensor:
    """Rotate (B, N, 3) frame points about the pivot and project them; returns (B, N, 3) with z kept for depth."""
    pivot = points.new_tensor(PIVOT)
    turned = (points - pivot) @ rotation.transpose(1, 2)
    scale = CAMERA_DISTANCE / (CAMERA_DISTANCE - turned[..., 2:3])
    xy = turned[..., :2] * scale + pivot[:2]
    return torch.cat([xy, turned[..., 2:3]], dim=-1)


def fit_similarity(points: Tensor, template: Tensor) -> Tensor:
    """Least-squares similarities (B, 2, 3) that map (B, N, 2) points onto (B, N, 2) or (N, 2) template points."""
    template = template.expand_as(points)
    centre, goal = points.mean(1, keepdim=True), template.mean(1, keepdim=True)
    p, q = points - centre, template - goal
    norm = p.square().sum((1, 2))
    a = (p * q).sum((1, 2)) / norm
    b = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(1) / norm
    linear = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2)
    shift = goal.squeeze(1) - torch.einsum("bij,bj->bi", linear, centre.squeeze(1))
    return torch.cat([linear, shift.unsqueeze(-1)], dim=-1)


def transform(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply (B, 2, 3) maps to (B, N, 2) points."""
    return torch.einsum("bij,bnj->bni", matrix[:, :, :2], points) + matrix[:, None, :, 2]


def inverse_map(position: Tensor, depth: Tensor, size: int, *, refine: int = 6) -> Tensor:
    """Frame coordinates seen at each pixel of a crop.

    Args:
        position: (B, 2, G, G) where each control point lands, in fractions of the crop's side.
        depth: (B, 1, G, G) height towards the camera; of several sheets the highest is kept.
        size: side of the map in pixels.
        refine: fixed-point steps after the splat.

    Returns:
        (B, size, size, 2) frame coordinates; outside [0, 1] nothing is there.

    Raises:
        InputError: the map is larger than the splat's numbering of its points allows.
    """
    if size > _LARGEST_MAP:
        raise InputError(f"a face is drawn over at most {_LARGEST_MAP} pixels of its map, not {size}: ask for less")
    batch = position.shape[0]
    dense = F.interpolate(
        torch.cat([position, depth], 1), size=(2 * size, 2 * size), mode="bilinear", align_corners=True
    )
    start, found = _splat_foremost(dense[:, :2], dense[:, 2], size)
    line = (torch.arange(size, device=position.device, dtype=position.dtype) + 0.5) / size
    pixel = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).expand(batch, -1, -1, -1)
    scale = _mean_scale(position)[:, None, None, None]
    coordinate = start
    for _ in range(refine):
        here = F.grid_sample(position, coordinate * 2 - 1, mode="bilinear", padding_mode="border", align_corners=True)
        coordinate = coordinate + _DAMPING * (pixel - here.permute(0, 2, 3, 1)) / scale
    # where the surface folds the steps may leave the sheet: keep what the splat saw there
    strayed = (coordinate - start).square()
    astray = (strayed[..., :1] + strayed[..., 1:]) > (2.5 / (size * scale)) ** 2
    return torch.where(astray & found.unsqueeze(-1), start, coordinate)


def _mean_scale(position: Tensor) -> Tensor:
    """Crop sides per frame side, (B,), from the spread of the control points."""
    right = (position[:, :, :, -1] - position[:, :, :, 0]).mean(2).norm(dim=1)
    down = (position[:, :, -1] - position[:, :, 0]).mean(2).norm(dim=1)
    mean: Tensor = (right + down) / 2
    return mean


def _splat_foremost(position: Tensor, depth: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Frame coordinates of the foremost of the dense points (B, 2, D, D) in each pixel, and where there was one.

    Small holes take a neighbour's point, the rest a similarity guess.
    """
    batch, _, side, _ = position.shape
    count = side * side
    cell = (position.flatten(2) * size).floor().long()
    inside = ((cell >= 0) & (cell < size)).all(1)
    index = (cell[:, 1].clamp(0, size - 1) * size + cell[:, 0].clamp(0, size - 1)) + torch.arange(
        batch, device=position.device
    )[:, None] * (size * size)
    # rank by depth in the high bits and carry the point's number in the low ones: one scatter finds the winner
    quantised = ((depth.flatten(1) + 2.0).clamp(0, 4) * (1 << 14)).long()
    packed = quantised * (1 << 20) + torch.arange(count, device=position.device)
    packed = torch.where(inside, packed, torch.full_like(packed, -1))
    best = torch.full((batch * size * size,), -1, dtype=torch.long, device=position.device)
    best.scatter_reduce_(0, index.flatten(), packed.flatten(), "amax")
    winner = best.view(batch, size, size)
    spread = F.max_pool2d(winner.double(), 3, 1, 1).long()  # exact: the packed numbers stay below 2**53
    winner = torch.where(winner >= 0, winner, spread)
    number = winner.clamp(min=0) & ((1 << 20) - 1)
    x, y = (number % side).to(position.dtype), (number // side).to(position.dtype)
    seen = torch.stack([x, y], -1) / (side - 1)
    found = winner >= 0
    return torch.where(found.unsqueeze(-1), seen, _similarity_guess(position, size)), found


def _similarity_guess(position: Tensor, size: int) -> Tensor:
    """Frame coordinates (B, size, size, 2) under the best similarity between the frame and the crop."""
    side = position.shape[-1]
    step = max(1, side // 8)
    points = position[:, :, ::step, ::step].flatten(2).transpose(1, 2)
    line = torch.linspace(0, 1, side, device=position.device, dtype=position.dtype)[::step]
    frame = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(1, -1, 2)
    matrix = fit_similarity(points, frame)
    pixels = (torch.arange(size, device=position.device, dtype=position.dtype) + 0.5) / size
    grid = torch.stack(torch.meshgrid(pixels, pixels, indexing="xy"), -1).reshape(1, -1, 2)
    guess = transform(grid.expand(position.shape[0], -1, -1), matrix)
    return guess.view(-1, size, size, 2)


def surface_normals(surface: Tensor) -> Tensor:
    """Unit normals (B, 3, G, G), towards the camera, of surfaces given as (B, 3, G, G) points in frame units."""
    padded = F.pad(surface, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    normal = F.normalize(torch.linalg.cross(across, down, dim=1), dim=1)
    for _ in range(3):  # light on skin is soft: the mesh's creases must not show
        normal = F.avg_pool2d(F.pad(normal, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return F.normalize(normal, dim=1, eps=math.ulp(1.0))
