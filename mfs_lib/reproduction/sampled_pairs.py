"""Pairs of sampled people with the exact swap, and everything that the face world knows of how hard each pair is.

| fact       | of the target (unless said otherwise)                                             |
|------------|-----------------------------------------------------------------------------------|
| to change  | mean absolute error of the untouched target, grey levels: how much there is to do |
| likeness   | SFace's cosine of source and target                                               |
| yaw, pitch | how far the head is turned to either side, and up or down, degrees                |
| smile      | share of the mean smile in the expression                                         |
| occluded   | 1 with glasses or a hand before the face                                          |
| darkness   | 1 minus the face's mean brightness                                                |
| hard light | strength of the directed light                                                    |
| blur       | as the world's camera has it                                                      |
| compressed | 100 minus the JPEG quality; 0 without JPEG                                        |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.evaluation.metrics.truth import absolute_errors
from mfs_lib.faces.identity import identity_of
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.world import WorldSample
from mfs_lib.networks.identity import IdentityFeatures

PAIRS_SEED = 4_000_037
"""Of pairs that neither a teacher nor a scorer has learned from or was watched with."""

FACTS = (
    "to change", "likeness", "yaw", "pitch", "smile", "occluded", "darkness", "hard light", "blur", "compressed",
)  # fmt: skip

_BATCH = 25


@dataclass(frozen=True, eq=False)
class SampledPairs:
    """N people put onto pictures of N others.

    Attributes:
        source, target, truth: crops (N,3,S,S) in [0,1]; the last are the exact swaps.
        face: where the target's face or the truth's is, (N,1,S,S) in [0,1].
        identity: what SFace says of the sources.
        facts: (N,) by name, see above.
    """

    source: Tensor
    target: Tensor
    truth: Tensor
    face: Tensor
    identity: IdentityFeatures
    facts: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.target)

    def part(self, rows: slice) -> SampledPairs:
        """Some of the pairs."""
        who = IdentityFeatures(self.identity.embedding[rows], self.identity.feature_map[rows])
        facts = {name: values[rows] for name, values in self.facts.items()}
        return SampledPairs(self.source[rows], self.target[rows], self.truth[rows], self.face[rows], who, facts)

    def first(self, count: int) -> SampledPairs:
        """The first `count` pairs."""
        return self.part(slice(count))

    def fact_columns(self) -> FloatArray:
        """All facts as columns (N, 10) in the order of `FACTS`."""
        return np.stack([self.facts[name] for name in FACTS], 1)


def _attribute_facts(world: MorphableWorld, target: WorldSample) -> dict[str, Tensor]:
    how, smile = target.attributes, world.model.expression_mean
    weights = target.image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    bright = (target.image * weights).sum(1, keepdim=True) * target.face_mask
    area = target.face_mask.sum((1, 2, 3)).clamp(min=1)
    return {
        "yaw": how.angles[:, 0].abs(), "pitch": how.angles[:, 1].abs(),
        "smile": how.expression @ smile / smile.square().sum(),
        "occluded": (how.occluder[:, 0] > 0).float(), "darkness": 1 - bright.sum((1, 2, 3)) / area,
        "hard light": how.light[:, :3].norm(dim=1), "blur": how.degrade[:, 0],
        "compressed": (100 - how.degrade[:, 1]) * how.degrade[:, 2],
    }  # fmt: skip


@torch.no_grad()
def draw_pairs(count: int, size: int, seed: int = PAIRS_SEED) -> SampledPairs:
    """`count` sampled people onto as many others; the first pairs are the same however many are drawn by 25s.

    Raises:
        InputError: no pair, or a size that the world doesn't draw.
    """
    if count < 1 or size < 32 or size % 8:
        raise InputError(f"pairs are drawn from one on, at 32 pixels or more and multiples of 8; got {count}, {size}")
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(seed)
    pictures: list[tuple[Tensor, ...]] = []
    facts: list[dict[str, Tensor]] = []
    for start in tqdm(range(0, count, _BATCH), desc="pairs"):
        wanted = min(_BATCH, count - start)
        source, target = (world.sample(wanted, generator, size=size) for _ in range(2))
        exact = world.swap(identity_of=source, attributes_of=target)
        face = torch.maximum(target.face_mask, exact.face_mask)
        pictures.append((source.image, target.image, exact.image, face))
        facts.append(_attribute_facts(world, target))
    source_image, target_image, truth, mask = (torch.cat(column) for column in zip(*pictures, strict=True))
    identity = identity_of(source_image)
    known = {name: torch.cat([part[name] for part in facts]).double().numpy() for name in facts[0]}
    known["to change"] = absolute_errors(target_image, truth)
    known["likeness"] = (identity_of(target_image).embedding * identity.embedding).sum(1).double().numpy()
    return SampledPairs(source_image, target_image, truth, mask, identity, {name: known[name] for name in FACTS})
