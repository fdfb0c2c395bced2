"""Depthwise kernels that all identities share: the paper's ablation "without weights prediction".

MobileFaceSwap (AAAI 2022, "Effectiveness of the network") drops the weight predictor; then only the pointwise layers
carry the identity. The kernels are ordinary learned parameters, here with the start of the predictor's common kernels
(`predictor.base_kernel`), so that a network with `kernel_base` and this one begin alike.

| part    | shapes                                   | parameters |
|---------|------------------------------------------|------------|
| encoder | (1, C, 4, 4) for C = 3, 32, 64, 128, 256 | 7,728      |
| decoder | (1, C, 3, 3) for C = 512, 512, 256, 128  | 12,672     |

They stand where the predictor stands, which has 19,253,565 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.predictor import DECODER_KERNEL, ENCODER_KERNEL, base_kernel


def _kernels(channels: tuple[int, ...], size: int) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(base_kernel(channels=c, size=size)[None]) for c in channels)


class LearnedKernels(nn.Module):
    """The depthwise kernels of all layers of the mobile network, the same for everyone.

    `encoder_channels` and `decoder_channels` are the channels that each depthwise layer filters, first stage first.
    """

    def __init__(
        self,
        *,
        encoder_channels: tuple[int, ...] = (3, 32, 64, 128, 256),
        decoder_channels: tuple[int, ...] = (512, 512, 256, 128),
    ) -> None:
        super().__init__()
        self.encoder = _kernels(encoder_channels, ENCODER_KERNEL)
        self.decoder = _kernels(decoder_channels, DECODER_KERNEL)

    def forward(self, identity: IdentityFeatures) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Features of any number of people, which aren't read -> kernels of E0.. (1,C,4,4) and of D0.. (1,C,3,3)."""
        return tuple(self.encoder), tuple(self.decoder)
