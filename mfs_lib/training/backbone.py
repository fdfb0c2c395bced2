"""The part of a trained student that doesn't depend on who the source is, as the beginning of another student.

What a student learns slowest is to draw a face at all; who it is comes quickly once the features are there. A student can
therefore begin with the *backbone* of a trained one: the network of its average person, whose kernels and scales are the
means over many people. Its ways in for the identity (weight predictor, modulation, AdaIN) begin at zero: it draws the same
for everyone, and that it moves identities it has learned by itself.

| of the average person      | becomes                                                                              |
|----------------------------|--------------------------------------------------------------------------------------|
| depthwise kernels          | the kernels common to all people (`kernel_base`, or learned kernels)                  |
| modulated pointwise weights | the learned weights: with the mean scale (modulated), or demodulated too (the others) |
| outputs of pointwise layers | their usual mean and deviation: what AdaIN's shift and scale begin at                |
| final layers, mask head    | the same                                                                             |

A student with fewer parts takes what fits: an autoencoder the columns of what it still reads, one without a mask no mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.networks.adain import AdaptiveInstanceNorm
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.injection import IdnWeights, LayerWeights
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.networks.modulation import Modulated, WeightModulation, demodulated
from mfs_lib.networks.plain_pointwise import PlainPointwise
from mfs_lib.networks.predictor import KernelBlock, WeightPredictor


@dataclass
class _Watched:
    """A modulated layer that remembers mean and deviation (Cout,) of its outputs."""

    layer: Modulated
    mean: Tensor = field(default_factory=lambda: torch.zeros(0))
    deviation: Tensor = field(default_factory=lambda: torch.zeros(0))

    @property
    def identities(self) -> int:
        return 1

    def fold(self, kernel: Tensor) -> Tensor:
        return self.layer.fold(kernel)

    def run(self, x: Tensor) -> Tensor:
        out = self.layer.run(x)
        self.mean, self.deviation = out.mean((2, 3)).mean(0), out.std((2, 3)).mean(0)
        return out

    def select(self, rows: slice | Tensor) -> _Watched:
        return self

    def write(self, layers: nn.Sequential) -> None:
        self.layer.write(layers)


def _average_layer(layer: LayerWeights) -> LayerWeights:
    each = cast(Modulated, layer.pointwise)
    whole = demodulated(each.weight, each.scale.mean(0, keepdim=True))
    return LayerWeights(layer.depthwise.mean(0, keepdim=True), _Watched(whole))


@torch.no_grad()
def average_person(student: MobileFaceSwap, people: IdentityFeatures) -> IdnWeights:
    """The weights of the mean of these people, one identity; the student is in eval mode."""
    weights = student.inject(people)
    encoder, decoder = (tuple(_average_layer(layer) for layer in part) for part in (weights.encoder, weights.decoder))
    return IdnWeights(encoder, decoder)


def _check(new: MobileFaceSwap, old: MobileFaceSwap) -> None:
    """Raise ConfigError unless `old` has all that `new` can take."""
    mine, theirs = new.config, old.config
    if theirs.depthwise != "predicted" or theirs.pointwise != "modulated" or theirs.architecture != "unet":
        raise ConfigError("a backbone is taken from a student of the whole method: U-Net, predicted and modulated")
    names = ["channels"] + (["mask_channels", "mask_upsampling", "fusion_mask"] if mine.fusion_mask else [])
    names += ["first_skip"] if mine.architecture == "unet" else []
    differ = [name for name in names if getattr(mine, name) != getattr(theirs, name)]
    if differ:
        raise ConfigError(f"the backbone's network has other {differ}: make them the same, or begin without a backbone")
    if mine.depthwise == "predicted" and not mine.kernel_base:
        raise ConfigError("without kernels common to all people there is no place for a backbone's: set kernel_base")


def _fill(module: nn.Module, watched: _Watched) -> None:
    """Give a pointwise layer's module the average person's weights, as far as it reads as many inputs."""
    weight = cast(nn.Parameter, module.weight)
    layer, inputs = watched.layer, weight.shape[1]
    scaled = layer.weight * layer.scale[0][None, :, None, None]
    if not isinstance(module, WeightModulation):
        scaled = scaled * layer.demodulation[0][:, None, None, None]
    weight.copy_(scaled[:, :inputs])
    if isinstance(module, AdaptiveInstanceNorm):
        module.style.bias.copy_(torch.cat([watched.deviation - 1, watched.mean]))


def _silence(new: MobileFaceSwap) -> None:
    """Whatever the identity says changes nothing yet; the gradient reaches these weights from the first step on."""
    for module in [*new.iin.encoder_modulation, *new.iin.decoder_modulation]:
        if not isinstance(module, PlainPointwise):
            nn.init.zeros_(cast(nn.Linear, module.style).weight)
    if isinstance(new.iin.predictor, WeightPredictor):
        for block in [*new.iin.predictor.encoder, *new.iin.predictor.decoder]:
            head = cast(KernelBlock, block).head
            nn.init.zeros_(head.weight)
            nn.init.zeros_(cast(Tensor, head.bias))


def _common_kernels(student: MobileFaceSwap) -> list[nn.Parameter]:
    """The kernels that all people share, first layer first."""
    predictor = student.iin.predictor
    if isinstance(predictor, WeightPredictor):
        return [*predictor.encoder_base, *predictor.decoder_base]
    return [*predictor.encoder, *predictor.decoder]


@torch.no_grad()
def take_backbone(new: MobileFaceSwap, old: MobileFaceSwap, people: IdentityFeatures, targets: Tensor) -> None:
    """Let `new` begin as the average person of `old` (in eval mode), whoever the source is.

    Args:
        new: any student of the ablation.
        old: a trained student of the whole method.
        people: whom to average, features of many.
        targets: crops (B,3,S,S) in [0,1] of the size that `new` will work on; AdaIN's beginnings are measured on them.

    Raises:
        ConfigError: the networks don't fit together.
    """
    _check(new, old)
    _silence(new)
    average = average_person(old, people)
    modules = [*new.iin.encoder_modulation, *new.iin.decoder_modulation]
    if any(isinstance(module, AdaptiveInstanceNorm) for module in modules):
        old.apply_weights(targets, average)  # for what `_fill` is to know of the outputs
    for kernel, module, layer in zip(_common_kernels(new), modules, [*average.encoder, *average.decoder], strict=True):
        kernel.copy_(layer.depthwise[0][: kernel.shape[-3]].view_as(kernel))
        _fill(module, cast(_Watched, layer.pointwise))
    state = old.idn.final.state_dict()
    first = cast(nn.Conv2d, new.idn.final[1])
    state["1.weight"] = state["1.weight"][:, : first.in_channels]
    new.idn.final.load_state_dict(state)
    if new.config.fusion_mask:
        new.fusion.load_state_dict(old.fusion.state_dict())
