"""The identity dynamic network: the half-million-parameter network that runs on every frame.

MobileFaceSwap (AAAI 2022, section 3.1, figure 2): a U-Net of depthwise-separable convolutions without any
normalisation, whose depthwise kernels are predicted and whose pointwise weights are modulated for the source person.
Sizes for the release at 224 (U = bilinear x2, corners aligned; leaky ReLU 0.1 after each pointwise layer only):

| stage | layers                                             | output        | skip     |
|-------|----------------------------------------------------|---------------|----------|
| input | RGB in [0,1] made [-1,1]                           | 3 x 224 x 224 |          |
| E0    | depthwise 4x4 stride 2, pointwise 3-32             | 32 x 112      | not used |
| E1    | the same, 32-64                                    | 64 x 56       | to D3    |
| E2    | the same, 64-128                                   | 128 x 28      | to D2    |
| E3    | the same, 128-256                                  | 256 x 14      | to D1    |
| E4    | the same, 256-512                                  | 512 x 7       | mask     |
| D0    | U, depthwise 3x3, pointwise 512-256                | 256 x 14      |          |
| D1    | cat(D0, E3), U, depthwise 3x3, pointwise 512-128   | 128 x 28      |          |
| D2    | cat(D1, E2), U, depthwise 3x3, pointwise 256-64    | 64 x 56       |          |
| D3    | cat(D2, E1), U, depthwise 3x3, pointwise 128-32    | 32 x 112      |          |
| final | U, 1x1 32-8 BN act., 3x3 8-3 BN act., 3x3 3-3 tanh | 3 x 224       |          |
| out   | (1 + tanh) / 2                                     | 3 x 224       |          |

| block   | parameters | kernels only | MAC at 224  | MAC at 256  |
|---------|------------|--------------|-------------|-------------|
| encoder | 183,379    | 181,904      | 30,507,008  | 39,845,888  |
| decoder | 231,648    | 229,760      | 206,022,656 | 269,090,816 |
| final   | 589        | 553          | 27,747,328  | 36,241,408  |
| all     | 415,616    | 412,217      | 264,276,992 | 345,178,112 |

The parameters of encoder and decoder include 3,363 biases that the release declares but its injection never writes:
they stay zero and are no part of the function. Without them the static network has 412,253 parameters.

`architecture="autoencoder"` is the paper's ablation without skip connections; it doesn't say what becomes of the
widths. Here nothing but the joins goes: all layers keep their outputs, and D1, D2, D3 read only the layer before, so
half as many channels (512-256, 256-128, 128-64, 64-32). It is the smaller network, then, and the predictor has fewer
kernels to predict:

| part              | U-Net       | autoencoder | difference           |
|-------------------|-------------|-------------|----------------------|
| decoder, kernels  | 229,760     | 182,720     | -47,040 (-20.5 %)    |
| all, kernels      | 412,217     | 365,177     | -47,040 (-11.4 %)    |
| all, MAC at 224   | 264,276,992 | 174,562,304 | -89,714,688 (-33.9 %) |
| all, MAC at 256   | 345,178,112 | 227,999,744 | -117,178,368 (-33.9 %) |

`pointwise="adain"` adds two numbers for each pointwise output of one person's network, 2,944 in all; the other
options of the ablation leave its size alone.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.common import SLOPE, Upsample2x
from mfs_lib.networks.depthwise import Backend, depthwise_grouped, upsample, upsample_depthwise
from mfs_lib.networks.injection import Architecture, IdnWeights, LayerWeights, layer_channels
from mfs_lib.networks.pointwise import Pointwise, static_pointwise

Feature = TypeVar("Feature")

STRIDE = 32
"""Height and width of a target must be multiples of this."""


def check_target(target: Tensor) -> None:
    """Raise InputError unless `target` is (B,3,H,W) with H and W positive multiples of 32."""
    good = target.ndim == 4 and target.shape[1] == 3 and min(target.shape) > 0
    if not good or target.shape[2] % STRIDE or target.shape[3] % STRIDE:
        raise InputError(
            f"a target crop is (B,3,H,W) with H and W multiples of {STRIDE}, got {tuple(target.shape)}; resize it"
        )


def final_layers(channels: int) -> nn.Sequential:
    """The learned output block, the same for every identity: (B,channels,H,W) -> (B,3,2H,2W) before tanh."""
    return nn.Sequential(
        Upsample2x(),
        nn.Conv2d(channels, 8, 1),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(8, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(3, 3, 3, padding=1),
    )


def injected_layer(x: Tensor, weights: LayerWeights, *, up: bool = False, backend: Backend = "reference") -> Tensor:
    """Depthwise, pointwise and activation with the weights of each sample's own identity.

    The pointwise layer folds what it can into the (bias-free) depthwise kernel before it: a modulation its scale of
    the input channels, so that the batch shares the learned weight. An encoder layer halves the size; a decoder layer
    (`up`) first doubles it.
    """
    kernel = weights.pointwise.fold(weights.depthwise)
    x = upsample_depthwise(x, kernel, backend=backend) if up else depthwise_grouped(x, kernel, stride=2)
    return functional.leaky_relu(weights.pointwise.run(x), SLOPE)


def decoder_joins(features: list[Feature], *, architecture: Architecture, first_skip: bool) -> list[Feature | None]:
    """The encoder features that join the output of each decoder layer, D0's first.

    `features` are those of all encoder layers, or their numbers. The release never uses the shallowest again; `first_skip` does.
    """
    if architecture == "autoencoder":
        return [None] * (len(features) - 1)
    return [*features[-2:0:-1], features[0] if first_skip else None]


def run_final(final: nn.Sequential, x: Tensor, *, backend: Backend) -> Tensor:
    """The output block. A 1x1 convolution and upsampling commute, so the fast backends put the cheaper order first."""
    if backend == "reference":
        return cast(Tensor, final(x))
    return cast(Tensor, final[2:](upsample(final[1](x), backend=backend)))


class IdentityDynamicNetwork(nn.Module):
    """The mobile network with its weights still open: they are an argument of `forward`.

    `backend` chooses between equal computations (see `depthwise`); it may be assigned at any time. `first_skip` joins
    the shallowest encoder features to the last decoder's; the release doesn't. An `architecture` "autoencoder" joins
    none.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (32, 64, 128, 256, 512),
        backend: Backend = "reference",
        first_skip: bool = False,
        architecture: Architecture = "unet",
    ) -> None:
        super().__init__()
        self.backend: Backend = backend
        self.first_skip = first_skip
        self.architecture: Architecture = architecture
        self.final = final_layers(channels[0] * (2 if first_skip else 1))

    def forward(
        self, target: Tensor, weights: IdnWeights, *, levels: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """`target` (B,3,H,W) in [0,1], weights of B identities or of one -> image (B,3,H,W) in [0,1], features.

        The features are the encoder's deepest, (B,512,H/32,W/32). `levels` receives those of every decoder layer. Raises
        InputError for a size that is not a multiple of 32, or a number of identities that is neither 1 nor B.
        """
        check_target(target)
        if len(weights) not in (1, target.shape[0]):
            raise InputError(
                f"{len(weights)} identities for {target.shape[0]} targets: give one identity, or one for each target"
            )
        x = target * 2.0 - 1.0
        features: list[Tensor] = []
        for layer in weights.encoder:
            x = injected_layer(x, layer)
            features.append(x)
        joins = decoder_joins(features, architecture=self.architecture, first_skip=self.first_skip)
        for layer, join in zip(weights.decoder, joins, strict=True):
            x = injected_layer(x, layer, up=True, backend=self.backend)
            if levels is not None:
                levels.append(x)
            if join is not None:
                x = torch.cat((x, join), dim=1)
        return (1.0 + torch.tanh(run_final(self.final, x, backend=self.backend))) / 2.0, features[-1]


def _static_layer(
    inputs: int, outputs: int, *, size: int, stride: int, bias: bool, pointwise: Pointwise
) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, size, stride=stride, padding=1, groups=inputs, bias=bias)
    if bias:
        nn.init.zeros_(cast(Tensor, depthwise.bias))
    after = static_pointwise(pointwise, inputs=inputs, outputs=outputs, bias=bias)
    return nn.Sequential(depthwise, *after, nn.LeakyReLU(SLOPE))


class StaticIdentityNetwork(nn.Module):
    """The mobile network of one identity: ordinary convolutions only, ready to be exported.

    `declare_biases` adds the biases that the release declares and leaves zero; they change the count, not the function.
    `pointwise` "adain" adds an instance normalisation to every layer; "modulated" and "plain" are built alike.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (32, 64, 128, 256, 512),
        declare_biases: bool = False,
        first_skip: bool = False,
        pointwise: Pointwise = "modulated",
        architecture: Architecture = "unet",
    ) -> None:
        super().__init__()
        self.first_skip = first_skip
        self.architecture: Architecture = architecture
        encoder, decoder = layer_channels(channels, architecture=architecture)
        layer = partial(_static_layer, bias=declare_biases, pointwise=pointwise)
        self.encoder = nn.ModuleList(layer(i, o, size=4, stride=2) for i, o in encoder)
        self.decoder = nn.ModuleList(nn.Sequential(Upsample2x(), *layer(i, o, size=3, stride=1)) for i, o in decoder)
        self.final = final_layers(channels[0] * (2 if first_skip else 1))

    @torch.no_grad()
    def write(self, weights: IdnWeights) -> None:
        """Copy the baked weights of one identity in; raises InputError when `weights` holds several."""
        if len(weights) != 1:
            raise InputError(f"a static network holds one identity, got {len(weights)}; choose one, as weights[0]")
        offsets = ((self.encoder, weights.encoder, 0), (self.decoder, weights.decoder, 1))
        for stages, layers, offset in offsets:
            for stage, layer in zip(stages, layers, strict=True):
                parts = cast(nn.Sequential, stage)
                cast(nn.Conv2d, parts[offset]).weight.copy_(layer.depthwise[0].unsqueeze(1))
                layer.pointwise.write(cast(nn.Sequential, parts[offset + 1 :]))

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """`target` (B,3,H,W) in [0,1] -> image (B,3,H,W) in [0,1] and the deepest features (B,512,H/32,W/32)."""
        check_target(target)
        x = target * 2.0 - 1.0
        features: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        joins = decoder_joins(features, architecture=self.architecture, first_skip=self.first_skip)
        for stage, join in zip(self.decoder, joins, strict=True):
            x = stage(x)
            if join is not None:
                x = torch.cat((x, join), dim=1)
        return (1.0 + torch.tanh(cast(Tensor, self.final(x)))) / 2.0, features[-1]
