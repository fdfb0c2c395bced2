"""PatchGAN discriminators (Isola et al. 2017; at several scales, Wang et al. 2018) of the systems that are compared.

A few convolutions of stride 2 and one of stride 1, each with leaky ReLU 0.2 and, but for the first, a normalisation before
it; then a convolution to one score for each overlapping patch. The systems differ in the numbers only:

| builder                      | channels             | padding | norm           | end     | params each | scores      |
|------------------------------|----------------------|---------|----------------|---------|-------------|-------------|
| `simswap_discriminators`     | 64 128 256 512 \\| 512 | 1       | BN             | –       | 6,962,369   | 12² of 224² |
| `fsgan_discriminators`       | 64 128 256 \\| 512     | 2       | BN             | sigmoid | 2,766,529   | 35² of 256² |
| `mobilefsgan_discriminators` | 16 32 64 128 \\| 256   | 2       | spectral, BN   | –       | 702,641     | 19² of 256² |

All kernels are 4x4; channels before the bar have stride 2. Facts: SimSwap's models/fs_networks.py (before 2022), FSGAN's
models/discriminators_pix2pix.py with the settings of its experiments, MobileFSGAN's modules/Discriminator.py. SimSwap and
FSGAN run two copies, the second on the picture halved by 3x3 average pooling; MobileFSGAN one on each of its generator's
three outputs. Multiply-accumulates: 1.982 G for one of SimSwap's at 224, .406 G for MobileFSGAN's three; 132 state dict
entries for these three.

Names of submodules are our own; `weights.convert.mobilefsgan` translates those of MobileFSGAN's checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from mfs_lib.errors import ConfigError, InputError

SLOPE = 0.2
"""Negative slope of every leaky ReLU here."""

Norm = Literal["batch", "instance", "none"]


def image_pyramid(image: Tensor, *, scales: int = 2) -> list[Tensor]:
    """(B,C,H,W) -> itself, its half, its quarter ...: `scales` pictures, each the one before averaged 3x3 at stride 2.

    The zeros around the picture don't count in the average.
    """
    pyramid = [image]
    while len(pyramid) < scales:
        pyramid.append(functional.avg_pool2d(pyramid[-1], 3, stride=2, padding=1, count_include_pad=False))
    return pyramid


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


class PatchGAN(nn.Module):
    """One discriminator of patches.

    Args:
        channels: outputs of each convolution before the last.
        strided: how many of them, from the first on, have stride 2; the others have stride 1.
        kernel: side of these kernels.
        padding: zeros at each border, for the last convolution too unless `last_padding` is given.
        last_kernel: side of the last kernel, if another.
        last_padding: zeros around the last convolution's input, if others.
        norm: what comes between convolution and activation in all layers but the first and the last.
        spectral: divide each kernel by its largest singular value (Miyato et al. 2018).
        sigmoid: squash the scores into (0,1); without, they are unbounded.
        inputs: channels of the picture.

    Raises:
        ConfigError: no channels, more strided layers than layers, or an unknown norm.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        strided: int,
        kernel: int = 4,
        padding: int = 2,
        last_kernel: int | None = None,
        last_padding: int | None = None,
        norm: Norm = "batch",
        spectral: bool = False,
        sigmoid: bool = False,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        if not channels or not 0 <= strided <= len(channels):
            raise ConfigError(
                f"{strided} of {len(channels)} layers can't have stride 2; give channels, and strided <= them"
            )
        if norm not in ("batch", "instance", "none"):
            raise ConfigError(f"no normalisation is called {norm!r}; choose batch, instance or none")
        self.inputs = inputs
        self.sigmoid = sigmoid

        def convolution(before: int, after: int, side: int, stride: int, zeros: int) -> nn.Module:
            conv = nn.Conv2d(before, after, side, stride=stride, padding=zeros)
            return spectral_norm(conv) if spectral else conv

        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        for index, (before, after) in enumerate(zip((inputs, *channels[:-1]), channels, strict=True)):
            self.layers.append(convolution(before, after, kernel, 2 if index < strided else 1, padding))
            self.norms.append(_norm(norm, after) if index else nn.Identity())
        side = kernel if last_kernel is None else last_kernel
        self.last = convolution(channels[-1], 1, side, 1, padding if last_padding is None else last_padding)

    def features(self, image: Tensor) -> list[Tensor]:
        """(B,C,H,W) -> the output of every layer after its activation, and the scores last; for feature matching.

        Raises InputError for another number of channels.
        """
        if image.ndim != 4 or image.shape[1] != self.inputs:
            raise InputError(f"this discriminator reads (B,{self.inputs},H,W), got {tuple(image.shape)}")
        maps, x = [], image
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.leaky_relu(norm(layer(x)), SLOPE)
            maps.append(x)
        scores = cast(Tensor, self.last(x))
        return [*maps, torch.sigmoid(scores) if self.sigmoid else scores]

    def forward(self, image: Tensor) -> Tensor:
        """(B,C,H,W) -> a score for each patch (B,1,h,w), unbounded, or in (0,1) with `sigmoid`; higher is more real."""
        return self.features(image)[-1]


class MultiScalePatchGAN(nn.Module):
    """One discriminator for each size of a picture, the largest first."""

    def __init__(self, discriminators: Sequence[PatchGAN]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(discriminators)

    def features(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        """Pictures (B,C,H,W), one for each discriminator -> for each, its layers' outputs and scores.

        `images` is an `image_pyramid`, or a generator's outputs. Raises InputError for another number of pictures.
        """
        if len(images) != len(self.scales):
            raise InputError(
                f"{len(self.scales)} discriminators take as many pictures, got {len(images)}; see image_pyramid"
            )
        return [cast(PatchGAN, scale).features(image) for scale, image in zip(self.scales, images, strict=True)]

    def forward(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Pictures (B,C,H,W), one for each discriminator -> their scores (B,1,h,w)."""
        return [maps[-1] for maps in self.features(images)]


def simswap_discriminators() -> MultiScalePatchGAN:
    """SimSwap's two (the released 224 model's code): RGB in [0,1] at 224 and 112; all maps serve feature matching."""
    widths = (64, 128, 256, 512, 512)
    return MultiScalePatchGAN([PatchGAN(channels=widths, strided=4, padding=1) for _ in range(2)])


def fsgan_discriminators() -> MultiScalePatchGAN:
    """FSGAN's two: RGB in [-1,1] at 256 and 128; scores are probabilities."""
    return MultiScalePatchGAN([PatchGAN(channels=(64, 128, 256, 512), strided=3, sigmoid=True) for _ in range(2)])


def mobilefsgan_discriminators() -> MultiScalePatchGAN:
    """MobileFSGAN's three: RGB in (-1,1) at 256, 128 and 64, the generator's three outputs."""
    widths = (16, 32, 64, 128, 256)
    return MultiScalePatchGAN([PatchGAN(channels=widths, strided=4, spectral=True) for _ in range(3)])
