"""MobileFSGAN's generator: small to store, not to run (Yu et al., ICME 2022).

One network of 64 channels throughout; the identity goes in as 512 numbers. Facts and names of submodules (`b256_1` is the
first block at 256) are those of the authors' repository, HoiM/MobileFSGAN, so that its checkpoints fit. The blocks are in
`mobilefsgan_blocks`; "block" below is added to its input.

| part              | layers                                                                      | output        |
|-------------------|-----------------------------------------------------------------------------|---------------|
| encoder_head      | 3x3 3-64, leaky ReLU: the attribute stem                                    | 64 x 256      |
|                   | then 1x1, leaky ReLU, 3x3 without bias: the identity stem                   | 64 x 256      |
| attribute_encoder | 2 blocks at 256, 3 at 128, 4 at 64, with Downsample between; every state kept | 3 + 4 + 5 maps |
| identity_encoder  | block at 256, 128, 64, 32, 16 and 8, with Downsample between                | 64 x 8        |
|                   | to 16, 32, 64: Upsample, plus the map of the same size, block               | 64 x 64       |
| decoder           | 5 DecoderBlocks at 64 on the attribute maps, from the last to the first; image | 3 x 64     |
|                   | Upsample, 4 at 128; image                                                   | 3 x 128       |
|                   | Upsample, 3 at 256; image                                                   | 3 x 256       |

2,517,781 parameters, 365 state dict entries, 32.383 G multiply-accumulates at 256: some 80 times those of MobileFaceSwap's
student.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.mobilefsgan_blocks import (
    AttributeBlock,
    DecoderBlock,
    Downsample,
    IdentityBlock,
    ImageOutput,
    Upsample,
    activate,
)

# Sizes in the names of submodules: those of the release, whatever the size in use.
_ATTRIBUTE_STEPS = {256: 2, 128: 3, 64: 4}
_DOWN_SIZES = (256, 128, 64, 32, 16, 8)
_UP_SIZES = (16, 32, 64)
_HALVINGS = 5


class SwappedImages(NamedTuple):
    """The generator's three results, RGB in (-1,1): at the input's size, half and a quarter of it (256, 128, 64)."""

    full: Tensor
    half: Tensor
    quarter: Tensor


class EncoderHead(nn.Module):
    """The first layers; their middle is the attribute stem."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv_image = nn.Conv2d(3, channels, 3, padding=1)
        self.conv1x1 = nn.Conv2d(channels, channels, 1)
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,S,S) in (-1,1) -> identity stem and attribute stem, both (B,C,S,S)."""
        attribute = activate(self.conv_image(image))
        return cast(Tensor, self.conv3x3(activate(self.conv1x1(attribute)))), attribute


class AttributeEncoder(nn.ModuleDict):
    """What the target shows beside who it is: twelve maps at three sizes."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        for size, steps in _ATTRIBUTE_STEPS.items():
            if size < 256:
                self[f"downsample{size}"] = Downsample(channels=channels)
            for step in range(1, steps + 1):
                self[f"b{size}_{step}"] = AttributeBlock(channels=channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B,C,S,S) -> the input, then each state: 3 maps of (B,C,S,S), 4 of half the size and 5 of a quarter."""
        maps = []
        for size, steps in _ATTRIBUTE_STEPS.items():
            if size < 256:
                x = self[f"downsample{size}"](x)
            maps.append(x)
            for step in range(1, steps + 1):
                x = x + self[f"b{size}_{step}"](x)
                maps.append(x)
        return maps


class IdentityEncoder(nn.ModuleDict):
    """A small U-Net with sums for skips, conditioned on the identity at every block."""

    def __init__(self, *, channels: int, embedding_dim: int) -> None:
        super().__init__()
        for size in _DOWN_SIZES:
            if size < 256:
                self[f"down{size}"] = Downsample(channels=channels)
            self[f"b{size}_down"] = IdentityBlock(channels=channels, embedding_dim=embedding_dim)
        for size in _UP_SIZES:
            self[f"up{size}"] = Upsample(channels=channels)
            self[f"b{size}_up"] = IdentityBlock(channels=channels, embedding_dim=embedding_dim)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        """(B,C,S,S) and identities (B,E) or (1,E) -> (B,C,S/4,S/4)."""
        skips = {}
        for size in _DOWN_SIZES:
            if size < 256:
                x = self[f"down{size}"](x)
            x = x + self[f"b{size}_down"](x, identity)
            skips[size] = x
        for size in _UP_SIZES:
            x = self[f"up{size}"](x) + skips[size]
            x = x + self[f"b{size}_up"](x, identity)
        return x


class Decoder(nn.ModuleDict):
    """Puts the attribute maps back, from the smallest and deepest to the stem, with a picture at each size."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        for size, steps in sorted(_ATTRIBUTE_STEPS.items()):
            if size > 64:
                self[f"up{size}"] = Upsample(channels=channels)
            for step in range(steps, -1, -1):
                self[f"b{size}_{step}"] = DecoderBlock(channels=channels)
            self[f"image{size}_output"] = ImageOutput(channels=channels)

    def forward(self, x: Tensor, maps: list[Tensor]) -> SwappedImages:
        """(B,C,S/4,S/4) and the attribute encoder's twelve maps -> the three images."""
        images, waiting = [], list(maps)
        for size, steps in sorted(_ATTRIBUTE_STEPS.items()):
            if size > 64:
                x = self[f"up{size}"](x)
            for step in range(steps, -1, -1):
                x = x + self[f"b{size}_{step}"](x, waiting.pop())
            images.append(self[f"image{size}_output"](x))
        return SwappedImages(*reversed(images))


class MobileFSGAN(nn.Module):
    """The generator; the release is `MobileFSGAN()`.

    `channels` and `size` (a multiple of 32) make smaller ones for experiments. Raises ConfigError for another size.
    """

    def __init__(self, *, channels: int = 64, embedding_dim: int = 512, size: int = 256) -> None:
        super().__init__()
        if size < 1 or size % 2**_HALVINGS:
            raise ConfigError(
                f"MobileFSGAN halves its input {_HALVINGS} times; {size} is no multiple of 32, choose one"
            )
        self.size = size
        self.embedding_dim = embedding_dim
        self.encoder_head = EncoderHead(channels=channels)
        self.identity_encoder = IdentityEncoder(channels=channels, embedding_dim=embedding_dim)
        self.attribute_encoder = AttributeEncoder(channels=channels)
        self.decoder = Decoder(channels=channels)

    def forward(self, target: Tensor, identity: Tensor) -> SwappedImages:
        """Put `identity` into `target`.

        Args:
            target: (B,3,256,256), RGB in (-1,1), whose pose, expression and surroundings stay.
            identity: (B,512) of unit length, from `MobileFSGANIdentity`; or (1,512) for the whole batch.

        Returns:
            Three images in (-1,1): (B,3,256,256), (B,3,128,128) and (B,3,64,64).

        Raises:
            InputError: another shape, or another number of identities.
        """
        if target.ndim != 4 or tuple(target.shape[1:]) != (3, self.size, self.size):
            raise InputError(
                f"this MobileFSGAN reads targets (B,3,{self.size},{self.size}), got {tuple(target.shape)}; resize them"
            )
        if identity.ndim != 2 or identity.shape[1] != self.embedding_dim or len(identity) not in (1, len(target)):
            raise InputError(
                f"{len(target)} targets take identities ({len(target)},{self.embedding_dim}) or (1,{self.embedding_dim}), "
                f"got {tuple(identity.shape)}; give one for all, or one for each"
            )
        identity_stem, attribute_stem = self.encoder_head(target)
        x = self.identity_encoder(identity_stem, identity)
        return cast(SwappedImages, self.decoder(x, self.attribute_encoder(attribute_stem)))
