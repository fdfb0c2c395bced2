"""Inception-v3 of FID a second time, by its state dict: all layers as a table, and its forward pass as functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
Shape = tuple[int, int, int, int]

NORM = ("weight", "bias", "running_mean", "running_var")
#: Layers whose convolution isn't padded, and the stride of each.
UNPADDED = {
    "Conv2d_1a_3x3": 2, "Conv2d_2a_3x3": 1, "Conv2d_4a_3x3": 1, "Mixed_6a.branch3x3": 2, "Mixed_6a.branch3x3dbl_3": 2,
    "Mixed_7a.branch3x3_2": 2, "Mixed_7a.branch7x7x3_4": 2,
}  # fmt: skip


def _a(inputs: int, pooled: int) -> dict[str, Shape]:
    return {
        "branch1x1": (64, inputs, 1, 1), "branch5x5_1": (48, inputs, 1, 1), "branch5x5_2": (64, 48, 5, 5),
        "branch3x3dbl_1": (64, inputs, 1, 1), "branch3x3dbl_2": (96, 64, 3, 3), "branch3x3dbl_3": (96, 96, 3, 3),
        "branch_pool": (pooled, inputs, 1, 1),
    }  # fmt: skip


def _c(n: int) -> dict[str, Shape]:
    return {
        "branch1x1": (192, 768, 1, 1), "branch7x7_1": (n, 768, 1, 1), "branch7x7_2": (n, n, 1, 7),
        "branch7x7_3": (192, n, 7, 1), "branch7x7dbl_1": (n, 768, 1, 1), "branch7x7dbl_2": (n, n, 7, 1),
        "branch7x7dbl_3": (n, n, 1, 7), "branch7x7dbl_4": (n, n, 7, 1), "branch7x7dbl_5": (192, n, 1, 7),
        "branch_pool": (192, 768, 1, 1),
    }  # fmt: skip


def _e(inputs: int) -> dict[str, Shape]:
    return {
        "branch1x1": (320, inputs, 1, 1), "branch3x3_1": (384, inputs, 1, 1), "branch3x3_2a": (384, 384, 1, 3),
        "branch3x3_2b": (384, 384, 3, 1), "branch3x3dbl_1": (448, inputs, 1, 1), "branch3x3dbl_2": (384, 448, 3, 3),
        "branch3x3dbl_3a": (384, 384, 1, 3), "branch3x3dbl_3b": (384, 384, 3, 1), "branch_pool": (192, inputs, 1, 1),
    }  # fmt: skip


_BLOCKS: dict[str, dict[str, Shape]] = {
    "Mixed_5b": _a(192, 32), "Mixed_5c": _a(256, 64), "Mixed_5d": _a(288, 64),
    "Mixed_6a": {
        "branch3x3": (384, 288, 3, 3), "branch3x3dbl_1": (64, 288, 1, 1), "branch3x3dbl_2": (96, 64, 3, 3),
        "branch3x3dbl_3": (96, 96, 3, 3),
    },
    "Mixed_6b": _c(128), "Mixed_6c": _c(160), "Mixed_6d": _c(160), "Mixed_6e": _c(192),
    "Mixed_7a": {
        "branch3x3_1": (192, 768, 1, 1), "branch3x3_2": (320, 192, 3, 3), "branch7x7x3_1": (192, 768, 1, 1),
        "branch7x7x3_2": (192, 192, 1, 7), "branch7x7x3_3": (192, 192, 7, 1), "branch7x7x3_4": (192, 192, 3, 3),
    },
    "Mixed_7b": _e(1280), "Mixed_7c": _e(2048),
}  # fmt: skip

#: Shapes of all 94 kernels by the layer's name.
LAYERS: dict[str, Shape] = {
    "Conv2d_1a_3x3": (32, 3, 3, 3), "Conv2d_2a_3x3": (32, 32, 3, 3), "Conv2d_2b_3x3": (64, 32, 3, 3),
    "Conv2d_3b_1x1": (80, 64, 1, 1), "Conv2d_4a_3x3": (192, 80, 3, 3),
    **{f"{block}.{name}": shape for block, layers in _BLOCKS.items() for name, shape in layers.items()},
}  # fmt: skip


def random_state() -> State:
    """Random values in every place, such that a picture is still told from another at the end; no classifier."""
    state: State = {}
    for name, shape in LAYERS.items():
        state[f"{name}.conv.weight"] = torch.empty(shape).normal_(std=(2 / (shape[1] * shape[2] * shape[3])) ** 0.5)
        state[f"{name}.bn.weight"] = torch.rand(shape[0]) * 0.5 + 0.9
        state[f"{name}.bn.bias"] = torch.randn(shape[0]) * 0.1
        state[f"{name}.bn.running_mean"] = torch.randn(shape[0]) * 0.1
        state[f"{name}.bn.running_var"] = torch.rand(shape[0]) * 0.5 + 0.75
    return state


def _run(state: State, name: str, x: Tensor) -> Tensor:
    """One layer; the variance gets 0.001 as TensorFlow's does."""
    kernel = state[f"{name}.conv.weight"]
    padding = (0, 0) if name in UNPADDED else (kernel.shape[2] // 2, kernel.shape[3] // 2)
    x = F.conv2d(x, kernel, stride=UNPADDED.get(name, 1), padding=padding)
    weight, bias, mean, variance = (state[f"{name}.bn.{part}"][:, None, None] for part in NORM)
    return ((x - mean) / (variance + 0.001).sqrt() * weight + bias).clamp(min=0)


def _neighbours(x: Tensor, kind: str) -> Tensor:
    """Mean or maximum of each place's 3 x 3 neighbours, as far as there are any."""
    nine = F.unfold(x.flatten(0, 1)[:, None], 3, padding=1).reshape(*x.shape[:2], 9, -1)
    there = F.unfold(torch.ones(1, 1, *x.shape[2:]), 3, padding=1).reshape(1, 1, 9, -1)
    if kind == "mean":
        return (nine.sum(2) / there.sum(2)).reshape(x.shape)
    return nine.masked_fill(there == 0, -torch.inf).amax(2).reshape(x.shape)


def features(state: State, x: Tensor) -> Tensor:
    """Pooled features (B, 2048) of pictures (B, 3, 299, 299) in [0, 1]."""
    x = x * 2 - 1
    for names in (("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"), ("Conv2d_3b_1x1", "Conv2d_4a_3x3")):
        for name in names:
            x = _run(state, name, x)
        x = F.max_pool2d(x, 3, 2)
    for block, layers in _BLOCKS.items():
        outputs: dict[str, Tensor] = {}
        for name in layers:
            chain, _, step = name.rstrip("ab").rpartition("_")
            before = outputs[f"{chain}_{int(step) - 1}"] if step.isdigit() and step != "1" else x
            if name == "branch_pool":
                before = _neighbours(x, "maximum" if block == "Mixed_7c" else "mean")
            outputs[name] = _run(state, f"{block}.{name}", before)
        ends = [outputs[name] for name in layers if not _goes_on(name, layers)]
        x = torch.cat(ends if "branch_pool" in layers else [*ends, F.max_pool2d(x, 3, 2)], 1)
    return x.mean((2, 3))


def _goes_on(name: str, layers: dict[str, Shape]) -> bool:
    """Whether another layer reads this one's output."""
    chain, _, step = name.rpartition("_")
    return step.isdigit() and any(f"{chain}_{int(step) + 1}{tine}" in layers for tine in ("", "a", "b"))
