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
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.common import SLOPE, Upsample2x
from mfs_lib.networks.depthwise import Backend, depthwise_grouped, upsample, upsample_depthwise
from mfs_lib.networks.injection import IdnWeights, LayerWeights, layer_channels

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

    The scale of the pointwise layer's input channels is folded into the (bias-free) depthwise kernel before it; the
    learned pointwise weight is shared by the batch; the demodulation scales the outputs. An encoder layer halves the
    size; a decoder layer (`up`) first doubles it.
    """
    scale, pointwise, demodulation = weights.pointwise
    kernel = weights.depthwise * scale[:, :, None, None]
    x = upsample_depthwise(x, kernel, backend=backend) if up else depthwise_grouped(x, kernel, stride=2)
    x = functional.conv2d(x, pointwise)
    return functional.leaky_relu(x * demodulation[:, :, None, None], SLOPE)


def run_final(final: nn.Sequential, x: Tensor, *, backend: Backend) -> Tensor:
    """The output block. A 1x1 convolution and upsampling commute, so the fast backends put the cheaper order first."""
    if backend == "reference":
        return cast(Tensor, final(x))
    return cast(Tensor, final[2:](upsample(final[1](x), backend=backend)))


class IdentityDynamicNetwork(nn.Module):
    """The mobile network with its weights still open: they are an argument of `forward`.

    `backend` chooses between equal computations (see `depthwise`); it may be assigned at any time. `first_skip` joins
    the shallowest encoder features to the last decoder's; the release doesn't.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (32, 64, 128, 256, 512),
        backend: Backend = "reference",
        first_skip: bool = False,
    ) -> None:
        super().__init__()
        self.backend: Backend = backend
        self.first_skip = first_skip
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
        skips: list[Tensor] = []
        for layer in weights.encoder:
            x = injected_layer(x, layer)
            skips.append(x)
        deepest = skips.pop()
        for layer in weights.decoder:
            x = injected_layer(x, layer, up=True, backend=self.backend)
            if levels is not None:
                levels.append(x)
            if len(skips) > 1 or self.first_skip:  # the release never uses the shallowest encoder features
                x = torch.cat((x, skips.pop()), dim=1)
        return (1.0 + torch.tanh(run_final(self.final, x, backend=self.backend))) / 2.0, deepest


def _static_layer(inputs: int, outputs: int, *, size: int, stride: int, bias: bool) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, size, stride=stride, padding=1, groups=inputs, bias=bias)
    pointwise = nn.Conv2d(inputs, outputs, 1, bias=bias)
    if bias:
        nn.init.zeros_(cast(Tensor, depthwise.bias))
        nn.init.zeros_(cast(Tensor, pointwise.bias))
    return nn.Sequential(depthwise, pointwise, nn.LeakyReLU(SLOPE))


class StaticIdentityNetwork(nn.Module):
    """The mobile network of one identity: ordinary convolutions only, ready to be exported.

    `declare_biases` adds the biases that the release declares and leaves zero; they change the count, not the function.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (32, 64, 128, 256, 512),
        declare_biases: bool = False,
        first_skip: bool = False,
    ) -> None:
        super().__init__()
        self.first_skip = first_skip
        encoder, decoder = layer_channels(channels)
        self.encoder = nn.ModuleList(_static_layer(i, o, size=4, stride=2, bias=declare_biases) for i, o in encoder)
        self.decoder = nn.ModuleList(
            nn.Sequential(Upsample2x(), *_static_layer(i, o, size=3, stride=1, bias=declare_biases)) for i, o in decoder
        )
        self.final = final_layers(channels[0] * (2 if first_skip else 1))

    @torch.no_grad()
    def write(self, weights: IdnWeights) -> None:
        """Copy the baked weights of one identity in; raises InputError when `weights` holds several."""
        if len(weights) != 1:
            raise InputError(f"a static network holds one identity, got {len(weights)}; choose one, as weights[0]")
        offsets = ((self.encoder, weights.encoder, 0), (self.decoder, weights.decoder, 1))
        for stages, layers, offset in offsets:
            for stage, layer in zip(stages, layers, strict=True):
                convolutions = cast(nn.Sequential, stage)
                cast(nn.Conv2d, convolutions[offset]).weight.copy_(layer.depthwise[0].unsqueeze(1))
                cast(nn.Conv2d, convolutions[offset + 1]).weight.copy_(layer.pointwise.baked()[0])

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """`target` (B,3,H,W) in [0,1] -> image (B,3,H,W) in [0,1] and the deepest features (B,512,H/32,W/32)."""
        check_target(target)
        x = target * 2.0 - 1.0
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        deepest = skips.pop()
        for stage in self.decoder:
            x = stage(x)
            if len(skips) > 1 or self.first_skip:
                x = torch.cat((x, skips.pop()), dim=1)
        return (1.0 + torch.tanh(cast(Tensor, self.final(x)))) / 2.0, deepest
