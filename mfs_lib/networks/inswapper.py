"""The swapper inswapper_128 as somanchiu/ReSwapper rebuilt it: a wide AdaIN generator at 128 x 128.

There is no paper. Layer order and names are those of ReSwapper's `StyleTransferModel_128.py`, whose size fits the
released file's (554.3 MB); details that a size doesn't show (padding, the normalisation's epsilon) are ReSwapper's
and weren't compared with the released graph. Every layer has a bias; leaky ReLU of slope 0.2 outside the blocks.

| stage        | layers                                                       | output      |
|--------------|--------------------------------------------------------------|-------------|
| input        | RGB in [0,1], as it is                                       | 3 x 128     |
| down         | 7x7 (mirrored border) to 128; 3x3 to 256                     | 256 x 128   |
|              | 3x3 stride 2 to 512; 3x3 stride 2 to 1024                    | 1024 x 32   |
| style_blocks | 6 of: 3x3, AdaIN, ReLU, 3x3, AdaIN; plus input               | 1024 x 32   |
| up           | bilinear x2, 3x3 to 512; bilinear x2, 3x3 to 256             | 256 x 128   |
|              | 3x3 to 128; 7x7 (mirrored border) to 3; tanh; (x + 1) / 2    | 3 x 128     |

AdaIN: gamma · (x - mean)/deviation + beta per image and channel, with (gamma, beta) linear in the latent; no "+1" as
in SimSwap. Upsampling doesn't align corners. 138,292,739 parameters, 174.58 G multiply-accumulates at 128.

The latent is made from insightface's w600k_r50 embedding by a fixed matrix, "emap", the last constant of the released
file: `source_latent`.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError

_SLOPE = 0.2
_EPSILON = 1e-6


def source_latent(embedding: Tensor, emap: Tensor) -> Tensor:
    """The latent that `Inswapper` reads: `embedding` (B,512), of any length, through `emap` (512,512), unit length.

    Raises InputError when the shapes don't fit.
    """
    if embedding.ndim != 2 or emap.ndim != 2 or emap.shape[0] != embedding.shape[1]:
        raise InputError(
            f"embedding {tuple(embedding.shape)} and emap {tuple(emap.shape)} don't fit; give (B,E), (E,L)"
        )
    return functional.normalize(functional.normalize(embedding, dim=1) @ emap, dim=1)


class AdaIN(nn.Module):
    """Adaptive instance normalisation: the latent sets mean and deviation of every channel."""

    def __init__(self, *, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.style = nn.Linear(latent_dim, 2 * channels)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """`x` (B,C,H,W), `latent` (B or 1,L) -> (B,C,H,W)."""
        gamma, beta = cast(Tensor, self.style(latent))[:, :, None, None].chunk(2, dim=1)
        return gamma * functional.instance_norm(x, eps=_EPSILON) + beta


class StyledConvolution(nn.Module):
    """3x3 convolution and AdaIN."""

    def __init__(self, *, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.adain = AdaIN(channels=channels, latent_dim=latent_dim)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """`x` (B,C,H,W), `latent` (B or 1,L) -> (B,C,H,W)."""
        return cast(Tensor, self.adain(self.conv(x), latent))


class StyleBlock(nn.Module):
    """Residual block with two styled convolutions."""

    def __init__(self, *, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.conv1 = StyledConvolution(channels=channels, latent_dim=latent_dim)
        self.conv2 = StyledConvolution(channels=channels, latent_dim=latent_dim)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """`x` (B,C,H,W), `latent` (B or 1,L) -> (B,C,H,W)."""
        return x + cast(Tensor, self.conv2(functional.relu(self.conv1(x, latent)), latent))


def _encoder(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect"),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(4 * width, 8 * width, 3, stride=2, padding=1),
        nn.LeakyReLU(_SLOPE),
    )


def _decoder(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
        nn.Conv2d(8 * width, 4 * width, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
        nn.Conv2d(4 * width, 2 * width, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(2 * width, width, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
        nn.Tanh(),
    )


class Inswapper(nn.Module):
    """The generator; `width`, `blocks` and `latent_dim` are the release's by default."""

    input_size = 128

    def __init__(self, *, width: int = 128, blocks: int = 6, latent_dim: int = 512) -> None:
        super().__init__()
        if blocks < 1 or width < 1:
            raise ConfigError(f"the swapper needs a block and a channel at least, got {blocks} and {width}")
        self.latent_dim = latent_dim
        self.down = _encoder(width)
        self.style_blocks = nn.ModuleList(StyleBlock(channels=8 * width, latent_dim=latent_dim) for _ in range(blocks))
        self.up = _decoder(width)

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        """Swap.

        Args:
            target: (B,3,H,W) RGB in [0,1]; the release is trained at 128, any multiple of 4 from 8 on runs.
            latent: (B,512), or (1,512) for the whole batch: see `source_latent`.

        Returns:
            (B,3,H,W) RGB in [0,1].

        Raises:
            InputError: another shape.
        """
        good = target.ndim == 4 and target.shape[0] > 0 and target.shape[1] == 3
        if not good or any(side % 4 or side < 8 for side in target.shape[2:]):
            raise InputError(
                f"the swapper takes (B,3,H,W), H and W multiples of 4 from 8 on, got {tuple(target.shape)}"
            )
        if latent.ndim != 2 or latent.shape[1] != self.latent_dim or latent.shape[0] not in (1, target.shape[0]):
            raise InputError(
                f"the swapper takes a latent (B,{self.latent_dim}) of one source, or of one for each of "
                f"{target.shape[0]} targets, got {tuple(latent.shape)}"
            )
        x = self.down(target)
        for block in self.style_blocks:
            x = block(x, latent)
        return (cast(Tensor, self.up(x)) + 1.0) / 2.0
