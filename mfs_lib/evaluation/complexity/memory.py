"""Memory of a run: the peak of the activations that live at once, and the bytes that the heavy layers read and write.

Both are properties of the computation as PyTorch runs it eagerly, layer by layer, in 32-bit numbers, not of a phone's
runtime, which fuses layers and plans its buffers. Weights and the inputs are not activations. On `meta` tensors no
memory is taken.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_HEAVY = {
    torch.ops.aten.convolution,
    torch.ops.aten.mkldnn_convolution,
    torch.ops.aten.addmm,
    torch.ops.aten.mm,
    torch.ops.aten.bmm,
}


@dataclass(frozen=True)
class Memory:
    """Bytes: `peak_activations` living at once, and `traffic` that convolutions and matrix products read and write."""

    peak_activations: int
    traffic: int


def measure_memory(run: Callable[[], Any]) -> Memory:
    """Memory of `run()`, which may work on `meta` tensors; its own inputs must exist before it is called."""
    meter = _Meter()
    with torch.no_grad(), meter:
        run()
    return Memory(meter.peak, meter.traffic)


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every storage that an operation makes until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.traffic = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func` unchanged; note the new storages among its results."""
        given = {_key(one) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        result = func(*args, **(kwargs or {}))
        made = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        for one in made:
            if _key(one) not in given | self._known:
                self._follow(one)
        if func.overloadpacket in _HEAVY:
            tensors = [one for one in tree_leaves(args) if isinstance(one, Tensor)]
            self.traffic += sum(one.numel() * one.element_size() for one in [*tensors, *made])
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        size = storage.nbytes()
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
