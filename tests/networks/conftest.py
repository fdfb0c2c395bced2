"""Small models and random identities for the tests of the mobile network."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig

SMALL = MobileFaceSwapConfig(
    channels=(4, 6, 8, 10, 12), mask_channels=(8, 6, 4, 4, 2), embedding_dim=16, feature_channels=20
)


def random_identities(count: int, *, config: MobileFaceSwapConfig = SMALL, seed: int = 0) -> IdentityFeatures:
    """Features of `count` people who do not exist."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(count, config.embedding_dim, generator=generator)
    size = config.feature_size
    feature_map = torch.randn(count, config.feature_channels, size, size, generator=generator)
    return IdentityFeatures(functional.normalize(embedding, dim=1), feature_map)


def randomise_norms(model: nn.Module) -> None:
    """Give every batch normalisation statistics and an affine map that are not the neutral ones."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.3)


@pytest.fixture
def small_model() -> MobileFaceSwap:
    """A narrow network of the same shape, with random statistics, in eval mode."""
    torch.manual_seed(1)
    model = MobileFaceSwap(SMALL)
    randomise_norms(model)
    return model.eval()
