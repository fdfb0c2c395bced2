"""Draws batches from the pools: one generator decides everything, so that a run can be resumed and repeated."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mfs_lib.faces.resizing import resized
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.training.config import BatchConfig
from mfs_lib.training.pools import IdentityBank, Triplets


class Batch(NamedTuple):
    """Pictures (B, 3, S, S) in [0, 1]; the last `free` of them have no truth (there `truth` repeats the target)."""

    target: Tensor
    truth: Tensor
    face: Tensor  # (B, 1, S, S)
    source: IdentityFeatures
    free: int
    alpha: Tensor  # (B,) how far to trust each truth (equation 4); 1 where it is one

    @property
    def known(self) -> int:
        """How many have a truth; they come first."""
        return len(self.target) - self.free


def _recolour(pictures: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """The same random gains and gamma on the target and the truth of a sample."""
    count = len(pictures[0])
    gain = torch.exp(0.08 * torch.randn((count, 3, 1, 1), generator=generator))
    gamma = torch.exp(0.15 * torch.randn((count, 1, 1, 1), generator=generator))
    return [(p.clamp(1e-4, 1) ** gamma * gain).clamp(0, 1) for p in pictures]


class Sampler:
    """Batches of sampled triplets, reverse triplets and photographs without truth."""

    def __init__(
        self, sampled: Triplets, reverse: Triplets | None, bank: IdentityBank, *, generator: torch.Generator
    ) -> None:
        self.sampled, self.reverse, self.bank = sampled, reverse, bank
        self.generator = generator

    def _draw(self, pool: Triplets, count: int) -> tuple[list[Tensor], Tensor, Tensor]:
        index = torch.randint(0, len(pool), (count,), generator=self.generator)
        flip = torch.rand((count,), generator=self.generator) < 0.5
        pictures = []
        for part in (pool.target, pool.truth, pool.mask):
            picture = part[index].float() / 255
            pictures.append(torch.where(flip.view(-1, 1, 1, 1), picture.flip(3), picture))
        alpha = torch.ones(count) if pool.alpha is None else pool.alpha[index]
        return pictures, pool.source[index, flip.long()], alpha

    def draw(self, size: int, counts: BatchConfig) -> Batch:
        """The next batch, so many of each kind, at a resolution that divides the pools'."""
        parts = [self._draw(self.sampled, counts.sampled)]
        free = 0
        if self.reverse is not None and counts.reverse:
            parts.append(self._draw(self.reverse, counts.reverse))
        if self.reverse is not None and counts.free:
            (_, truth, mask), _, alpha = self._draw(self.reverse, counts.free)  # untouched photographs
            strangers = torch.randint(0, len(self.bank), (counts.free,), generator=self.generator)
            parts.append(([truth, truth, mask], strangers, alpha))
            free = counts.free
        target, truth, face = (torch.cat(column) for column in zip(*(p[0] for p in parts), strict=True))
        target, truth = _recolour([target, truth], self.generator)
        target, truth, face = (resized(x, size) for x in (target, truth, face))
        source, alpha = torch.cat([p[1] for p in parts]), torch.cat([p[2] for p in parts])
        return Batch(target, truth, face, self.bank[source], free, alpha)
