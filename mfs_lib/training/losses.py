"""Losses of the first student, one function each; pictures are (B, 3, S, S) in [0, 1], masks (B, 1, S, S)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def difference_weight(target: Tensor, truth: Tensor, gain: float = 6.0) -> Tensor:
    """Weights (B, 1, S, S) that grow where truth and target differ.

    Most of a picture is the same in both; unweighted, 'change nothing' is already a good answer and training stays
    there.
    """
    change = (target - truth).abs().mean(1, keepdim=True)
    change = F.avg_pool2d(change, 5, 1, 2)
    return 1 + gain * (change / 0.08).clamp(max=1)


def reconstruction_loss(image: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """L_rec (equation 3 with the truth in the teacher's place), per sample (B,): weighted L1."""
    return ((image - truth).abs() * weight).mean((1, 2, 3))


def laplacian_loss(image: Tensor, truth: Tensor, weight: Tensor, levels: int = 3) -> Tensor:
    """L1 between Laplacian pyramids, per sample (B,): asks for edges where plain L1 is content with a blur."""
    total = image.new_zeros(len(image))
    error = image - truth  # the pyramid is linear: the pyramid of the difference is the difference of pyramids
    for _ in range(levels):
        low = F.avg_pool2d(error, 2)
        band = error - F.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + (band.abs() * weight).mean((1, 2, 3))
        error, weight = low, F.avg_pool2d(weight, 2)
    return total


def error_ratio(result: Tensor, target: Tensor, truth: Tensor) -> float:
    """Error to the truth over that of doing nothing, means over all pixels: 1 for the target itself, 0 for the truth."""
    return float((result - truth).abs().mean() / (target - truth).abs().mean())


def perceptual_loss(features: list[Tensor], truth: list[Tensor]) -> Tensor:
    """L_per (equation 3 with the truth in the teacher's place), per sample (B,): L1 between feature maps (B, C, h, w).

    Each map counts relative to the size of the truth's, summed over the maps. The paper has VGG's features and
    squares.
    """
    total = features[0].new_zeros(len(features[0]))
    for mine, wanted in zip(features, truth, strict=True):
        total = total + (mine - wanted).abs().mean((1, 2, 3)) / wanted.abs().mean()
    return total


def identity_loss(embedding: Tensor, source: Tensor) -> Tensor:
    """L_id (equation 5), per sample (B,): one minus the cosine of two L2-normalised embeddings (B, E)."""
    return 1 - (embedding * source).sum(1)


def mask_loss(mask: Tensor, face: Tensor) -> Tensor:
    """L_mask (equation 6), per sample (B,): weak supervision, the background alone must not be covered."""
    background = (face < 0.02).to(mask.dtype)
    return (mask * background).sum((1, 2, 3)) / background.sum((1, 2, 3)).clamp(min=1)


def cover_loss(mask: Tensor, face: Tensor) -> Tensor:
    """Per sample (B,): share of the inner face left uncovered. Keeps the mask from closing before the face is learned."""
    inner = (face > 0.9).to(mask.dtype)
    return ((1 - mask) * inner).sum((1, 2, 3)) / inner.sum((1, 2, 3)).clamp(min=1)


def tone_loss(image: Tensor, target: Tensor, face: Tensor) -> Tensor:
    """Per sample (B,): distance between the heavily blurred colours of result and target inside the face."""
    side = image.shape[-1] // 8
    area = F.avg_pool2d(face, side) + 1e-3
    a, b = (F.avg_pool2d(x * face, side) / area for x in (image, target))
    return ((a - b).abs() * area).mean((1, 2, 3))


def background_loss(image: Tensor, target: Tensor, face: Tensor) -> Tensor:
    """Per sample (B,): change outside the face."""
    outside = (face < 0.02).to(image.dtype)
    return ((image - target).abs() * outside).mean((1, 2, 3))
