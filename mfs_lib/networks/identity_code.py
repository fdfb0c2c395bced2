"""The identity code: what a recogniser's feature map knows of a face and its embedding leaves out.

A recogniser's embedding is trained to forget all that doesn't tell people apart in photographs. What a face looks like
(its texture and shape, entry by entry) can be read from the feature map before it (see `training.identity_code`). The
release has no such part: its modulation reads the embedding alone.

| layer   | layers                                                   | output             |
|---------|----------------------------------------------------------|--------------------|
| first   | k x k valid convolution of the C x s x s feature map, BN, | width x 4 x 4      |
|         | leaky ReLU 0.1 (k = s - 3)                               |                    |
| code    | flatten, linear, L2-normalisation                        | code_dim           |
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.networks.common import SLOPE

_SIDE = 4


class IdentityCode(nn.Module):
    """Feature map of a source -> code of unit length."""

    def __init__(self, *, feature_channels: int, feature_size: int, width: int, code_dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(feature_channels, width, feature_size - _SIDE + 1)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.LeakyReLU(SLOPE)
        self.code = nn.Linear(width * _SIDE**2, code_dim)

    def forward(self, feature_map: Tensor) -> Tensor:
        """(B,C,s,s) -> (B,code_dim), each row of unit length."""
        hidden = self.act(self.norm(self.first(feature_map)))
        return functional.normalize(cast(Tensor, self.code(hidden.flatten(1))), dim=1)
