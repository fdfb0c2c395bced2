"""Operations of a network in the three conventions that the literature mixes, counted in one pass on `meta` tensors.

| name      | what it counts                                                                                          |
|-----------|---------------------------------------------------------------------------------------------------------|
| MAC       | multiply-accumulates of convolutions and matrix products, nothing else: this project's unit             |
| fvcore    | MAC; 2 for each input element of a batch normalisation, 5 of an instance, group or layer normalisation  |
|           | (1 and 4 without an affine map), 4 for each output element of a bilinear enlargement, 1 for each input  |
|           | element of an adaptive average                                                                          |
| thop-noup | MAC; 4 for each input element of a normalisation layer (2 without an affine map), 1 of a PReLU; 1 for   |
|           | each input and output of an adaptive average, for each output of an average pool; enlargement is free;  |
|           | a transposed convolution costs its whole kernel at each *output*, stride² times its multiply-accumulates |

The second is what the package `fvcore` reports, the third what the tool `thop` reports when upsampling layers are
registered as free (functional upsampling never reaches it). Biases and the other activations are free in all three. No
arithmetic is done when module and inputs are on the `meta` device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

CONVENTIONS = ("MAC", "fvcore", "thop-noup")

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm)


@dataclass(frozen=True)
class Operations:
    """Operations of one run in each convention; sums and whole multiples are operations again."""

    mac: int = 0
    fvcore: int = 0
    thop_noup: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(self.mac + other.mac, self.fvcore + other.fvcore, self.thop_noup + other.thop_noup)

    def __mul__(self, times: int) -> Operations:
        return Operations(self.mac * times, self.fvcore * times, self.thop_noup * times)

    def named(self) -> dict[str, int]:
        """The three numbers under the names of `CONVENTIONS`."""
        return dict(zip(CONVENTIONS, (self.mac, self.fvcore, self.thop_noup), strict=True))


def count_operations(module: nn.Module, run: Callable[[], Any]) -> Operations:
    """Count what `run()` does, which calls `module` or any part of it (in eval mode, for one person and one frame)."""
    thop = _ThopExtras(module)
    with torch.no_grad(), thop, _FvcoreExtras() as fvcore, FlopCounterMode(display=False) as counter:
        run()
    mac = int(counter.get_total_flops()) // 2
    return Operations(mac, mac + fvcore.total, mac + thop.total)


class _FvcoreExtras(TorchFunctionMode):
    """What fvcore adds to the multiply-accumulates, seen at the level of `torch.nn.functional`."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func` unchanged, and add what it costs."""
        options = kwargs or {}
        result = func(*args, **options)
        if func is functional.batch_norm:
            self.total += args[0].numel() * (1 if _given(args, options, 3, "weight") is None else 2)
        elif func in (functional.instance_norm, functional.group_norm, functional.layer_norm):
            place = {functional.instance_norm: 3, functional.group_norm: 2, functional.layer_norm: 2}[func]
            self.total += args[0].numel() * (4 if _given(args, options, place, "weight") is None else 5)
        elif func is functional.interpolate:
            mode = _given(args, options, 3, "mode") or "nearest"
            self.total += result.numel() * {"bilinear": 4, "nearest": 1}.get(mode, 0)
        elif func is functional.adaptive_avg_pool2d:
            self.total += args[0].numel()
        return result


def _given(args: tuple[Any, ...], options: dict[str, Any], place: int, name: str) -> Any:
    """An argument that may be given by its place or by its name; None when it isn't."""
    return args[place] if len(args) > place else options.get(name)


class _ThopExtras:
    """What thop adds to the multiply-accumulates, seen at the level of layers, while it is entered."""

    def __init__(self, module: nn.Module) -> None:
        self.total = 0
        kinds = (*_NORMS, nn.PReLU, nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.ConvTranspose2d)
        self._parts = [part for part in module.modules() if isinstance(part, kinds)]
        self._handles: list[Any] = []

    def __enter__(self) -> _ThopExtras:
        self._handles = [part.register_forward_hook(self._seen) for part in self._parts]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _seen(self, part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(part, nn.AdaptiveAvgPool2d):
            window = math.prod(inputs[0].shape[2:]) // math.prod(output.shape[2:])
            self.total += (window + 1) * output.numel()
        elif isinstance(part, nn.AvgPool2d):
            self.total += output.numel()
        elif isinstance(part, nn.PReLU):
            self.total += inputs[0].numel()
        elif isinstance(part, nn.ConvTranspose2d):
            kernel = part.weight[0].numel()  # of one input channel: (outputs / groups) x height x width
            wrong = output.numel() * part.in_channels // part.groups * part.weight[0, 0].numel()
            self.total += wrong - inputs[0].numel() * kernel
        else:
            affine = getattr(part, "affine", False) or getattr(part, "elementwise_affine", False)
            self.total += inputs[0].numel() * (4 if affine else 2)
