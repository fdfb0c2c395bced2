"""A face swapping system as parts, those that run once for a person and those that run on every frame, and their cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mfs_lib.evaluation.complexity.conventions import Operations, count_operations
from mfs_lib.evaluation.complexity.memory import Memory, measure_memory
from mfs_lib.networks.common import count_parameters

Run = Callable[[], Any]
FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Part:
    """A network, or the share of it that has a rhythm of its own.

    Attributes:
        name: what it is.
        build: makes the network (on the device that is current).
        prepare: makes its inputs, for one person and one frame, and returns the run to be counted.
        without: modules of the network whose parameters belong to another part.
        only: the modules whose parameters are this part's; None for the whole network but `without`.
        written: modules whose weights another part computes: a video's network holds them, an image needs no copy.
    """

    name: str
    build: Callable[[], nn.Module]
    prepare: Callable[[Any], Run]
    without: Callable[[Any], Sequence[nn.Module]] = lambda _: ()
    only: Callable[[Any], Sequence[nn.Module]] | None = None
    written: Callable[[Any], Sequence[nn.Module]] = lambda _: ()


@dataclass(frozen=True, kw_only=True)
class System:
    """A whole method at one size: `once` for each person, `frame` for each frame; `facts` says where they come from."""

    key: str
    title: str
    size: int
    once: tuple[Part, ...]
    frame: tuple[Part, ...]
    facts: str


@dataclass(frozen=True)
class Cost:
    """What some parts need: parameters in two ways of counting, bytes of weights (float32, statistics too), operations."""

    declared: int = 0
    kernels: int = 0
    weight_bytes: int = 0
    operations: Operations = Operations()  # noqa: RUF009 - frozen

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.declared + other.declared,
            self.kernels + other.kernels,
            self.weight_bytes + other.weight_bytes,
            self.operations + other.operations,
        )


@dataclass(frozen=True, kw_only=True)
class SystemCost:
    """Cost of a system for an `image` (everything) and for a `video`'s frame, and the memory of a frame."""

    system: System
    image: Cost
    video: Cost
    memory: Memory

    @property
    def intensity(self) -> float:
        """Arithmetic intensity of a frame: operations (two per MAC) for each byte read or written by the heavy layers."""
        return 2 * self.video.operations.mac / self.memory.traffic


def cost_of(system: System) -> SystemCost:
    """Count a system on the meta device: no arithmetic, no memory."""
    with torch.device("meta"):
        once = [_Counted(part) for part in system.once]
        frame = [_Counted(part) for part in system.frame]
        memories = [measure_memory(counted.run) for counted in frame]
    # Parts follow one another: traffic adds up, while the peak is that of the hungriest part.
    memory = Memory(max(m.peak_activations for m in memories), sum(m.traffic for m in memories))
    video = sum((counted.cost() for counted in frame), Cost())
    image = sum((counted.cost(copies=False) for counted in [*once, *frame]), Cost())
    return SystemCost(system=system, image=image, video=video, memory=memory)


class _Counted:
    """A part that was built and run."""

    def __init__(self, part: Part) -> None:
        self._network = part.build().eval()
        self._part = part
        with torch.no_grad():
            self.run = part.prepare(self._network)
        self._operations = count_operations(self._network, self.run)

    def cost(self, *, copies: bool = True) -> Cost:
        """Cost of the part, with or without the weights that another part writes."""
        part, network = self._part, self._network
        owned = [network] if part.only is None else list(part.only(network))
        left_out = [*part.without(network), *(() if copies else part.written(network))]

        def total(count: Callable[[nn.Module], int]) -> int:
            return sum(map(count, owned)) - sum(map(count, left_out))

        return Cost(
            total(count_parameters),
            total(lambda module: count_parameters(module, weights_only=True)),
            FLOAT_BYTES * total(_stored_values),
            self._operations,
        )


def _stored_values(module: nn.Module) -> int:
    """Floating-point values of the state: parameters and running statistics, without counters and constants."""
    return sum(value.numel() for value in module.state_dict().values() if value.is_floating_point())
