"""Light, colour and the flaws of a camera: what happens to a picture after its geometry is known."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TONE_OFFSET = 0.22
"""Between multiplying (0) and adding (infinity) when a face takes another tone: keeps eye whites and pupils."""

MEMBRANE = 24
"""Side of the coarse grid on which the colour of a face is fitted to its surround."""


def membrane_weights(ring: Tensor, box: Tensor) -> Tensor:
    """Inverse-square-distance weights (MEMBRANE**2, N) that carry values from ring points into the face box.

    A cheap stand-in for solving Poisson's equation: smooth inside, equal to the ring's values at the ring.
    """
    line = (torch.arange(MEMBRANE, dtype=ring.dtype) + 0.5) / MEMBRANE
    yy, xx = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([xx, yy], -1).reshape(-1, 2) * (box[2:] - box[:2]) + box[:2]
    squared = torch.cdist(points, ring).square() + 1e-4
    weights = 1 / squared
    return weights / weights.sum(1, keepdim=True)


def shading(normal: Tensor, light: Tensor) -> Tensor:
    """Directed light on a surface lit evenly before: factors (B, 3, H, W) around one.

    Args:
        normal: (B, 3, H, W) unit normals, z towards the camera.
        light: (B, 6) direction times strength, colour.
    """
    strength = light[:, :3].norm(dim=1).view(-1, 1, 1, 1)
    direction = F.normalize(light[:, :3], dim=1)
    lambert = torch.einsum("bchw,bc->bhw", normal, direction).unsqueeze(1)
    wrapped = ((lambert + 0.35) / 1.35).clamp(min=0)  # wrapped diffuse: skin scatters light past the terminator
    facing = ((direction[:, 2].view(-1, 1, 1, 1) + 0.35) / 1.35).clamp(min=0.15)
    colour = light[:, 3:, None, None]
    factors: Tensor = (1 - strength) + strength * colour * (wrapped / facing).clamp(max=1.9)
    return factors


def grade(image: Tensor, colour: Tensor) -> Tensor:
    """White balance, gamma, contrast and saturation, (B, 3, H, W) in [0, 1]; colour (B, 6) as in `Attributes`."""
    gain = colour[:, :3, None, None].exp()
    gamma, contrast, saturation = (colour[:, k, None, None, None].exp() for k in (3, 4, 5))
    out = (image.clamp(1e-4, 1) ** gamma * gain).clamp(0, 1.2)
    out = (out - 0.45) * contrast + 0.45
    grey = (out * out.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return (grey + (out - grey) * saturation).clamp(0, 1)


def _gaussian(image: Tensor, sigma: Tensor) -> Tensor:
    """Separable blur with one sigma (pixels) per picture."""
    radius = max(1, math.ceil(2.5 * float(sigma.max())))
    taps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma.clamp(min=0.15)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(image.shape[1], 0)
    flat = image.reshape(1, -1, *image.shape[2:])
    padded = F.pad(flat, (radius, radius, radius, radius), mode="reflect")
    across = F.conv2d(padded, kernel[:, None, None, :], groups=len(kernel))
    return F.conv2d(across, kernel[:, None, :, None], groups=len(kernel)).view_as(image)


def _dct_matrix() -> Tensor:
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None, :]
    matrix = torch.cos((2 * n + 1) * k * math.pi / 16) * 0.5
    matrix[0] *= 0.5**0.5
    return matrix


_LUMA = torch.tensor(
    [[16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
     [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
     [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]], dtype=torch.float32,
)  # fmt: skip  # Annex K of ITU-T T.81


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """Quantisation noise of JPEG without its entropy coding: (B, 3, H, W) in [0, 1], quality (B,) in 1..100."""
    to_ycc = image.new_tensor([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, image * 255 - 128)
    matrix = _dct_matrix().to(image)
    batch, _, height, width = image.shape
    blocks = ycc.view(batch, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    table = (_LUMA.to(image) * scale.view(-1, 1, 1)).clamp(min=1)
    weight = image.new_tensor([1.0, 1.6, 1.6]).view(1, 3, 1, 1, 1, 1)
    table = table[:, None, None, None] * weight
    coded = torch.round(matrix @ blocks @ matrix.T / table) * table
    back = (matrix.T @ coded @ matrix).transpose(3, 4).reshape(batch, 3, height, width)
    return (torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_ycc), back) / 255 + 128 / 255).clamp(0, 1)


def degrade(image: Tensor, code: Tensor) -> Tensor:
    """Blur, then JPEG, of the pictures for which `Attributes.degrade` asks for it."""
    size = image.shape[-1]
    sigma = code[:, 0] * size / 100
    out = image.clone()
    soft = torch.nonzero(sigma > 0.2).flatten()
    if len(soft):
        out[soft] = _gaussian(image[soft], sigma[soft])
    coded = torch.nonzero(code[:, 2] > 0).flatten()
    if len(coded) and size % 8 == 0:
        out[coded] = jpeg(out[coded], code[coded, 1])
    return out
