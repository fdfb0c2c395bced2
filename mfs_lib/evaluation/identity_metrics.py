"""What a recogniser that never trained anything says about swaps: cosines, retrieval, who is nearer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mfs_lib.faces.alignment import arcface_view


@torch.no_grad()
def embed(judge: nn.Module, crops: Tensor, batch: int = 32) -> Tensor:
    """L2-normalised embeddings (N, E) of aligned crops (N, 3, S, S) in [0, 1]."""
    return torch.cat([judge(arcface_view(part)) for part in crops.split(batch)])  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class IdentityScores:
    """Per-pair results of a judge."""

    to_source: Tensor  # (N,) cosine of result and source
    to_target: Tensor  # (N,) cosine of result and target
    before: Tensor  # (N,) cosine of target and source
    retrieved: Tensor  # (N,) bool: of the gallery, the source is nearest to the result

    @property
    def nearer_than_target(self) -> float:
        """Share of results nearer to the source than the target was."""
        return float((self.to_source > self.before).float().mean())

    @property
    def nearer_to_source(self) -> float:
        """Share of results nearer to the source than to the target."""
        return float((self.to_source > self.to_target).float().mean())


def identity_scores(result: Tensor, target: Tensor, gallery: Tensor, owner: Tensor) -> IdentityScores:
    """Scores of results.

    Args:
        result, target: (N, E) embeddings.
        gallery: (G, E) embeddings of one source picture a person.
        owner: (N,) index of each result's source in the gallery.
    """
    source = gallery[owner]
    return IdentityScores(
        to_source=(result * source).sum(1),
        to_target=(result * target).sum(1),
        before=(target * source).sum(1),
        retrieved=(result @ gallery.T).argmax(1) == owner,
    )
