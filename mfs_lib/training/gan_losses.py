"""Losses that train a teacher, one function each and per sample (B,); pictures are (B,3,S,S) in [0,1].

The adversarial loss (hinge) and the identity loss are those of `distillation_losses`.

| system      | losses                                                                         |
|-------------|--------------------------------------------------------------------------------|
| SimSwap     | adversarial, identity, L1 reconstruction, weak feature matching, gradient penalty |
| FaceShifter | adversarial, identity, squared reconstruction, attributes                      |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfs_lib.networks.patchgan import MultiScalePatchGAN, image_pyramid


def same_reconstruction(result: Tensor, target: Tensor, same: Tensor, *, squared: bool = False) -> Tensor:
    """Where source and target are the same (`same` (B,) bool), the result must be the target; elsewhere 0.

    SimSwap (section 3.3): the mean absolute difference. FaceShifter (equation 5): half the mean square (`squared`).
    """
    error = result - target
    value = 0.5 * error.square().mean((1, 2, 3)) if squared else error.abs().mean((1, 2, 3))
    return value * same.to(value.dtype)


def weak_feature_matching(result: Sequence[Sequence[Tensor]], target: Sequence[Sequence[Tensor]], first: int) -> Tensor:
    """SimSwap's weak feature matching (equation 5): L1 of the discriminators' deeper layers, results against targets.

    Shallow layers hold texture, which the identity must be free to change; so only layers from `first` on count, the
    scores never. Mean over layers, then over scales. (The released code matches all layers.)

    Args:
        result: for each scale, the layers' outputs (B,C,h,w) and the scores last (`PatchGAN.features`).
        target: the same of the targets.
        first: index of the first layer that counts.
    """
    scales = []
    for mine, theirs in zip(result, target, strict=True):
        pairs = list(zip(mine[first:-1], theirs[first:-1], strict=True))
        scales.append(torch.stack([(a - b.detach()).abs().mean((1, 2, 3)) for a, b in pairs]).mean(0))
    return torch.stack(scales).mean(0)


def attribute_loss(result: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """FaceShifter's attribute loss (equation 3): half the squared distances of all attribute maps, each a mean."""
    return 0.5 * torch.stack([(a - b).square().flatten(1).mean(1) for a, b in zip(result, target, strict=True)]).sum(0)


def gradient_penalty(discriminator: MultiScalePatchGAN, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """How far the discriminators' slope is from one (Gulrajani et al. 2017): (||∇D(x)|| - 1)², summed over scales.

    Args:
        discriminator: reads an `image_pyramid`.
        real, fake: (B,3,S,S).
        share: (B,1,1,1) of the real picture in the mixture x where the slope is taken.
    """
    mixed = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    total = real.new_zeros(len(real))
    for scores in discriminator(image_pyramid(mixed, scales=len(discriminator.scales))):
        (slope,) = torch.autograd.grad(scores.mean((1, 2, 3)).sum(), mixed, create_graph=True)
        total = total + (slope.flatten(1).norm(dim=1) - 1).square()
    return total
