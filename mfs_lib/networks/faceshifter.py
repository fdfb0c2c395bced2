"""FaceShifter's AEI-Net: identity and attributes integrated level by level (Li et al., arXiv 1912.13457, section 3.1).

The authors' code is not public and the counts that MobileFaceSwap's Table 1 gives for it (421 M, 97.4 G for an image)
come from a private re-implementation; two open re-implementations are rebuilt here as `AEINetConfig.taotaonice()` and
`AEINetConfig.maum_ai()`. The generator at 256 (the attribute maps are those of `faceshifter_attributes`, the blocks those of
`faceshifter_aad`; bilinear x2 with corners aligned between the blocks):

| layer   | h                | size      | attribute map |
|---------|------------------|-----------|---------------|
| start   | c_id -> 1024     | 2 x 2     | transposed convolution 2x2 of z_id |
| block 0 | 1024 -> 1024     | 2 x 2     | 1024          |
| block 1 | 1024 -> 1024     | 4 x 4     | 2048          |
| block 2 | 1024 -> 1024     | 8 x 8     | 1024          |
| block 3 | 1024 -> 512      | 16 x 16   | 512           |
| block 4 | 512 -> 256       | 32 x 32   | 256           |
| block 5 | 256 -> 128       | 64 x 64   | 128           |
| block 6 | 128 -> 64        | 128 x 128 | 64            |
| block 7 | 64 -> 3          | 256 x 256 | 64            |

| variant            | parameters  | of these by identity only | MAC at 256      |
|--------------------|-------------|---------------------------|-----------------|
| taotaonice, 512    | 184,343,381 | 12,410,496 + 2,098,176    | 31,018,164,224  |
| taotaonice, 256    | 177,101,653 | 6,217,344 + 1,049,600     | 31,010,922,496  |
| maum-ai, 256       | 439,313,606 | 6,217,344 + 1,049,600     | 110,820,753,408 |
| maum-ai, 512       | 446,555,334 | 12,410,496 + 2,098,176    | 110,827,995,136 |

"By identity only" are the linear maps of the styles and `start`: a video computes them once, and then a frame costs
31,003,680,768 or 110,813,511,680 multiply-accumulates. The bias of `start` does nothing in taotaonice's network: its
instance normalisation removes what is constant over a channel.

The paper's video counts (350 M, 91.1 G) are met by neither. The nearest number of parameters among the combinations tried is
maum-ai's network with 1x1 masks and c_id 512, without the linear maps: 350,291,526, but 77.2 G.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_parameters, upsample2x
from mfs_lib.networks.faceshifter_aad import AADBlock, AADLayer, AADOptions, AADStyle
from mfs_lib.networks.faceshifter_attributes import ENCODER_CHANNELS, AttributeEncoder, attribute_channels

Output = Literal["tanh", "sigmoid"]
"""Last activation. With "tanh" the network's own range is [-1,1], with "sigmoid" it is [0,1]."""


@dataclass(frozen=True)
class AEINetConfig:
    """Sizes and options; the defaults are taotaonice's, and the class methods name both open variants.

    aad                 options of the AAD layers, with the length of the identity embedding
    conv_bias           biases in the attribute encoder and in the 3x3 convolutions of the blocks
    output              "tanh" or "sigmoid"
    encoder_channels    outputs of the n layers of the attribute encoder; images have a side of 2^(n+1)
    hidden_channels     h at the beginning of each of the n + 1 blocks
    """

    aad: AADOptions = field(default_factory=AADOptions)
    conv_bias: bool = False
    output: Output = "tanh"
    encoder_channels: tuple[int, ...] = ENCODER_CHANNELS
    hidden_channels: tuple[int, ...] = (1024, 1024, 1024, 1024, 512, 256, 128, 64)

    def __post_init__(self) -> None:
        """Raise ConfigError, naming the field, for values that no network can be built from."""
        if len(self.encoder_channels) < 2 or min(self.encoder_channels) < 1:
            raise ConfigError(f"encoder_channels must be two or more positive numbers, got {self.encoder_channels}")
        if len(self.hidden_channels) != len(self.encoder_channels) + 1 or min(self.hidden_channels) < 1:
            raise ConfigError(
                f"hidden_channels must be {len(self.encoder_channels) + 1} positive numbers, one for each attribute map, "
                f"got {self.hidden_channels}"
            )
        if self.output not in get_args(Output):
            raise ConfigError(f"output must be one of {get_args(Output)}, got {self.output!r}")

    @property
    def size(self) -> int:
        """Side of the images; 256 for the variants."""
        return int(2 ** len(self.hidden_channels))

    @classmethod
    def taotaonice(cls, *, id_dim: int = 512) -> AEINetConfig:
        """The repository taotaonice/FaceShifter: 1x1 attribute convolutions, one mask for all channels, tanh."""
        return cls(aad=AADOptions(id_dim=id_dim))

    @classmethod
    def maum_ai(cls, *, id_dim: int = 256) -> AEINetConfig:
        """The repository maum-ai/faceshifter: 3x3 attribute convolutions, a mask for each channel, BN, sigmoid."""
        aad = AADOptions(id_dim=id_dim, kernel=3, mask_kernel=3, mask_per_channel=True, norm="batch")
        return cls(aad=aad, conv_bias=True, output="sigmoid")


class IdentityStyles(NamedTuple):
    """All that the generator takes from B identities: `start` (B,C,2,2) and the styles of every block's AAD layers."""

    start: Tensor
    blocks: tuple[tuple[AADStyle, ...], ...]


class IdentityParameters(NamedTuple):
    """Parameters that are used once per person: those of the styles' `linears` and of the `start`."""

    linears: int
    start: int


class AADGenerator(nn.Module):
    """Identity and attribute maps -> swapped face, in the network's own range."""

    def __init__(self, config: AEINetConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_channels
        attributes = attribute_channels(config.encoder_channels)
        self.start = nn.ConvTranspose2d(config.aad.id_dim, hidden[0], 2)
        self.blocks = nn.ModuleList(
            AADBlock(inputs=i, outputs=o, attributes=a, options=config.aad, bias=config.conv_bias)
            for i, o, a in zip(hidden, (*hidden[1:], 3), attributes, strict=True)
        )

    def styles(self, identity: Tensor) -> IdentityStyles:
        """Unit-length `identity` (B,c_id) -> all that depends on the person only; InputError for another shape."""
        if identity.ndim != 2 or identity.shape[1] != self.config.aad.id_dim:
            raise InputError(f"AEI-Net takes identities (B, {self.config.aad.id_dim}), got {tuple(identity.shape)}")
        start = cast(Tensor, self.start(identity[..., None, None]))
        return IdentityStyles(start, tuple(cast(AADBlock, block).styles(identity) for block in self.blocks))

    def forward(self, attributes: tuple[Tensor, ...], identity: Tensor | IdentityStyles) -> Tensor:
        """Attribute maps of B targets, an identity (or its `styles`) for each or one for all -> (B,3,S,S).

        The range is (-1,1) for a "tanh" output and (0,1) for "sigmoid". Raises InputError where the numbers of maps or
        of people don't fit.
        """
        if len(attributes) != len(self.blocks):
            raise InputError(f"the generator takes {len(self.blocks)} attribute maps, got {len(attributes)}")
        styles = identity if isinstance(identity, IdentityStyles) else self.styles(identity)
        count = attributes[0].shape[0]
        if styles.start.shape[0] not in (1, count):
            raise InputError(
                f"{styles.start.shape[0]} identities for {count} targets: give one identity, or one for each target"
            )
        h = styles.start.expand(count, -1, -1, -1)
        for index, (block, maps, block_styles) in enumerate(zip(self.blocks, attributes, styles.blocks, strict=True)):
            h = block(upsample2x(h) if index else h, maps, block_styles)
        return torch.tanh(h) if self.config.output == "tanh" else torch.sigmoid(h)


class AEIOutput(NamedTuple):
    """`image` (B,3,S,S) in [0,1] and the target's `attributes`, which the attribute loss compares with the result's."""

    image: Tensor
    attributes: tuple[Tensor, ...]


class AEINet(nn.Module):
    """Attribute encoder and generator: what FaceShifter runs on every frame before HEAR-Net."""

    def __init__(self, config: AEINetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AEINetConfig()
        self.encoder = AttributeEncoder(channels=config.encoder_channels, bias=config.conv_bias)
        self.generator = AADGenerator(config)

    def styles(self, identity: Tensor) -> IdentityStyles:
        """Unit-length `identity` (B,c_id) -> what `forward` can take in its place for any number of frames."""
        return self.generator.styles(identity)

    def identity_layers(self) -> list[nn.Module]:
        """The layers that serve `styles` only: the generator's start, then the linear maps of all AAD layers."""
        layers = [part for part in self.generator.modules() if isinstance(part, AADLayer)]
        return [self.generator.start, *(part for layer in layers for part in (layer.gamma_id, layer.beta_id))]

    def identity_parameters(self) -> IdentityParameters:
        """How many parameters serve `styles` only: a video's per-frame network is the whole without them."""
        start, *linears = self.identity_layers()
        return IdentityParameters(sum(map(count_parameters, linears)), count_parameters(start))

    def forward(self, target: Tensor, identity: Tensor | IdentityStyles) -> AEIOutput:
        """`target` (B,3,S,S) in [0,1] and B identities (or one; embeddings or their `styles`) -> AEIOutput.

        Raises InputError for another size than the configuration's: the generator always starts at 2 x 2.
        """
        size = self.config.size
        if tuple(target.shape[1:]) != (3, size, size):
            raise InputError(f"this AEI-Net takes RGB (B, 3, {size}, {size}), got {tuple(target.shape)}")
        tanh = self.config.output == "tanh"
        attributes = self.encoder(target * 2.0 - 1.0 if tanh else target)
        image = self.generator(attributes, identity)
        return AEIOutput((image + 1.0) / 2.0 if tanh else image, attributes)
