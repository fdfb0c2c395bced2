"""Who is in a picture, as SFace says it: the recogniser that the package's networks are conditioned on."""

from __future__ import annotations

import torch
from torch import Tensor

from mfs_lib.faces.alignment import arcface_view
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.weights.models import load_sface


@torch.no_grad()
def identity_of(crops: Tensor, batch: int = 25) -> IdentityFeatures:
    """SFace's features of aligned crops (N,3,S,S) in [0,1]: embeddings (N,128), maps (N,1024,7,7)."""
    sface = load_sface()
    parts = [sface(arcface_view(part)) for part in crops.split(batch)]  # type: ignore[no-untyped-call]
    return IdentityFeatures(torch.cat([p.embedding for p in parts]), torch.cat([p.feature_map for p in parts]))
