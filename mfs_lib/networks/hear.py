"""FaceShifter's HEAR-Net: puts back what the swap painted over, such as hair, glasses or a hand (Li et al., section 3.2).

Where AEI-Net can't even reproduce the target from the target's own identity, something covers the face: the *heuristic
error* dY_t = X_t - Y_tt points at it. A U-Net reads the swap Y_st and that error, six channels, and gives the refined swap.
Encoder: convolutions 4x4, stride 2, padding 1, each with bias, BN, leaky ReLU 0.1; decoder: the same, transposed.

| at 256  | output    | taotaonice (a)         | maum-ai (b)            |
|---------|-----------|------------------------|------------------------|
| down 0  | 128 x 128 | 6 -> 64                | 6 -> 32                |
| down 1  | 64 x 64   | 64 -> 128              | 32 -> 64               |
| down 2  | 32 x 32   | 128 -> 256             | 64 -> 128              |
| down 3  | 16 x 16   | 256 -> 512             | 128 -> 256             |
| down 4  | 8 x 8     | 512 -> 512             | 256 -> 512             |
| up 0    | 16 x 16   | 512 -> 512, joined     | 512 -> 256, joined     |
| up 1    | 32 x 32   | 1024 -> 256, joined    | 512 -> 128, joined     |
| up 2    | 64 x 64   | 512 -> 128, joined     | 256 -> 64, joined      |
| up 3    | 128 x 128 | 256 -> 64, joined      | 128 -> 32, joined      |
| last    | 256 x 256 | bilinear x2, 3x3 128 -> 3, tanh | up 4: 64 -> 3, BN, leaky ReLU |

(a) works in [-1,1] and puts encoder features first when it joins; 16,663,043 parameters, 5,695,864,832 multiply-accumulates.
(b) works in [0,1] and puts decoder features first; 6,269,257 parameters, 1,577,058,304 multiply-accumulates. Its code
declares a sigmoid but never applies it, so its output isn't bounded; its read-me says that only AEI-Net is implemented.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import SLOPE, Upsample2x

Variant = Literal["taotaonice", "maum-ai"]
"""Which open implementation."""

_CHANNELS: dict[Variant, tuple[int, ...]] = {
    "taotaonice": (64, 128, 256, 512, 512),
    "maum-ai": (32, 64, 128, 256, 512),
}


def _down(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE))


class HEARNet(nn.Module):
    """Swap and heuristic error -> refined swap.

    Args:
        variant: "taotaonice" or "maum-ai".
        channels: outputs of the encoder layers; None takes the variant's own.
    """

    def __init__(self, *, variant: Variant = "taotaonice", channels: tuple[int, ...] | None = None) -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise ConfigError(f"variant must be one of {get_args(Variant)}, got {variant!r}")
        widths = channels or _CHANNELS[variant]
        if len(widths) < 2 or min(widths) < 1:
            raise ConfigError(f"channels must be two or more positive numbers, got {widths}")
        self.multiple = 2 ** len(widths)
        self.signed = variant == "taotaonice"
        self.down = nn.ModuleList(_down(i, o) for i, o in zip((6, *widths[:-1]), widths, strict=True))
        # Each decoder layer gives as many channels as the encoder features that it is joined to.
        outputs = list(reversed(widths[:-1]))
        inputs = [widths[-1], *(2 * width for width in outputs)]
        self.up = nn.ModuleList(_up(i, o) for i, o in zip(inputs[:-1], outputs, strict=True))
        if self.signed:
            self.last = nn.Sequential(Upsample2x(), nn.Conv2d(inputs[-1], 3, 3, padding=1), nn.Tanh())
        else:
            self.last = _up(inputs[-1], 3)

    def forward(self, swap: Tensor, target: Tensor, reconstruction: Tensor) -> Tensor:
        """AEI-Net's `swap`, the `target` and AEI-Net's `reconstruction` of it, (B,3,H,W) in [0,1] -> (B,3,H,W).

        `reconstruction` is AEI-Net's image of the target with the target's own identity. The result lies in [0,1] for
        taotaonice's variant; maum-ai's isn't bounded. H and W are multiples of 32; InputError otherwise.
        """
        for name, image in (("swap", swap), ("target", target), ("reconstruction", reconstruction)):
            if image.ndim != 4 or image.shape != target.shape or image.shape[1] != 3:
                raise InputError(
                    f"HEAR-Net takes three images (B, 3, H, W) of one shape, got {name} {tuple(image.shape)} "
                    f"beside target {tuple(target.shape)}"
                )
        if target.shape[2] % self.multiple or target.shape[3] % self.multiple:
            raise InputError(f"HEAR-Net takes sizes that are multiples of {self.multiple}, got {tuple(target.shape)}")
        error = target - reconstruction
        if not self.signed:
            return self._refine(torch.cat((swap, error), dim=1))
        return (self._refine(torch.cat((swap * 2.0 - 1.0, error * 2.0), dim=1)) + 1.0) / 2.0

    def _refine(self, x: Tensor) -> Tensor:
        """The U-Net itself, (B,6,H,W) -> (B,3,H,W), in the variant's own range."""
        skips: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = skips.pop()
        for layer in self.up:
            pair = (layer(x), skips.pop())
            x = torch.cat(pair[::-1] if self.signed else pair, dim=1)
        return cast(Tensor, self.last(x))
