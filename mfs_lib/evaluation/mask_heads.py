"""The released mask head beside the cheap one that the paper's count suggests, fitted to the same features.

Both heads read the deepest features of one trained student, which stays as it is, and learn the exact masks of the face
world: what differs between them is only where the mask grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import trange

from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.common import count_macs
from mfs_lib.networks.fusion import FusionMask, MaskUpsampling
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, composite

_CHUNK = 16


@dataclass(frozen=True)
class Scenes:
    """Targets (B,3,S,S) with what the student's encoder makes of them, exact masks (B,1,S,S) and exact swaps."""

    target: Tensor
    features: Tensor
    mask: Tensor
    truth: Tensor


@dataclass(frozen=True)
class FittedHead:
    """A head's `masks` for held-out scenes; `error` to the exact ones, and of the swap composed by them, both L1 means."""

    masks: Tensor
    error: float
    swap_error: float
    macs: int


@torch.no_grad()
def draw_scenes(
    world: MorphableWorld,
    student: MobileFaceSwap,
    identity: nn.Module,
    generator: torch.Generator,
    *,
    count: int,
    size: int,
) -> Scenes:
    """`count` sampled pairs of people at `size` pixels, and the student's deepest features of their targets."""
    source, target = (world.sample(count, generator, size=size) for _ in range(2))
    truth = world.swap(identity_of=source, attributes_of=target)
    weights = student.inject(identity(arcface_view(source.image)))
    chunks = [slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
    features = torch.cat([student.idn(target.image[rows], weights[rows])[1] for rows in chunks])
    return Scenes(target.image, features, torch.maximum(truth.face_mask, target.face_mask), truth.image)


def fit_head(scenes: Scenes, head: FusionMask, generator: torch.Generator, *, steps: int, progress: bool) -> None:
    """Teach `head` the exact masks by binary cross-entropy, half of the batches mirrored."""
    optimiser = torch.optim.Adam(head.train().parameters(), 3e-3)
    for step in trange(steps, desc=f"mask grows: {head.upsampling}", disable=not progress, leave=False):
        rows = torch.randint(len(scenes.mask), (_CHUNK,), generator=generator)
        features, mask = scenes.features[rows], scenes.mask[rows]
        if step % 2:
            features, mask = features.flip(3), mask.flip(3)
        optimiser.zero_grad()
        functional.binary_cross_entropy(head(features), mask).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    head.eval()


def compare_heads(
    train: Scenes, test: Scenes, *, steps: int = 200, seed: int = 0, progress: bool = True
) -> dict[MaskUpsampling, FittedHead]:
    """Fit both heads to `train` from the same seed and judge them on `test`."""
    fitted: dict[MaskUpsampling, FittedHead] = {}
    for upsampling in get_args(MaskUpsampling):
        torch.manual_seed(seed)
        head = FusionMask(inputs=train.features.shape[1], upsampling=upsampling, backend="matmul")
        fit_head(train, head, torch.Generator().manual_seed(seed), steps=steps, progress=progress)
        with torch.no_grad():
            masks = head(test.features)
        swap = composite(test.truth, masks, test.target)
        head.backend = "reference"
        fitted[upsampling] = FittedHead(
            masks,
            float((masks - test.mask).abs().mean()),
            float((swap - test.truth).abs().mean()),
            count_macs(head, test.features[:1]),
        )
    return fitted
