"""FSGAN's generators: one multi-scale residual U-Net for reenactment, inpainting and blending (Nirkin et al., ICCV 2019).

A face is swapped in four steps: `reenactment` (Gr) turns the source face to the target's landmarks, `segmentation` (S, in
`fsgan_segmentation`) finds the face in the result, `inpainting` (Gc) fills what the source view didn't show, `blending`
(Gb) fits the completed face into the target. Facts from the release (CC0): convolutions without bias, padded by
reflection; BN; ReLU; bilinear x2 with corners *not* aligned. Of an input at 256 the base reads the half-size copy:

| layer     | structure                                                             | channels    | size      |
|-----------|-----------------------------------------------------------------------|-------------|-----------|
| base in   | 7x7, BN, ReLU                                                         | in -> 256   | 128 x 128 |
| level 0   | x + up(level 1(down(x))), then flat blocks                            | 256         | 128 x 128 |
| level 1   | x + up(level 2(down(x))), then flat blocks                            | 512         | 64 x 64   |
| level 2   | flat blocks                                                           | 1024        | 32 x 32   |
| enhancer  | 7x7, BN, ReLU of the full-size input + up(base), then flat blocks     | 128         | 256 x 256 |
| out       | 7x7, tanh, for each head                                              | 128 -> 3    | 256 x 256 |

down: 3x3 stride 2, BN, ReLU, 3x3, BN, ReLU. up: bilinear x2, 3x3, BN, ReLU. A flat block: x + (3x3, BN, ReLU, 3x3, BN),
ReLU. The base has a head of its own, for training at half size; it is counted as a parameter and never run at full size.

| builder          | input                                                  | parameters | MAC at 256      |
|------------------|--------------------------------------------------------|------------|-----------------|
| `reenactment`    | 3 + 98 landmark maps                                   | 76,003,840 | 305,097,867,264 |
| the same, 68     | 3 + 68 landmark maps                                   | 75,439,360 | 286,600,986,624 |
| `reenactment_v1` | 3 + 68; heads for image and segmentation, flat 2,0,2,3 | 92,012,928 | 268,506,759,168 |
| `inpainting`     | reenacted face, target's face mask                     | 74,178,688 | 245,291,286,528 |
| `blending`       | completed face over target, target, mask               | 74,235,136 | 247,140,974,592 |

The submodules' names are the release's, so that its state dicts fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError

MAX_CHANNELS = 1024
"""No level is wider than this."""


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, activation: bool = True) -> list[nn.Module]:
    """Reflection padding, convolution without bias, BN and, if wanted, ReLU: the order gives the release's key names."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, bias=False)
    layers: list[nn.Module] = [nn.ReflectionPad2d(kernel // 2), convolution, nn.BatchNorm2d(outputs)]
    return [*layers, nn.ReLU()] if activation else layers


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(inputs, outputs, 7, bias=False), nn.Tanh())


def _add_heads(module: nn.Module, inputs: int, heads: tuple[int, ...]) -> None:
    for name, outputs in zip(_head_names(heads), heads, strict=True):
        module.add_module(name, _head(inputs, outputs))


def _head_names(heads: tuple[int, ...]) -> list[str]:
    """One head is called `out_conv` in the release, several are numbered from 1."""
    return ["out_conv"] if len(heads) == 1 else [f"out_conv{i + 1}" for i in range(len(heads))]


class UpBlock(nn.Module):
    """Double height and width, then one convolution."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*_conv(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,2H,2W)."""
        larger = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return cast(Tensor, self.model(larger))


class DownBlock(nn.Module):
    """Halve height and width, then one more convolution."""

    def __init__(self, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*_conv(inputs, outputs, stride=2), *_conv(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> (B,outputs,H/2,W/2)."""
        return cast(Tensor, self.model(x))


class FlatResidual(nn.Module):
    """One residual block: two convolutions, ReLU after the sum."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*_conv(channels, channels), *_conv(channels, channels, activation=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        return functional.relu(x + cast(Tensor, self.model(x)))


class FlatBlock(nn.Module):
    """`layers` residual blocks one after the other; none is the identity."""

    def __init__(self, *, channels: int, layers: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*(FlatResidual(channels=channels) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        return cast(Tensor, self.model(x))


class SkipLevel(nn.Module):
    """One level of the U: its input is added to what the levels below make of it; then flat blocks."""

    def __init__(self, *, channels: int, flat: int, below: int = 0, submodule: SkipLevel | None = None) -> None:
        super().__init__()
        self.submodule = submodule
        if submodule is not None:
            self.down_block = DownBlock(inputs=channels, outputs=below)
            self.up_block = UpBlock(inputs=below, outputs=channels)
        self.flat_block = FlatBlock(channels=channels, layers=flat)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        if self.submodule is not None:
            x = x + cast(Tensor, self.up_block(self.submodule(self.down_block(x))))
        return cast(Tensor, self.flat_block(x))


class ResUNet(nn.Module):
    """The base: a residual U-Net with one level for each number in `flat_layers`, finest first."""

    def __init__(self, *, inputs: int, heads: tuple[int, ...], width: int, flat_layers: tuple[int, ...]) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(*_conv(inputs, width, kernel=7))
        _add_heads(self, width, heads)
        inner: SkipLevel | None = None
        below = 0
        for depth in reversed(range(len(flat_layers))):
            channels = min(width * 2**depth, MAX_CHANNELS)
            inner = SkipLevel(channels=channels, flat=flat_layers[depth], below=below, submodule=inner)
            below = channels
        self.inner = cast(SkipLevel, inner)

    def forward(self, x: Tensor) -> Tensor:
        """(B,inputs,H,W) -> features (B,width,H,W), which a head or an enhancer reads."""
        return cast(Tensor, self.inner(self.in_conv(x)))


class LocalEnhancer(nn.Module):
    """Adds the finest scale: features of the full-size input plus those of the base, then flat blocks."""

    def __init__(self, *, inputs: int, heads: tuple[int, ...], width: int, below: int, flat: int) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(*_conv(inputs, width, kernel=7))
        self.up_block = UpBlock(inputs=below, outputs=width)
        self.flat_block = FlatBlock(channels=width, layers=flat)
        _add_heads(self, width, heads)

    def forward(self, x: Tensor, coarse: Tensor) -> Tensor:
        """Input (B,inputs,H,W) and the base's features (B,below,H/2,W/2) -> features (B,width,H,W)."""
        return cast(Tensor, self.flat_block(self.in_conv(x) + self.up_block(coarse)))


def half_size(x: Tensor) -> Tensor:
    """The next level of the release's image pyramid, (B,C,H,W) -> (B,C,H/2,W/2): means of 3x3, the border's smaller."""
    return functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


class MultiScaleResUNet(nn.Module):
    """FSGAN's generator: the base at half size and one enhancer at full size.

    Args:
        inputs: channels of the input.
        heads: channels of each output.
        width: channels of the enhancer; the base begins with twice as many.
        flat_layers: residual blocks of the enhancer, then of each level of the base, finest first.
    """

    def __init__(
        self,
        *,
        inputs: int,
        heads: tuple[int, ...] = (3,),
        width: int = 128,
        flat_layers: tuple[int, ...] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        if len(flat_layers) < 2 or min(flat_layers) < 0:
            raise ConfigError(f"flat_layers must be two or more numbers, none negative, got {flat_layers}")
        if not heads or min(*heads, inputs, width) < 1:
            raise ConfigError(f"inputs, heads and width must be positive, got {inputs}, {heads}, {width}")
        self.inputs = inputs
        self.heads = heads
        self.multiple = 2 ** (len(flat_layers) - 1)
        below = min(2 * width, MAX_CHANNELS)
        self.base = ResUNet(inputs=inputs, heads=heads, width=below, flat_layers=flat_layers[1:])
        self.enhancer1 = LocalEnhancer(inputs=inputs, heads=heads, width=width, below=below, flat=flat_layers[0])

    def forward(self, x: Tensor, half: Tensor | None = None) -> tuple[Tensor, ...]:
        """Input (B,inputs,H,W) -> one image (B,C,H,W) in [-1,1] for each head; every head ends in tanh.

        `half` (B,inputs,H/2,W/2) is the same input at half size, for landmark maps that are drawn anew at each size; the
        default averages `x`. Colours are expected in [-1,1], masks and landmark maps in [0,1]. H and W are multiples of 8
        and at least 16 (for four numbers of flat layers); raises InputError for other shapes.
        """
        self._check(x)
        if half is None:
            half = half_size(x)
        elif half.shape != (*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2):
            raise InputError(f"the half-size input of {tuple(x.shape)} can't be {tuple(half.shape)}")
        features = self.enhancer1(x, self.base(half))
        return tuple(cast(Tensor, getattr(self.enhancer1, name)(features)) for name in _head_names(self.heads))

    def coarse(self, half: Tensor) -> tuple[Tensor, ...]:
        """The base alone with its own heads, as it is trained first: (B,inputs,h,w) -> (B,C,h,w) in [-1,1] each."""
        self._check(half)
        features = self.base(half)
        return tuple(cast(Tensor, getattr(self.base, name)(features)) for name in _head_names(self.heads))

    def _check(self, x: Tensor) -> None:
        least = 2 * self.multiple  # reflection needs two pixels at the deepest level
        sizes = x.shape[2:]
        if x.ndim != 4 or x.shape[1] != self.inputs or any(s % self.multiple or s < least for s in sizes):
            raise InputError(
                f"this generator takes (B, {self.inputs}, H, W) with multiples of {self.multiple} from {least} on, "
                f"got {tuple(x.shape)}"
            )


def reenactment(*, landmarks: int = 98, width: int = 128) -> MultiScaleResUNet:
    """Gr of the release's second version: source image and a map for each of the target's landmarks -> reenacted face."""
    return MultiScaleResUNet(inputs=3 + landmarks, width=width)


def reenactment_v1(*, landmarks: int = 68, width: int = 128) -> MultiScaleResUNet:
    """Gr of the release's first version: heads for the reenacted face and for its segmentation."""
    return MultiScaleResUNet(inputs=3 + landmarks, heads=(3, 3), width=width, flat_layers=(2, 0, 2, 3))


def inpainting(*, width: int = 128) -> MultiScaleResUNet:
    """Gc: the reenacted face, background -1, and the target's face mask (0 or 1) -> the face completed to that mask."""
    return MultiScaleResUNet(inputs=4, width=width)


def blending(*, width: int = 128) -> MultiScaleResUNet:
    """Gb: the completed face pasted onto the target, the target and the mask (0 or 1) -> the blended image."""
    return MultiScaleResUNet(inputs=7, width=width)


BUILDERS: Mapping[str, Callable[[], MultiScaleResUNet]] = MappingProxyType(
    {"Gr": reenactment, "Gr v1": reenactment_v1, "Gc": inpainting, "Gb": blending}
)
"""The paper's names for the generators at full width; S is `fsgan_segmentation.segmentation`."""
