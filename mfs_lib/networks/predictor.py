"""Weight prediction: the depthwise kernels of the mobile network, computed from an identity (equation 1).

MobileFaceSwap (AAAI 2022) predicts every depthwise kernel. Sizes for the release (leaky ReLU 0.1 throughout):

| part            | layers                                                                      | output          |
|-----------------|-----------------------------------------------------------------------------|-----------------|
| first           | 4x4 valid convolution of the 512 x 7 x 7 feature map, BN, activation        | h: 512 x 4 x 4  |
| encoder, 5 x    | 3x3 conv + BN + activation, passed on: 256, 128, 64, 32, 3 channels;        |                 |
|                 | a 3x3 head on each gives a kernel, used in reverse for stages E0..E4        | C x 4 x 4       |
| first_decoder   | 2x2 valid convolution of h, BN, activation                                  | 512 x 3 x 3     |
| decoder, 4 x    | the same blocks: 512, 512, 256, 128 channels, for stages D0..D3             | C x 3 x 3       |

19,253,565 parameters and 219,003,664 multiply-accumulates. The paper writes the predictor as a function of the
embedding; the release reads the feature map (`source="feature_map"`). With `source="embedding"` the first convolution
becomes a linear layer from the embedding to the same h.

A compact predictor (`width`) caps every hidden width and makes the heads 1x1. With `base`, each layer has a kernel
common to all identities to which the prediction, times `scale`, is added; the common kernels start so that signal
keeps its size through the un-normalised network, and the heads start small.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from mfs_lib.networks.common import SLOPE
from mfs_lib.networks.identity import IdentityFeatures

PredictorInput = Literal["feature_map", "embedding"]
ENCODER_KERNEL = 4
DECODER_KERNEL = 3
_TRUNK = 512


class KernelBlock(nn.Module):
    """One link of the chain: hidden features for the next link, and a head that gives this layer's kernel."""

    def __init__(self, *, inputs: int, hidden: int, outputs: int, head_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.norm = nn.BatchNorm2d(hidden)
        self.act = nn.LeakyReLU(SLOPE)
        self.head = nn.Conv2d(hidden, outputs, head_size, padding=head_size // 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B,Cin,k,k) -> hidden (B,hidden,k,k) and kernel (B,outputs,k,k)."""
        hidden = self.act(self.norm(self.conv(x)))
        return hidden, self.head(hidden)


def _chain(*, trunk: int, needed: tuple[int, ...], width: int | None) -> nn.ModuleList:
    blocks, inputs = [], trunk
    for outputs in needed:
        hidden = outputs if width is None else min(width, outputs)
        blocks.append(KernelBlock(inputs=inputs, hidden=hidden, outputs=outputs, head_size=3 if width is None else 1))
        inputs = hidden
    return nn.ModuleList(blocks)


def base_kernel(*, channels: int, size: int) -> Tensor:
    """Random kernels (C,size,size) around a small blur, which pass smooth and rough signals at a healthy size.

    What kernels common to all identities start from.
    """
    kernel = torch.randn(channels, size, size)
    centre = slice(1, size - 1)
    kernel = cast(Tensor, kernel / kernel.flatten(1).norm(dim=1)[:, None, None])
    kernel[:, centre, centre] += 1.0 / (size - 2) ** 2
    return kernel


class WeightPredictor(nn.Module):
    """Depthwise kernels of all layers of the mobile network, for a batch of identities.

    `encoder_channels` and `decoder_channels` are the channels that each depthwise layer filters, first stage first.
    """

    def __init__(
        self,
        *,
        encoder_channels: tuple[int, ...] = (3, 32, 64, 128, 256),
        decoder_channels: tuple[int, ...] = (512, 512, 256, 128),
        feature_channels: int = 512,
        feature_size: int = 7,
        embedding_dim: int = 512,
        source: PredictorInput = "feature_map",
        width: int | None = None,
        base: bool = False,
        scale: float = 0.3,
    ) -> None:
        super().__init__()
        trunk = _TRUNK if width is None else min(width, _TRUNK)
        self.source: PredictorInput = source
        self.scale = scale if base else 1.0
        self.trunk = trunk
        self.first: nn.Module
        if source == "feature_map":
            self.first = nn.Conv2d(feature_channels, trunk, feature_size - ENCODER_KERNEL + 1)
        else:
            self.first = nn.Linear(embedding_dim, trunk * ENCODER_KERNEL**2)
        self.norm = nn.BatchNorm2d(trunk)
        self.first_decoder = nn.Conv2d(trunk, trunk, ENCODER_KERNEL - DECODER_KERNEL + 1)
        self.decoder_norm = nn.BatchNorm2d(trunk)
        self.act = nn.LeakyReLU(SLOPE)
        self.encoder = _chain(trunk=trunk, needed=encoder_channels[::-1], width=width)
        self.decoder = _chain(trunk=trunk, needed=decoder_channels, width=width)
        self.encoder_base = nn.ParameterList()
        self.decoder_base = nn.ParameterList()
        if base:
            self._add_bases(encoder_channels, decoder_channels)

    def _add_bases(self, encoder_channels: tuple[int, ...], decoder_channels: tuple[int, ...]) -> None:
        for c in encoder_channels:
            self.encoder_base.append(nn.Parameter(base_kernel(channels=c, size=ENCODER_KERNEL)))
        for c in decoder_channels:
            self.decoder_base.append(nn.Parameter(base_kernel(channels=c, size=DECODER_KERNEL)))
        for block in [*self.encoder, *self.decoder]:
            head = cast(KernelBlock, block).head
            nn.init.normal_(head.weight, std=0.5 * (head.weight[0].numel()) ** -0.5)
            nn.init.zeros_(cast(Tensor, head.bias))

    def _start(self, identity: IdentityFeatures) -> Tensor:
        if self.source == "feature_map":
            return cast(Tensor, self.first(identity.feature_map))
        flat = cast(Tensor, self.first(identity.embedding))
        return flat.view(-1, self.trunk, ENCODER_KERNEL, ENCODER_KERNEL)

    def forward(self, identity: IdentityFeatures) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Features of B identities -> kernels of E0.. as (B,C,4,4) and of D0.. as (B,C,3,3)."""
        h = self.act(self.norm(self._start(identity)))
        g = self.act(self.decoder_norm(self.first_decoder(h)))
        encoder = self._run(self.encoder, h)[::-1]
        decoder = self._run(self.decoder, g)
        return self._finish(encoder, self.encoder_base), self._finish(decoder, self.decoder_base)

    @staticmethod
    def _run(chain: nn.ModuleList, hidden: Tensor) -> list[Tensor]:
        kernels = []
        for block in chain:
            hidden, kernel = block(hidden)
            kernels.append(kernel)
        return kernels

    def _finish(self, kernels: list[Tensor], bases: nn.ParameterList) -> tuple[Tensor, ...]:
        if len(bases) == 0:
            return tuple(kernels)
        return tuple(base + self.scale * kernel for base, kernel in zip(bases, kernels, strict=True))
