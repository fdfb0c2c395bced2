"""The network of one frame, rewritten for runtimes: the same function as `StaticSwapper`, fewer and cheaper steps.

| layout     | what differs from the release's graph                                            | for                |
|------------|----------------------------------------------------------------------------------|--------------------|
| "released" | nothing (this is `StaticSwapper` itself)                                         | comparisons        |
| "folded"   | norms and biases folded, the last 1x1 before the last upsampling (see `heads`)   | phones, any format |
| "packed"   | also: a full first convolution, both heads in phases (see `packed_heads`), and   | vector CPUs        |
|            | the last decoder layer in groups of channels                                     |                    |

All three are the same function. `half_mask` is a variant that is not (see `heads.HalfMaskHead`).

The weights that belong to a person are either held (a *specialised* network) or stay arguments of every call (`OpenFrame`,
for hosts that change the person often; constants run about twice as fast, because runtimes rearrange them once).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.deploy.folding import joined_separable
from mfs_lib.deploy.heads import ImageHead, act, mask_head
from mfs_lib.deploy.packed_heads import PackedHeads, PackedImageHead
from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import upsample2x
from mfs_lib.networks.fusion import FusionMask
from mfs_lib.networks.idn import decoder_joins
from mfs_lib.networks.injection import IdnWeights
from mfs_lib.networks.mobilefaceswap import StaticSwapper
from mfs_lib.networks.modulation import Modulated

Layout = Literal["released", "folded", "packed"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
Output = Literal["result", "raw", "mask"]
OUTPUTS: tuple[Output, ...] = get_args(Output)
GROUP = 32
"""Channels in a group of the packed layout's last decoder layer: their maps at 112 x 112 fit a core's own cache."""


def weight_names(encoder: int, decoder: int) -> tuple[str, ...]:
    """Names of a person's weights in the order in which `OpenFrame` takes them, for so many layers."""
    parts = (("encoder", encoder), ("decoder", decoder))
    return tuple(
        f"{part}_{i}_{kind}" for part, count in parts for i in range(count) for kind in ("depthwise", "pointwise")
    )


def person_weights(static: StaticSwapper) -> dict[str, Tensor]:
    """A person's weights by name: depthwise (C,1,k,k) and pointwise (O,C,1,1) of every layer.

    Raises ConfigError for a network whose layers normalise (AdaIN): its person isn't in the kernels alone.
    """
    found: dict[str, Tensor] = {}
    for part, stages, offset in (("encoder", static.idn.encoder, 0), ("decoder", static.idn.decoder, 1)):
        for index, stage in enumerate(stages):
            layers = cast(nn.Sequential, stage)
            if len(layers) != offset + 3:
                raise ConfigError("only networks with modulated or plain pointwise layers can be rewritten; "
                                  "export this one with the layout 'released'")  # fmt: skip
            depthwise, pointwise = cast(nn.Conv2d, layers[offset]), cast(nn.Conv2d, layers[offset + 1])
            found[f"{part}_{index}_depthwise"] = depthwise.weight.detach().clone()
            found[f"{part}_{index}_pointwise"] = pointwise.weight.detach().clone()
    return found


def injected_weights(weights: IdnWeights) -> tuple[Tensor, ...]:
    """The same, from an injection network's output for one person, in the order of `weight_names`; differentiable ops."""
    found = []
    for layer in (*weights.encoder, *weights.decoder):
        if not isinstance(layer.pointwise, Modulated):
            raise ConfigError("weights as inputs are made for modulated pointwise layers only")
        found += [layer.depthwise[0].unsqueeze(1), layer.pointwise.baked()[0]]
    return tuple(found)


def _joins(static: StaticSwapper) -> list[int | None]:
    """For each decoder layer, which encoder features join its output (see `decoder_joins`)."""
    places = list(range(len(static.idn.encoder)))
    return decoder_joins(places, architecture=static.idn.architecture, first_skip=static.idn.first_skip)


class _Frame(nn.Module):
    """The steps that all rewritten frames share; `_run` takes the person's weights in the order of `weight_names`."""

    def __init__(self, static: StaticSwapper, *, layout: Layout, half_mask: bool = False) -> None:
        super().__init__()
        if layout not in ("folded", "packed"):
            raise ConfigError(f"a frame is rewritten to 'folded' or 'packed', not {layout!r}")
        self.layout: Layout = layout
        self.joins = _joins(static)
        self.stages = (len(static.idn.encoder), len(static.idn.decoder))
        self.names = weight_names(*self.stages)
        growing = isinstance(static.fusion, FusionMask) and static.fusion.upsampling == "each"
        self.packed: PackedHeads | None = None
        self.image: nn.Module | None = None
        if layout == "packed" and growing and not half_mask:
            self.packed = PackedHeads(static.idn.final, cast(FusionMask, static.fusion))
        else:
            head = PackedImageHead if layout == "packed" else ImageHead
            self.image, self.mask = head(static.idn.final), mask_head(static.fusion, half=half_mask)

    def _run(self, target: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        encoder, decoder = self.stages
        pairs = [(weights[i], weights[i + 1]) for i in range(0, 2 * (encoder + decoder), 2)]
        features = self._encode(target - 0.5, pairs[:encoder])
        x = features[-1]
        for index, (depthwise, pointwise) in enumerate(pairs[encoder:]):
            if self.layout == "packed" and index == decoder - 1:
                x = [_grouped_layer(x, depthwise, pointwise)]
            else:
                y = functional.conv2d(upsample2x(joined(x)), depthwise, padding=1, groups=depthwise.shape[0])
                x = self._pointwise(y, pointwise, split=index == decoder - 2)
            join = self.joins[index]
            x = x if join is None else [*x, *features[join]]
        if self.packed is not None:
            return cast(tuple[Tensor, Tensor], self.packed(joined(x), joined(features[-1])))
        return cast(nn.Module, self.image)(joined(x)), self.mask(joined(features[-1]))

    def _encode(self, x: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]) -> list[list[Tensor]]:
        """All encoder features of a target moved to [-0.5, 0.5]: the network's own range is twice that."""
        features: list[list[Tensor]] = []
        for index, (depthwise, pointwise) in enumerate(pairs):
            if index == 0:
                depthwise = 2.0 * depthwise
            if index == 0 and self.layout == "packed":
                maps = [act(functional.conv2d(x, joined_separable(depthwise, pointwise), stride=2, padding=1))]
            else:
                y = functional.conv2d(x, depthwise, stride=2, padding=1, groups=depthwise.shape[0])
                maps = self._pointwise(y, pointwise, split=index == self.joins[-2])
            features.append(maps)
            x = joined(maps)
        return features

    def _pointwise(self, x: Tensor, weight: Tensor, *, split: bool) -> list[Tensor]:
        """Pointwise layer and activation; in the packed layout, what the last decoder layer reads comes in groups."""
        groups = torch.split(weight, GROUP) if split and self.layout == "packed" else (weight,)
        return [act(functional.conv2d(x, group)) for group in groups]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Groups of channels as one map (B,C,H,W)."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), 1)


def _grouped_layer(parts: Sequence[Tensor], depthwise: Tensor, pointwise: Tensor) -> Tensor:
    """A decoder layer as a sum over groups of input channels, so that what is enlarged stays in the nearest cache."""
    sizes = [part.shape[1] for part in parts]
    total: Tensor | None = None
    for part, kernel, weight in zip(
        parts, torch.split(depthwise, sizes), torch.split(pointwise, sizes, 1), strict=True
    ):
        y = functional.conv2d(upsample2x(part), kernel, padding=1, groups=kernel.shape[0])
        y = functional.conv2d(y, weight)
        total = y if total is None else total + y
    return act(cast(Tensor, total))


class SpecialisedFrame(_Frame):
    """One person's network with that person's weights inside: target (B,3,H,W) in [0,1] -> image and mask."""

    def __init__(self, static: StaticSwapper, *, layout: Layout = "packed", half_mask: bool = False) -> None:
        super().__init__(static, layout=layout, half_mask=half_mask)
        held = person_weights(static)
        self.weights = nn.ParameterDict({name: nn.Parameter(held[name], requires_grad=False) for name in self.names})

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """`target` (B,3,H,W) in [0,1], H and W multiples of 32 -> image (B,3,H,W) and mask (B,1,H,W), in [0,1]."""
        return self._run(target, [self.weights[name] for name in self.names])


class OpenFrame(_Frame):
    """Anybody's network: the person's weights are arguments, in the order of `names`."""

    def forward(self, target: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        """As `SpecialisedFrame`; raises InputError for another number of weights than `names` lists."""
        if len(weights) != len(self.names):
            raise InputError(f"{len(self.names)} weights are needed (see `names`), got {len(weights)}")
        return self._run(target, weights)


class _ReleasedFrame(nn.Module):
    def __init__(self, static: StaticSwapper) -> None:
        super().__init__()
        self.static = static

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Image and mask of the static network."""
        output = self.static(target)
        return output.raw, output.mask


def specialised(static: StaticSwapper, *, layout: Layout = "packed", half_mask: bool = False) -> nn.Module:
    """One person's frame in a layout: target -> (raw, mask); `half_mask` for the variant of `heads.HalfMaskHead`.

    Raises ConfigError for a layout that isn't there, or a variant that it doesn't have.
    """
    if layout != "released":
        return SpecialisedFrame(static, layout=layout, half_mask=half_mask)
    if half_mask:
        raise ConfigError("the released layout has no half-size mask: choose 'folded' or 'packed'")
    return _ReleasedFrame(static)


class WithOutputs(nn.Module):
    """A frame (target, weights... -> raw, mask) that gives the named outputs, in their order."""

    def __init__(self, frame: nn.Module, outputs: Sequence[Output]) -> None:
        super().__init__()
        if not outputs or set(outputs) - set(OUTPUTS) or len(set(outputs)) != len(outputs):
            raise ConfigError(f"outputs must be some of {OUTPUTS}, each once, got {tuple(outputs)}")
        self.frame, self.outputs = frame, tuple(outputs)

    def forward(self, target: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        """The outputs, all in [0,1]."""
        raw, mask = self.frame(target, *weights)
        made = {"raw": raw, "mask": mask}
        if "result" in self.outputs:
            made["result"] = target + mask * (raw - target)
        return tuple(made[name] for name in self.outputs)
