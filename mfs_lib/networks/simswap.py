"""SimSwap's generator: the teacher of MobileFaceSwap's 224 student (Chen, Chen, Ni, Ge, ACM MM 2020, section 3).

An encoder, nine residual blocks that carry the source's identity into the target's features, and a decoder; no skip
connections between encoder and decoder. Layer order and names are those of the official code (neuralchen/SimSwap,
`fs_networks.py`), so that a state dict of `latest_net_G.pth` fits. Sizes for the 224 model, every layer with bias:

| stage      | layers                                                  | output    |
|------------|---------------------------------------------------------|-----------|
| input      | RGB in [0,1], as it is                                  | 3 x 224   |
| first      | reflect 3, 7x7; BN; ReLU                                | 64 x 224  |
| down1..3   | 3x3 stride 2; BN; ReLU                                  | 512 x 28  |
| BottleNeck | 9 blocks of twice (reflect 1, 3x3, AdaIN), plus input   | 512 x 28  |
| up3..1     | bilinear x2 (**corners not aligned**), 3x3; BN; ReLU    | 64 x 224  |
| last       | reflect 3, 7x7; tanh; (x + 1) / 2                       | 3 x 224   |

AdaIN (the paper's ID injection): features normalised per image and channel, then x (gamma + 1) + beta, where gamma and
beta come from z by one linear layer per convolution. These 18 layers depend on the source only: a video needs them
once. ReLU stands between the two halves of a block, none after the sum.

| model       | parameters | per frame  | MAC                      |
|-------------|------------|------------|--------------------------|
| 224         | 55,051,779 | 45,596,163 | 48.1206 G at 224         |
| 512, `deep` | 55,079,427 | 45,623,811 | 70.12 G at 512           |

`deep` is the generator of `fs_networks_512.py`: one more outer level of 32 channels (`down0`, `up0`). An option of the
official code is also named "deep", but means another thing: an inner level of 512 channels, used by neither release.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_parameters

_EPSILON = 1e-8  # of the instance normalisation, as in the official code


def _down(inputs: int, outputs: int) -> nn.Sequential:
    """(B,inputs,H,W) -> (B,outputs,H/2,W/2)."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


def _up(inputs: int, outputs: int) -> nn.Sequential:
    """(B,inputs,H,W) -> (B,outputs,2H,2W)."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Style(nn.Module):
    """The (gamma, beta) of one AdaIN, predicted from the identity."""

    def __init__(self, *, embedding_dim: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, 2 * channels)

    def forward(self, z: Tensor) -> Tensor:
        """z (B,E) -> (B,2,C): gamma, then beta."""
        return cast(Tensor, self.linear(z)).view(z.shape[0], 2, -1)


def inject(x: Tensor, style: Tensor) -> Tensor:
    """AdaIN of `x` (B,C,H,W) with `style` (B or 1,2,C): normalise each channel of each image, then scale and shift."""
    gamma, beta = style[:, 0, :, None, None], style[:, 1, :, None, None]
    return functional.instance_norm(x, eps=_EPSILON) * (gamma + 1.0) + beta


class IdBlock(nn.Module):
    """Residual block with two identity injections."""

    def __init__(self, *, channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.style1 = Style(embedding_dim=embedding_dim, channels=channels)
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.style2 = Style(embedding_dim=embedding_dim, channels=channels)

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """`x` (B,C,H,W), `styles` (B or 1,2,2,C): of the first and of the second half -> (B,C,H,W)."""
        y = functional.relu(inject(self.conv1(x), styles[:, 0]))
        return x + inject(self.conv2(y), styles[:, 1])


class SimSwapGenerator(nn.Module):
    """SimSwap's generator; `width`, `blocks` and `embedding_dim` are the release's by default.

    `deep` adds the outer level of the 512 model, of half the width. With fewer `levels` than three the identity enters at
    a larger share of the crop's size: small crops need that, for there are no skips to draw details from.
    """

    def __init__(
        self, *, deep: bool = False, width: int = 64, blocks: int = 9, embedding_dim: int = 512, levels: int = 3
    ) -> None:
        super().__init__()
        if blocks < 1 or width < 2:
            raise ConfigError(f"SimSwap needs a block and two channels at least, got {blocks} and {width}")
        if not 1 <= levels <= 3:
            raise ConfigError(f"SimSwap halves a picture at one to three levels, got {levels}")
        self.deep, self.levels = deep, levels
        self.embedding_dim = embedding_dim
        outer = width // 2 if deep else width
        inner = width * 2**levels
        self.first_layer = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, outer, 7), nn.BatchNorm2d(outer), nn.ReLU()
        )
        self.down0: nn.Module = _down(outer, width) if deep else nn.Identity()
        self.down1 = _down(width, 2 * width)
        self.down2: nn.Module = _down(2 * width, 4 * width) if levels > 1 else nn.Identity()
        self.down3: nn.Module = _down(4 * width, 8 * width) if levels > 2 else nn.Identity()
        self.BottleNeck = nn.ModuleList(IdBlock(channels=inner, embedding_dim=embedding_dim) for _ in range(blocks))
        self.up3: nn.Module = _up(8 * width, 4 * width) if levels > 2 else nn.Identity()
        self.up2: nn.Module = _up(4 * width, 2 * width) if levels > 1 else nn.Identity()
        self.up1 = _up(2 * width, width)
        self.up0: nn.Module = _up(width, outer) if deep else nn.Identity()
        self.last_layer = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(outer, 3, 7), nn.Tanh())

    @property
    def stride(self) -> int:
        """Height and width of a target must be multiples of this."""
        return stride_of(deep=self.deep, levels=self.levels)

    def forward(self, target: Tensor, z: Tensor) -> Tensor:
        """Swap: the same as `render(target, styles(z))`.

        Args:
            target: (B,3,H,W) RGB in [0,1].
            z: (B,512), or (1,512) for the whole batch, of unit length: the source's identity.

        Returns:
            (B,3,H,W) RGB in [0,1].

        Raises:
            InputError: another shape, or a size that is no multiple of `stride`.
        """
        return self.render(target, self.styles(z))

    @torch.no_grad()
    def silence_identity(self) -> None:
        """Let every block begin by passing its input on, whoever the source: the generator is an autoencoder then.

        At random, each block adds features of variance one that know nothing, and what the encoder found drowns in them.
        """
        for block in self.BottleNeck:
            last = cast(IdBlock, block).style2.linear
            last.weight.zero_()
            gamma, beta = last.bias.chunk(2)
            gamma.fill_(-1.0)
            beta.zero_()

    def styles(self, z: Tensor) -> Tensor:
        """All that depends on the source: z (B,512) -> (B,blocks,2,2,512), the (gamma, beta) of each block's halves."""
        if z.ndim != 2 or z.shape[1] != self.embedding_dim:
            raise InputError(f"SimSwap takes identities (B,{self.embedding_dim}), got {tuple(z.shape)}")
        blocks = [cast(IdBlock, block) for block in self.BottleNeck]
        return torch.stack([torch.stack((b.style1(z), b.style2(z)), dim=1) for b in blocks], dim=1)

    def render(self, target: Tensor, styles: Tensor) -> Tensor:
        """What runs on every frame: `target` (B,3,H,W) in [0,1] and styles of B identities or of one -> (B,3,H,W)."""
        self._check(target, styles)
        x = self.down0(self.first_layer(target))
        x = self.down3(self.down2(self.down1(x)))
        for index, block in enumerate(self.BottleNeck):
            x = block(x, styles[:, index])
        x = self.up0(self.up1(self.up2(self.up3(x))))
        return (cast(Tensor, self.last_layer(x)) + 1.0) / 2.0

    def _check(self, target: Tensor, styles: Tensor) -> None:
        good = target.ndim == 4 and target.shape[1] == 3 and target.shape[0] > 0
        # The blocks mirror one pixel at the border, so that their maps must be two pixels wide.
        sizes_fit = good and all(side % self.stride == 0 and side >= 2 * self.stride for side in target.shape[2:])
        if not sizes_fit:
            raise InputError(
                f"SimSwap takes a target (B,3,H,W) with H and W multiples of {self.stride}, {2 * self.stride} or more, "
                f"got {tuple(target.shape)}; resize it"
            )
        if styles.ndim != 5 or styles.shape[0] not in (1, target.shape[0]):
            raise InputError(
                f"{tuple(styles.shape)} are no styles for {target.shape[0]} targets: give those of one identity, or of "
                "one for each target"
            )


def stride_of(*, deep: bool = False, levels: int = 3) -> int:
    """How often a generator halves a picture, as a factor."""
    return 1 << (levels + deep)


def style_layers(generator: SimSwapGenerator) -> list[nn.Module]:
    """The linear layers inside AdaIN, which run once per source."""
    return [part for part in generator.modules() if isinstance(part, Style)]


def style_parameters(generator: SimSwapGenerator) -> int:
    """Number of trained values that run once per source: those of the `style_layers`."""
    return sum(map(count_parameters, style_layers(generator)))


def frame_parameters(generator: SimSwapGenerator) -> int:
    """Number of trained values that run on every frame of a video: all but `style_parameters`."""
    return count_parameters(generator) - style_parameters(generator)
