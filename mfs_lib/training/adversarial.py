"""L_adv (in equation 7 of MobileFaceSwap, which doesn't say more): a small discriminator of patches asks for sharpness.

Hinge losses (Lim and Ye 2017) on a PatchGAN (Isola et al. 2017) with spectral normalisation (Miyato et al. 2018). It
sees the middle of the crop, where the face is; real pictures are the truths of the same batch, so that nothing but how
they were made tells the two apart.

| layer | layers                                         | output for a 96 x 96 middle |
|-------|------------------------------------------------|-----------------------------|
| 0 - 2 | 4x4 stride 2, to 24, 48 and 96; leaky ReLU 0.2  | 96 x 12 x 12                |
| 3     | 3x3 to 1                                       | 1 x 12 x 12                 |
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.networks.patchgan import PatchGAN

_RATE = 4e-4


def middle(picture: Tensor) -> Tensor:
    """The middle three quarters of crops (B, C, S, S): all of the face, little else."""
    edge = picture.shape[-1] // 8
    return picture[..., edge:-edge, edge:-edge]


def _signed(picture: Tensor) -> Tensor:
    """What the discriminator sees of crops (B, C, S, S) in [0, 1]: their middle, in [-1, 1]."""
    return middle(picture) * 2 - 1


class Adversary:
    """The discriminator and its optimiser: what a trainer plays against."""

    def __init__(self) -> None:
        self.network = PatchGAN(channels=(24, 48, 96), strided=3, padding=1, last_kernel=3, norm="none", spectral=True)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=_RATE, betas=(0.0, 0.99), fused=True)

    def loss(self, result: Tensor) -> Tensor:
        """What the generator lowers, per sample (B,): how unreal its pictures look. Leaves the discriminator alone."""
        self.network.requires_grad_(False)
        score: Tensor = self.network(_signed(result))
        self.network.requires_grad_(True)
        return -score.mean((1, 2, 3))

    def learn(self, result: Tensor, truth: Tensor) -> float:
        """One step of the discriminator on pictures (B, 3, S, S) and their truths; returns its hinge loss (2: no idea)."""
        fake, real = self.network(_signed(torch.cat((result.detach(), truth)))).chunk(2)
        loss = F.relu(1 + fake).mean() + F.relu(1 - real).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
