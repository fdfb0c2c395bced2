"""What a clip needs beside the head: a drawn garment with shoulders, and laying one picture over another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch

FloatImage = npt.NDArray[np.float32]
Canvas = TypeVar("Canvas", npt.NDArray[np.uint8], npt.NDArray[np.float32])

_LEFT, _RIGHT, _TOP, _BOTTOM = -0.6, 1.6, 0.78, 2.3
"""The part of the model's frame, and around it, that a garment is drawn over."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """A picture with coverage that is drawn in units of the morphable model's frame.

    Attributes:
        colour: (h, w, 3) uint8.
        alpha: (h, w) float32 in [0, 1].
        left, top: frame coordinates of its corner.
        side: its pixels per side of the frame.
    """

    colour: npt.NDArray[np.uint8]
    alpha: FloatImage
    left: float
    top: float
    side: float


def lay_over(canvas: Canvas, colour: npt.NDArray[np.generic], alpha: FloatImage, left: int, top: int) -> None:
    """Composite a picture (h, w, ...) with coverage (h, w) onto a canvas (H, W, ...) in place; what sticks out is cut."""
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + alpha.shape[1]), min(height, top + alpha.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    cut = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    weight = alpha[cut] if canvas.ndim == 2 else alpha[cut][..., None]
    under = canvas[y0:y1, x0:x1].astype(np.float32)
    mixed = under + weight * (colour[cut].astype(np.float32) - under)
    canvas[y0:y1, x0:x1] = np.clip(np.rint(mixed), 0, 255) if canvas.dtype == np.uint8 else mixed


def garment(draw: torch.Generator, light: npt.NDArray[np.float32], side: float) -> Sprite:
    """Shoulders and chest in a plain shirt with a round collar.

    Args:
        draw: chooses the colour and the folds.
        light: (6,) as in `Attributes.light`.
        side: pixels per side of the model's frame.
    """
    tint = 0.2 + 0.5 * torch.rand(1, generator=draw).item() + 0.25 * (torch.rand(3, generator=draw).numpy() - 0.5)
    u, v = np.meshgrid(
        np.arange(_LEFT, _RIGHT, 1 / side, dtype=np.float32) - 0.5, np.arange(_TOP, _BOTTOM, 1 / side, dtype=np.float32)
    )
    across = np.abs(u)
    shoulder = 0.845 + 0.3 * np.clip(across - 0.11, 0, None) ** 1.25 + 9.0 * np.clip(across - 0.44, 0, None) ** 2.2
    neckline = 0.925 - np.hypot(u * 0.62, 0) ** 2 * 9.0  # a round collar: lowest in the middle
    edge = np.maximum(shoulder, neckline)
    alpha = np.clip((v - edge) * side / 1.5, 0, 1)
    shade = _shade(u, v, edge, light) * _folds(draw, u.shape)
    collar = np.clip(1 - np.abs(v - neckline - 0.03) / 0.004, 0, 1) * (across < 0.17)
    shade *= 1 - 0.18 * collar
    # Under the chin less light arrives.
    shade *= 1 - 0.35 * np.exp(-((u / 0.2) ** 2) - ((v - 0.9) / 0.1) ** 2)
    colour = np.clip(np.asarray(tint)[None, None] * shade[..., None], 0, 1)
    return Sprite(np.rint(colour * 255).astype(np.uint8), alpha.astype(np.float32), _LEFT, _TOP, side)


def _shade(u: FloatImage, v: FloatImage, edge: FloatImage, light: npt.NDArray[np.float32]) -> FloatImage:
    """Light on a rounded chest and rounded shoulders, around 1."""
    inward = np.clip((v - edge) / 0.25, 0, 1)
    normal_x, normal_y = np.clip(u / 0.85, -0.9, 0.9), -0.8 * (1 - inward) ** 2
    normal_z = np.sqrt(np.clip(1 - normal_x**2 - normal_y**2, 0.05, 1))
    strength = float(np.linalg.norm(light[:3]))
    direction = light[:3] / max(strength, 1e-6)
    lambert = normal_x * direction[0] + normal_y * direction[1] + normal_z * direction[2]
    shade = (1 - strength) * (0.55 + 0.45 * normal_z) + strength * np.clip((lambert + 0.35) / 1.35, 0, 1.6)
    return np.asarray(shade, dtype=np.float32)


def _folds(draw: torch.Generator, shape: tuple[int, ...]) -> FloatImage:
    """Soft folds and a weave, around 1."""
    coarse = torch.randn(7, 9, generator=draw).numpy()
    fine = torch.randn(36, 26, generator=draw).numpy()
    size = (shape[1], shape[0])
    folds = 0.05 * np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
    folds += 0.03 * np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_CUBIC))
    weave = torch.randn(shape[0] // 2 + 1, shape[1] // 2 + 1, generator=draw).numpy()
    folds += 0.02 * np.asarray(cv2.resize(weave, size, interpolation=cv2.INTER_LINEAR))
    return np.asarray(1 + folds, dtype=np.float32)
