"""What may lie over a face: glasses that ride on it, and a hand-sized patch in front of it. Drawn, not photographed."""

from __future__ import annotations

import torch
from torch import Tensor


def _rounded_box(x: Tensor, y: Tensor, half_width: Tensor, half_height: Tensor, radius: Tensor) -> Tensor:
    """Signed distance to a rounded rectangle about the origin, negative inside."""
    qx, qy = x.abs() - half_width + radius, y.abs() - half_height + radius
    outside = (qx.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2).sqrt()
    return outside + torch.maximum(qx, qy).clamp(max=0) - radius


def _cover(distance: Tensor, softness: float) -> Tensor:
    return torch.sigmoid(-distance / softness)


def glasses(code: Tensor, coordinate: Tensor, eyes: Tensor, softness: float) -> tuple[Tensor, Tensor]:
    """Glasses drawn in frame coordinates, so that they turn with the head.

    Args:
        code: (B, 12) occluder codes; 1..3 colour, 4 width, 5 height, 6 roundness, 7 thickness, 8 tint of the lenses.
        coordinate: (B, H, W, 2) frame coordinates of the pixels.
        eyes: (2, 2) eye centres in the frame.
        softness: anti-aliasing width in frame units.

    Returns:
        Colour (B, 3, H, W) and coverage (B, 1, H, W).
    """
    n = [code[:, i, None, None] for i in range(12)]
    gap = (eyes[1, 0] - eyes[0, 0]) / 2
    half_width, half_height = gap * (0.66 + 0.2 * n[4]), gap * (0.45 + 0.3 * n[5])
    radius, thick = half_height * (0.25 + 0.7 * n[6]), gap * (0.03 + 0.1 * n[7])
    y = coordinate[..., 1] - eyes[:, 1].mean() - gap * 0.12
    x = coordinate[..., 0] - eyes[:, 0].mean()
    lens = _rounded_box(x.abs() - gap, y, half_width, half_height, radius)
    bridge = _rounded_box(x, y + half_height * 0.3, gap - half_width, thick * 0.6, thick * 0.3)
    temple = _rounded_box(
        x.abs() - gap - half_width - gap * 0.45, y + half_height * 0.45, gap * 0.5, thick * 0.7, thick * 0.3
    )
    rim = torch.minimum(torch.minimum(lens.abs() - thick / 2, bridge), temple)
    tinted = (n[8] > 0.7).float() * (0.4 + 0.55 * n[9]) + 0.06
    glass = _cover(lens, softness) * tinted
    frame_cover = _cover(rim, softness)
    cover = 1 - (1 - frame_cover) * (1 - glass)
    dark = code[:, 1:4, None, None] ** 2 * 0.6
    shine = 0.05 + 0.1 * torch.sigmoid((y - x * 0.6) * 60)
    colour = (dark * frame_cover[:, None] + shine[:, None] * (1 - frame_cover[:, None])).clamp(0, 1)
    return colour, cover[:, None]


def patch(code: Tensor, size: int, softness: float) -> tuple[Tensor, Tensor]:
    """A hand-sized, finger-edged patch in front of the lower or outer face, in crop coordinates.

    Args:
        code: (B, 12); 1..3 colour, 4..5 position, 6 angle, 7..8 size.
        size: side in pixels.

    Returns:
        Colour (B, 3, H, W) and coverage (B, 1, H, W).
    """
    n = [code[:, i, None, None] for i in range(12)]
    line = (torch.arange(size, device=code.device) + 0.5) / size
    yy, xx = torch.meshgrid(line, line, indexing="ij")
    side = torch.where(n[4] < 0.5, -1.0, 1.0)
    dx, dy = xx - 0.5 - side * (0.26 + 0.14 * n[4]), yy - 0.55 - 0.3 * n[5]
    angle = (n[6] - 0.5) * 2.4 - side * 0.6
    x, y = dx * angle.cos() + dy * angle.sin(), -dx * angle.sin() + dy * angle.cos()
    palm = _rounded_box(x, y - 0.12, 0.10 + 0.04 * n[7], 0.11 + 0.05 * n[8], 0.05 + 0 * x)
    distance = palm
    shade = 1 - 0.25 * ((x / 0.14) ** 2).clamp(0, 1)
    for finger in range(4):
        offset = (finger - 1.5) * (0.052 + 0.016 * n[7])
        length = 0.13 + 0.04 * n[9] - 0.02 * abs(finger - 1.4)
        capsule = _rounded_box(x - offset, y + 0.06, 0.024 + 0 * x, length, 0.024 + 0 * x)
        shade = torch.where(capsule < palm, 1 - 0.35 * (((x - offset) / 0.026) ** 2).clamp(0, 1), shade)
        distance = torch.minimum(distance, capsule)
    skin = torch.tensor([0.86, 0.66, 0.55], device=code.device)[None, :, None, None]
    tone = skin * (0.35 + 0.65 * code[:, 10, None, None, None])
    other = code[:, 1:4, None, None]
    colour = torch.where(code[:, 11, None, None, None] < 0.75, tone, other) * shade[:, None]
    return colour.clamp(0, 1), _cover(distance, softness)[:, None]
