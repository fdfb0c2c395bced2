"""Adaptive attentional denormalisation, AAD: where FaceShifter's generator lets identity in (Li et al., section 3.1).

For activations h, an attribute map z_att and the identity z_id:

    hbar = norm(h)
    A    = gamma_att(z_att) * hbar + beta_att(z_att)         convolutions: differ from place to place
    I    = gamma_id(z_id) * hbar + beta_id(z_id)             linear maps: the same at every place
    M    = sigmoid(conv(hbar))                               1 where identity decides
    out  = (1 - M) * A + M * I

| part                | shape                                  | taotaonice | maum-ai   |
|---------------------|----------------------------------------|------------|-----------|
| norm                | h channels                             | instance   | batch     |
| gamma_att, beta_att | convolution, attribute -> h channels   | 1x1        | 3x3       |
| gamma_id, beta_id   | Linear(c_id, h channels)               |            |           |
| mask                | convolution, h -> 1 or h channels      | 1x1, 1     | 3x3, h    |

All of these have biases in both. A residual block is AAD - ReLU - 3x3 (h -> h) - AAD - ReLU - 3x3 (h -> out), plus its
input, which first passes AAD - ReLU - 3x3 (h -> out) where the channels change.

gamma_id(z_id) and beta_id(z_id), the *style*, depend on the person alone: `styles` computes them once per source, so
that a video's frames need none of the linear maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError

Norm = Literal["instance", "batch"]
"""Normalisation of h: over each image's own channel (no parameters), or over the batch (with scale and shift)."""


@dataclass(frozen=True)
class AADOptions:
    """How AAD layers are built; the defaults are taotaonice's.

    id_dim              length of the identity embedding, c_id
    kernel              side of the attribute convolutions, odd
    mask_kernel         side of the mask convolution, odd
    mask_per_channel    a mask for each channel instead of one for all
    norm                "instance" or "batch"
    """

    id_dim: int = 512
    kernel: int = 1
    mask_kernel: int = 1
    mask_per_channel: bool = False
    norm: Norm = "instance"

    def __post_init__(self) -> None:
        """Raise ConfigError, naming the field, for values that no layer can be built from."""
        if self.id_dim < 1:
            raise ConfigError(f"id_dim must be positive, got {self.id_dim}")
        for name in ("kernel", "mask_kernel"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} must be odd (the size of the maps stays), got {getattr(self, name)}")
        if self.norm not in get_args(Norm):
            raise ConfigError(f"norm must be one of {get_args(Norm)}, got {self.norm!r}")


class AADStyle(NamedTuple):
    """What one AAD layer takes from B identities: `gamma` and `beta`, (B,C,1,1)."""

    gamma: Tensor
    beta: Tensor


class AADLayer(nn.Module):
    """One denormalisation; `channels` are those of h, `attributes` those of its attribute map."""

    def __init__(self, *, channels: int, attributes: int, options: AADOptions) -> None:
        super().__init__()
        batch = options.norm == "batch"
        self.norm = nn.BatchNorm2d(channels) if batch else nn.InstanceNorm2d(channels)
        self.gamma_att = nn.Conv2d(attributes, channels, options.kernel, padding=options.kernel // 2)
        self.beta_att = nn.Conv2d(attributes, channels, options.kernel, padding=options.kernel // 2)
        self.gamma_id = nn.Linear(options.id_dim, channels)
        self.beta_id = nn.Linear(options.id_dim, channels)
        masks = channels if options.mask_per_channel else 1
        self.mask_conv = nn.Conv2d(channels, masks, options.mask_kernel, padding=options.mask_kernel // 2)

    def style(self, identity: Tensor) -> AADStyle:
        """Identity (B,c_id) -> this layer's style, to be used on any number of images."""
        return AADStyle(self.gamma_id(identity)[..., None, None], self.beta_id(identity)[..., None, None])

    def mask(self, normalised: Tensor) -> Tensor:
        """hbar (B,C,H,W) -> M (B,1,H,W) or (B,C,H,W) in (0,1)."""
        return torch.sigmoid(cast(Tensor, self.mask_conv(normalised)))

    def forward(self, h: Tensor, attributes: Tensor, style: AADStyle) -> Tensor:
        """h (B,C,H,W), attribute map (B,A,H,W) and a style of B identities or of one -> (B,C,H,W)."""
        normalised = cast(Tensor, self.norm(h))
        from_attributes = self.gamma_att(attributes) * normalised + self.beta_att(attributes)
        from_identity = style.gamma * normalised + style.beta
        mask = self.mask(normalised)
        return (1.0 - mask) * cast(Tensor, from_attributes) + mask * from_identity


class AADBlock(nn.Module):
    """AAD residual block, `inputs` -> `outputs` channels at one size; `bias` is that of its 3x3 convolutions."""

    def __init__(self, *, inputs: int, outputs: int, attributes: int, options: AADOptions, bias: bool) -> None:
        super().__init__()
        channels = [inputs, outputs] if inputs == outputs else [inputs, outputs, outputs]
        self.aad = nn.ModuleList(AADLayer(channels=inputs, attributes=attributes, options=options) for _ in channels)
        self.conv = nn.ModuleList(nn.Conv2d(inputs, out, 3, padding=1, bias=bias) for out in channels)

    def styles(self, identity: Tensor) -> tuple[AADStyle, ...]:
        """Identity (B,c_id) -> the styles of its two or three layers; the third is the skip connection's."""
        return tuple(cast(AADLayer, layer).style(identity) for layer in self.aad)

    def forward(self, h: Tensor, attributes: Tensor, styles: tuple[AADStyle, ...]) -> Tensor:
        """h (B,inputs,H,W), attribute map (B,A,H,W), `styles` of B identities or of one -> (B,outputs,H,W)."""
        x = skip = h
        for i in (0, 1):
            x = self.conv[i](functional.relu(self.aad[i](x, attributes, styles[i])))
        if len(self.aad) == 3:
            skip = self.conv[2](functional.relu(self.aad[2](h, attributes, styles[2])))
        return x + skip
