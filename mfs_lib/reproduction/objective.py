"""What equation 7 asks for: its price for several answers to the same swaps, before anything is learned.

A loss says which answer is best, and also which is second best: the one that a network that can't give the best will choose.
L_adv is left out, since its price depends on a discriminator that learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.faces.identity import identity_of
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.mobilefaceswap import composite
from mfs_lib.reproduction.sampled_pairs import SampledPairs
from mfs_lib.training.adversarial import middle
from mfs_lib.training.config import LossConfig
from mfs_lib.training.distillation_losses import (
    PERCEPTUAL_TAPS,
    DistillationWeights,
    perceptual_to_teacher,
    reconstruction_to_teacher,
)
from mfs_lib.training.losses import identity_loss, mask_loss
from mfs_lib.weights.models import load_mobilenet_v2

TERMS = ("rec", "per", "id", "mask")
"""Of equation 7, without L_adv."""

NOTHING, FACE, BLURRED, WHOLE, EXACT = (
    "the target, its mask closed", "the teacher's picture in the face", "the same, blurred",
    "the teacher's whole picture", "the exact swap",
)  # fmt: skip
"""Names of the answers."""


@dataclass(frozen=True)
class Answer:
    """What a network might say: results (N,3,S,S) in [0,1], and its masks (N,1,S,S)."""

    name: str
    result: Tensor
    mask: Tensor


def answers(pairs: SampledPairs, taught: Tensor, *, detail: int) -> list[Answer]:
    """Five answers to the same pairs.

    Args:
        pairs: N of them.
        taught: the teacher's pictures (N,3,S,S).
        detail: of the blurred answer, in pixels for the whole crop.

    Raises:
        InputError: a blur that isn't one.
    """
    size = taught.shape[-1]
    if not 0 < detail < size:
        raise InputError(f"a blurred picture has fewer pixels than the {size} of a sharp one, got {detail}")

    def inside(picture: Tensor) -> Tensor:
        return composite(picture, pairs.face, pairs.target)

    return [
        Answer(NOTHING, pairs.target, torch.zeros_like(pairs.face)),
        Answer(FACE, inside(taught), pairs.face),
        Answer(BLURRED, inside(resized(resized(taught, detail), size)), pairs.face),
        Answer(WHOLE, taught, torch.ones_like(pairs.face)),
        Answer(EXACT, pairs.truth, pairs.face),
    ]


@torch.no_grad()
def priced(listed: Sequence[Answer], pairs: SampledPairs, taught: Tensor) -> dict[str, dict[str, Tensor]]:
    """The unweighted losses (N,) of each answer: by its name, then by the names of `TERMS`."""
    network = load_mobilenet_v2()

    def features(pictures: Tensor) -> list[Tensor]:
        return network(middle(pictures), taps=PERCEPTUAL_TAPS)  # type: ignore[no-any-return]

    theirs = features(taught)
    return {
        answer.name: {
            "rec": reconstruction_to_teacher(answer.result, taught),
            "per": perceptual_to_teacher(features(answer.result), theirs),
            "id": identity_loss(identity_of(answer.result).embedding, pairs.identity.embedding),
            "mask": mask_loss(answer.mask, pairs.face),
        }
        for answer in listed
    }


def weights_of(loss: LossConfig) -> DistillationWeights:
    """The λ of an experiment."""
    return DistillationWeights(rec=loss.rec, per=loss.per_squared, id=loss.id, mask=loss.mask, adv=loss.adv)


def totals(prices: Mapping[str, Mapping[str, Tensor]], weights: DistillationWeights, alpha: Tensor) -> dict[str, float]:
    """The mean price of each answer by equation 7 without L_adv, for prices by answer and term and α (N,)."""
    return {name: float(weights.total(parts, alpha).mean()) for name, parts in prices.items()}


def rows(
    prices: Mapping[str, Mapping[str, Tensor]], settings: Sequence[DistillationWeights], alpha: Tensor
) -> list[list[str]]:
    """A table's rows: the answer, the means of its losses, and its total by each of several weightings."""
    summed = [totals(prices, weights, alpha) for weights in settings]
    return [
        [
            name,
            *(f"{float(parts[term].mean()):.3f}" for term in TERMS),
            *(f"{total[name]:.2f}" for total in summed),
        ]
        for name, parts in prices.items()
    ]
