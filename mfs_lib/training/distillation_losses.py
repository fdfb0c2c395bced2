"""The paper's training objectives, one function for each equation (MobileFaceSwap, "Training Objectives", 3 to 7).

I'_g is the teacher's output, I_g the student's, I_s the source. Everything is per sample (B,), so that α can weigh each
sample; pictures are (B,3,S,S) in [0,1], masks (B,1,S,S), embeddings (B,E) of unit length.

| equation | function                                    | weight λ |
|----------|---------------------------------------------|----------|
| 3        | `reconstruction_to_teacher` (L_rec)         | 30       |
| 3        | `perceptual_to_teacher` (L_per)             | 5        |
| 4        | `reweighting` (α)                           |          |
| 5        | `losses.identity_loss` (L_id)               | 3        |
| 6        | `losses.mask_loss` (L_mask, weak)           | 10       |
| 6        | `full_mask_loss` (what the ablation compares) | 10     |
| 7        | `hinge_generator`, `hinge_discriminator` (L_adv) | 1   |
| 7        | `DistillationWeights.total`                 |          |

The paper leaves open: which VGG and which of its layers L_per reads (the caller chooses the maps), the adversarial loss
and its discriminator (hinge here, Lim and Ye 2017), and whether norms are sums or means; means are used, as equation 3
does for L_per (1 / N_i).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.training.losses import identity_loss, mask_loss, reconstruction_loss

__all__ = [
    "PERCEPTUAL_TAPS",
    "DistillationWeights",
    "full_mask_loss",
    "hinge_discriminator",
    "hinge_generator",
    "identity_loss",
    "mask_loss",
    "perceptual_to_teacher",
    "reconstruction_to_teacher",
    "reweighting",
]

PERCEPTUAL_TAPS = 3
"""Maps of MobileNetV2 that L_per compares where VGG isn't there."""


def reconstruction_to_teacher(result: Tensor, teacher: Tensor) -> Tensor:
    """L_rec = ||I'_g - I_g|| (equation 3): mean absolute difference."""
    return reconstruction_loss(result, teacher, result.new_ones(()))


def perceptual_to_teacher(features: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """L_per = Σ_i 1/N_i ||F_i(I'_g) - F_i(I_g)||² (equation 3), N_i the elements of one sample's map i.

    Args:
        features: maps (B,C,h,w) of the student's output, of layers that the caller chooses.
        teacher: the same maps of the teacher's output.

    Raises:
        InputError: no maps, or other ones than the teacher's.
    """
    if not features or [x.shape for x in features] != [x.shape for x in teacher]:
        raise InputError("L_per compares the same feature maps of both pictures: give one list of layers for both")
    return torch.stack([(b - a).square().flatten(1).mean(1) for a, b in zip(features, teacher, strict=True)]).sum(0)


@torch.no_grad()
def reweighting(source: Tensor | None, teacher: Tensor | None, quality: Tensor | None) -> Tensor:
    """α = Cos(z_id, z'_id)² · Q(I'_g) (equation 4): how far to trust the teacher in each sample.

    A cosine below zero counts like one above it, as the equation has it; no gradient passes.

    Args:
        source: z_id (B,E), the source's identity, of unit length; None with `teacher` None leaves identity out.
        teacher: z'_id (B,E), that of the teacher's output.
        quality: Q's score of the teacher's output (B,) in [0,1]; None leaves quality out.

    Raises:
        InputError: one embedding without the other, or nothing to weigh by.
    """
    if (source is None) != (teacher is None):
        raise InputError("the cosine of equation 4 needs both identities, the source's and the teacher's output's")
    if source is None or teacher is None:
        if quality is None:
            raise InputError("nothing to weigh by: give the identities, the quality, or both; else use no α at all")
        return quality.clone()
    square = functional.cosine_similarity(source, teacher, dim=1).square()
    return square if quality is None else square * quality


def full_mask_loss(mask: Tensor, face: Tensor) -> Tensor:
    """Equation 6 over all pixels: the mask must equal the face's, which the paper compares its weak loss with."""
    return (mask - face).abs().mean((1, 2, 3))


def _over_scales(scores: Sequence[Tensor]) -> Tensor:
    """Mean over patches, then over discriminators: (B,1,h,w) each -> (B,)."""
    return torch.stack([x.mean((1, 2, 3)) for x in scores]).mean(0)


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """L_adv of the generator: minus the scores (B,1,h,w) that the discriminators give its pictures."""
    return -_over_scales(fake)


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """What the discriminators lower: max(0, 1 - score) of real pictures and max(0, 1 + score) of the generator's."""
    pairs = zip(real, fake, strict=True)
    return _over_scales([functional.relu(1 - r) + functional.relu(1 + f) for r, f in pairs])


@dataclass(frozen=True)
class DistillationWeights:
    """The λ of equation 7, with the paper's values; L_adv has none there, that is, one."""

    rec: float = 30.0
    per: float = 5.0
    id: float = 3.0
    mask: float = 10.0
    adv: float = 1.0

    def total(self, parts: Mapping[str, Tensor], alpha: Tensor | None = None) -> Tensor:
        """L = L_adv + α (λ_rec L_rec + λ_per L_per) + λ_id L_id + λ_mask L_mask (equation 7), per sample (B,).

        Args:
            parts: unweighted losses (B,) by the names of the fields; what is left out counts nothing.
            alpha: (B,) of `reweighting`; None weighs every sample alike (the ablation without reweighting).

        Raises:
            InputError: a loss that equation 7 doesn't have, or none at all.
        """
        weights = asdict(self)
        if not parts or not set(parts) <= set(weights):
            raise InputError(f"equation 7 sums {sorted(weights)}, got {sorted(parts)}")
        weighted = {name: weights[name] * value for name, value in parts.items()}
        if alpha is not None:
            weighted |= {name: alpha * weighted[name] for name in ("rec", "per") if name in weighted}
        return torch.stack(list(weighted.values())).sum(0)
