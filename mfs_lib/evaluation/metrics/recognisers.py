"""Recognisers that may judge: those of ``weights.models``, and CosFace's where the user has its weights.

CosFace's 20-layer network is what the field's "ID retrieval" is measured with, as far as papers say. It reads the middle
96 columns of the 112 x 112 crop: ArcFace's template is CosFace's, moved by eight pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfs_lib.networks.sphereface import SphereFace
from mfs_lib.weights.convert.cached import converted_state
from mfs_lib.weights.convert.cosface import convert_cosface
from mfs_lib.weights.models import load_judge

DEFAULT_JUDGE = "mobilefacenet"


class CosFaceView(nn.Module):
    """A SphereFace of 112 x 96 that takes faces on ArcFace's template."""

    def __init__(self, *, network: SphereFace) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB in [0, 1] to L2-normalised identities (B, 512)."""
        out: Tensor = self.network(x[..., 8:104])
        return out


def load_recogniser(name: str = DEFAULT_JUDGE, *, device: torch.device | str = "cpu") -> nn.Module:
    """A frozen judge by name: (B, 3, 112, 112) in [0, 1] to L2-normalised identities (B, E).

    Args:
        name: ``cosface`` (the user's own weights), or a name that ``weights.models.load_judge`` knows.
        device: where it runs.

    Raises:
        ConfigError: no judge has that name.
        AssetError: CosFace's weights are not there; says how to get them.
    """
    if name != "cosface":
        return load_judge(name, device=device)
    network = SphereFace()
    network.load_state_dict(converted_state("cosface", convert_cosface))
    return CosFaceView(network=network).eval().requires_grad_(False).to(device)
