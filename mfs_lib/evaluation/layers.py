"""Layers of a network, walked while it runs: their sizes, weights and multiply-accumulates, and how they are joined.

Counting works on the `meta` device, where no arithmetic is done. What whole systems cost, and in which convention, is
`evaluation.complexity`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mfs_lib.networks.idn import StaticIdentityNetwork


class LayerCount(NamedTuple):
    """One convolution or linear layer as it was run: sides are in pixels, `weights` leaves the bias out."""

    name: str
    kind: str  # "depthwise", "pointwise", "convolution" or "linear"
    inputs: int
    outputs: int
    kernel: int
    stride: int
    side: int  # of the output; 1 for a linear layer
    weights: int
    macs: int


class Stage(NamedTuple):
    """One stage of the mobile network as it was run; `joined` names the stages whose outputs it reads beside `before`."""

    name: str
    inputs: int
    outputs: int
    side_in: int
    side_out: int
    kernels: tuple[int, ...]
    upsamples: bool
    before: str
    joined: tuple[str, ...]


class ConvolutionCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, while it is active, the calls of the convolution kernel: `with ConvolutionCounter() as c: ...; c.calls`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func` unchanged and count it if it is a convolution."""
        self.calls += func.overloadpacket in (torch.ops.aten.convolution, torch.ops.aten.mkldnn_convolution)
        return func(*args, **(kwargs or {}))


@contextmanager
def _watched(parts: list[nn.Module], seen: Callable[[nn.Module, Tensor, Tensor], None]) -> Iterator[None]:
    """Call `seen(part, input, output)` whenever one of `parts` has run."""

    def hook(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen(part, inputs[0], output)

    handles = [part.register_forward_hook(hook) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kind(layer: nn.Conv2d | nn.Linear) -> str:
    if isinstance(layer, nn.Linear):
        return "linear"
    if layer.groups == layer.in_channels and layer.groups > 1:
        return "depthwise"
    return "pointwise" if layer.kernel_size == (1, 1) else "convolution"


def _count(name: str, layer: nn.Conv2d | nn.Linear, output: Tensor) -> LayerCount:
    weights = layer.weight.numel()
    if isinstance(layer, nn.Linear):
        return LayerCount(name, "linear", layer.in_features, layer.out_features, 1, 1, 1, weights, weights)
    places = output.shape[2] * output.shape[3]
    sizes = (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], int(output.shape[2]))
    return LayerCount(name, _kind(layer), *sizes, weights, weights * places)


def layer_counts(module: nn.Module, *inputs: Any) -> list[LayerCount]:
    """Every convolution and linear layer of `module(*inputs)` in the order in which they run, for one sample each."""
    counted = (nn.Conv2d, nn.Linear)
    names: dict[nn.Module, str] = {part: name for name, part in module.named_modules() if isinstance(part, counted)}
    found: list[LayerCount] = []

    def seen(part: nn.Module, _: Tensor, output: Tensor) -> None:
        found.append(_count(names[part], cast("nn.Conv2d | nn.Linear", part), output))

    with torch.no_grad(), _watched(list(names), seen):
        module(*inputs)
    return found


def trace_stages(network: StaticIdentityNetwork, side: int) -> list[Stage]:
    """Run the mobile network on noise of `side` pixels and report its stages, joins found by comparing tensors.

    Stages are named as in the paper's figure: E0.. and D0.., then "final". A join is reported where the later channels
    of a stage's input are equal to an earlier stage's whole output.
    """
    named: dict[str, nn.Module] = {f"E{i}": part for i, part in enumerate(network.encoder)}
    named |= {f"D{i}": part for i, part in enumerate(network.decoder)} | {"final": network.final}
    names: dict[nn.Module, str] = {part: name for name, part in named.items()}
    outputs: dict[str, Tensor] = {}
    stages: list[Stage] = []

    def seen(part: nn.Module, given: Tensor, output: Tensor) -> None:
        before = next(reversed(outputs), "input")
        own = outputs[before].shape[1] if outputs else given.shape[1]
        rest = given[:, own:]
        joined = tuple(name for name, value in outputs.items() if rest.numel() and torch.equal(rest, value))
        convolutions = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d)]
        first = next(iter(cast(nn.Sequential, part)))
        stages.append(
            Stage(
                names[part], int(given.shape[1]), int(output.shape[1]), int(given.shape[2]), int(output.shape[2]),
                tuple(layer.kernel_size[0] for layer in convolutions), not isinstance(first, nn.Conv2d), before, joined,
            )
        )  # fmt: skip
        outputs[names[part]] = output

    with torch.no_grad(), _watched(list(names), seen):
        network(torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)))
    return stages
