"""The identity injection network: everything of the mobile network that depends on who the source is.

MobileFaceSwap (AAAI 2022, section 3.2): nine weight modulations (equation 2), driven by the embedding, and the
weight predictor (equation 1). It runs once for each source person. Sizes for the release:

| part                  | parameters | multiply-accumulates |
|-----------------------|------------|----------------------|
| encoder modulation x5 |    421,955 |              247,296 |
| decoder modulation x4 |    939,392 |              720,896 |
| weight predictor      | 19,253,565 |          219,003,664 |
| all                   | 20,614,912 |          219,971,856 |

The multiply-accumulates of a modulation are those of its style layer. This implementation also computes the
demodulation as a matrix product (squared scales times squared weights), which costs 391,264 more for each identity.

The paper's ablation changes the parts; parameters at the release's sizes:

| option                       | modulations | predictor  | all        |
|------------------------------|-------------|------------|------------|
| `depthwise="learned"`        | 1,361,347   | 20,400     | 1,381,747  |
| `pointwise="adain"`          | 1,901,536   | 19,253,565 | 21,155,101 |
| `pointwise="plain"`          | 391,264     | 19,253,565 | 19,644,829 |
| `architecture="autoencoder"` | 1,088,515   | 14,643,773 | 15,732,288 |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.identity_code import IdentityCode
from mfs_lib.networks.learned_kernels import LearnedKernels
from mfs_lib.networks.pointwise import Pointwise, PointwiseWeights, pointwise_injection
from mfs_lib.networks.predictor import PredictorInput, WeightPredictor

Depthwise = Literal["predicted", "learned"]
"""Where the depthwise kernels come from: the identity (equation 1), or parameters that all identities share."""

Architecture = Literal["unet", "autoencoder"]
"""Whether the mobile network's decoder reads the encoder's features beside its own."""


@dataclass(frozen=True)
class LayerWeights:
    """One depthwise-separable layer for B identities.

    `depthwise` is (B,C,k,k), or (1,C,k,k) where all identities share the kernels; `pointwise` holds the weights after.
    """

    depthwise: Tensor
    pointwise: PointwiseWeights

    @property
    def identities(self) -> int:
        """B."""
        parts = (int(self.depthwise.shape[0]), self.pointwise.identities)
        return max(parts) if min(parts) else 0

    def select(self, rows: slice | Tensor) -> LayerWeights:
        """The layer of some of the identities; what all share stays shared."""
        shared = self.depthwise.shape[0] < self.identities
        return LayerWeights(self.depthwise if shared else self.depthwise[rows], self.pointwise.select(rows))


@dataclass(frozen=True)
class IdnWeights:
    """What the injection writes into the mobile network, for `len(weights)` identities, first stage first."""

    encoder: tuple[LayerWeights, ...]
    decoder: tuple[LayerWeights, ...]

    def __len__(self) -> int:
        return self.encoder[0].identities

    def __getitem__(self, index: int | slice | Tensor) -> IdnWeights:
        """The weights of some of the identities; an int keeps the batch axis with length 1."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        encoder, decoder = (tuple(layer.select(rows) for layer in part) for part in (self.encoder, self.decoder))
        return IdnWeights(encoder, decoder)


class IdentityInjectionNetwork(nn.Module):
    """Identity features of any number of people -> their weights of the mobile network.

    Whatever the options, `encoder_modulation` and `decoder_modulation` hold the pointwise layers' modules (of the kind
    `pointwise`) and `predictor` gives the kernels (`depthwise` says how): an ablation changes what fills a place.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (32, 64, 128, 256, 512),
        embedding_dim: int = 512,
        feature_channels: int = 512,
        feature_size: int = 7,
        predictor_input: PredictorInput = "feature_map",
        plus_one: bool = True,
        predictor_width: int | None = None,
        kernel_base: bool = False,
        kernel_scale: float = 0.3,
        code_dim: int = 0,
        depthwise: Depthwise = "predicted",
        pointwise: Pointwise = "modulated",
        architecture: Architecture = "unet",
    ) -> None:
        super().__init__()
        encoder, decoder = layer_channels(channels, architecture=architecture)
        style = embedding_dim + code_dim
        layer = partial(pointwise_injection, pointwise, embedding_dim=style, plus_one=plus_one)
        self.encoder_modulation = nn.ModuleList(layer(inputs=i, outputs=o) for i, o in encoder)
        self.decoder_modulation = nn.ModuleList(layer(inputs=i, outputs=o) for i, o in decoder)
        predictor = partial(
            WeightPredictor, feature_channels=feature_channels, feature_size=feature_size, embedding_dim=style,
            source=predictor_input, width=predictor_width, base=kernel_base, scale=kernel_scale,
        )  # fmt: skip
        kernels = LearnedKernels if depthwise == "learned" else predictor
        self.predictor: WeightPredictor | LearnedKernels = kernels(
            encoder_channels=tuple(i for i, _ in encoder), decoder_channels=tuple(i for i, _ in decoder)
        )
        sizes = {"feature_channels": feature_channels, "feature_size": feature_size, "code_dim": code_dim}
        self.code = IdentityCode(width=predictor_width or code_dim, **sizes) if code_dim else None

    def style(self, identity: IdentityFeatures) -> Tensor:
        """Who it is, as the modulation reads it: the embedding and, if the network has one, the code; (B,E+code_dim)."""
        if self.code is None:
            return identity.embedding
        return torch.cat((identity.embedding, self.code(identity.feature_map)), 1)

    def forward(self, identity: IdentityFeatures) -> IdnWeights:
        """Embeddings (B,E) of unit length and feature maps (B,C,7,7) -> weights of B identities."""
        style = self.style(identity)
        encoder, decoder = self.predictor(IdentityFeatures(style, identity.feature_map))
        return IdnWeights(
            self._layers(self.encoder_modulation, encoder, style), self._layers(self.decoder_modulation, decoder, style)
        )

    @staticmethod
    def _layers(modulations: nn.ModuleList, kernels: tuple[Tensor, ...], style: Tensor) -> tuple[LayerWeights, ...]:
        return tuple(
            LayerWeights(kernel, modulation(style)) for modulation, kernel in zip(modulations, kernels, strict=True)
        )


def layer_channels(
    channels: tuple[int, ...],
    *,
    architecture: Architecture = "unet",
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """(in, out) channels of the encoder's and the decoder's layers for an encoder of these `channels`.

    The first decoder layer reads the deepest features; each later one the layer before it and, in a U-Net, beside it
    the encoder features of its resolution. The shallowest encoder features are not used again.
    """
    encoder = tuple(zip((3, *channels[:-1]), channels, strict=True))
    outputs = channels[-2::-1]
    parts = 1 if architecture == "autoencoder" else 2
    inputs = (channels[-1], *(parts * c for c in outputs[:-1]))
    return encoder, tuple(zip(inputs, outputs, strict=True))
