"""insightface's recognisers (w600k_r50, glintr100 and their like): ONNX to the state of our IResNet.

Such files keep no useful names: constants of folded layers are called by running numbers. So the graph is walked from
its input along its edges, and each constant is known by where it stands. Exporters fold most batch normalisations into
the convolution before them; some leave all of them. Where one was folded, the convolution's bias becomes a
normalisation that only adds: mean 0, deviation 1 (its variance is 1 - epsilon), weight 1. Where the file's epsilon
isn't ours, the variance takes the difference. Either way the network computes the same embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.networks.iresnet import IResNet

_EPSILON = 1e-5  # of every batch normalisation of our IResNet
_PASSED = ("Identity", "Dropout")  # at inference they hand on what they get


class _Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    output: str
    options: dict[str, Any]


def convert_insightface_recogniser(path: Path) -> dict[str, Tensor]:
    """State of ``networks.iresnet.IResNet`` from the ONNX file; ``recogniser_layers`` says which one.

    The state fits ``IResNet(layers=recogniser_layers(state))`` for any numbers of blocks: (3, 4, 14, 3) in w600k_r50,
    (3, 13, 30, 3) in glintr100.

    Raises:
        AssetError: not an ONNX file, or not such a network.
    """
    try:
        state = _Walk(onnx.load(str(path)).graph).run()
        _check_shapes(state)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise AssetError(f"{path} is not a readable ONNX file ({error!r}).") from error
    except (OSError, KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
        raise AssetError(f"{path} is not an insightface recogniser as expected ({error!r}).") from error
    return state


def recogniser_layers(state: Mapping[str, Tensor]) -> tuple[int, int, int, int]:
    """Numbers of blocks in the four stages of the IResNet whose `state` this is.

    Raises:
        AssetError: it is no such state.
    """
    blocks: list[set[str]] = [set(), set(), set(), set()]
    for name in state:
        for stage, indices in enumerate(blocks, start=1):
            if name.startswith(f"layer{stage}."):
                indices.add(name.split(".")[1])
    if not all(blocks):
        raise AssetError("The state isn't an IResNet's: one of its four stages has no block.")
    return len(blocks[0]), len(blocks[1]), len(blocks[2]), len(blocks[3])


def _check_shapes(state: dict[str, Tensor]) -> None:
    """Compare with the module itself, which is built without memory."""
    width, size = state["conv1.weight"].shape[0], state["fc.bias"].shape[0]
    with torch.device("meta"):
        expected = IResNet(layers=recogniser_layers(state), width=width, embedding_dim=size).state_dict()
    if unknown := sorted(state.keys() - expected.keys()):
        raise ValueError(f"the graph has more than four stages of blocks: {unknown[0]}")
    for name, tensor in expected.items():
        if not name.endswith("num_batches_tracked") and state[name].shape != tensor.shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}")


class _Walk:
    """One walk through a graph; `state` grows on the way."""

    def __init__(self, graph: Any) -> None:
        self.state: dict[str, Tensor] = {}
        self.constants = {item.name: _tensor(item) for item in graph.initializer}
        self.alias: dict[str, str] = {}
        self.consumers: dict[str, list[_Node]] = {}
        inputs = [item.name for item in graph.input if item.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ValueError("the graph must have one input and one output")
        for node in graph.node:  # ONNX lists nodes in an order in which each follows what it reads
            self._add(node)
        self.input, self.output = inputs[0], self._resolve(graph.output[0].name)

    def _resolve(self, name: str) -> str:
        return self.alias.get(name, name)

    def _add(self, node: Any) -> None:
        options = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        # An exporter that folds no constants shapes the PReLUs' slopes (C) to (C,1,1) in the graph.
        shaped = node.op_type == "Unsqueeze" and self._resolve(node.input[0]) in self.constants
        if node.op_type in _PASSED or shaped:
            self.alias[node.output[0]] = self._resolve(node.input[0])
        elif node.op_type == "Constant":
            self.constants[node.output[0]] = _tensor(options["value"])
        else:
            inputs = tuple(self._resolve(name) for name in node.input)
            known = _Node(node.op_type, inputs, node.output[0], options)
            for name in set(inputs):
                self.consumers.setdefault(name, []).append(known)

    def run(self) -> dict[str, Tensor]:
        """The whole state."""
        x = self._prelu(self._convolution(self.input, "conv1", "bn1"), "prelu")
        stage, index = 0, 0
        while True:
            normalisation = self._only(x, "BatchNormalization")
            if not self._readers(normalisation.output, "Conv"):
                break
            first = bool(self._readers(x, "Conv"))
            stage, index = (stage + 1, 0) if first else (stage, index + 1)
            x = self._block(x, f"layer{stage}.{index}", first=first)
        self._tail(x)
        return self.state

    def _block(self, x: str, name: str, *, first: bool) -> str:
        y = self._normalisation(self._only(x, "BatchNormalization"), f"{name}.bn1")
        y = self._prelu(self._convolution(y, f"{name}.conv1", f"{name}.bn2"), f"{name}.prelu")
        y = self._convolution(y, f"{name}.conv2", f"{name}.bn3", stride=2 if first else 1)
        if first:
            x = self._convolution(x, f"{name}.downsample.0", f"{name}.downsample.1", kernel=1, stride=2)
        total = self._only(y, "Add")
        if set(total.inputs) != {x, y}:
            raise ValueError(f"{name} adds {total.inputs} instead of its branch and its input")
        return total.output

    def _tail(self, x: str) -> None:
        y = self._normalisation(self._only(x, "BatchNormalization"), "bn2")
        flat = (self._readers(y, "Flatten") + self._readers(y, "Reshape"))[0].output
        linear = self._only(flat, "Gemm")
        if linear.options.get("transA", 0) or any(linear.options.get(key, 1.0) != 1.0 for key in ("alpha", "beta")):
            raise ValueError("the linear layer is scaled or transposes its input")
        weight = self.constants[linear.inputs[1]]
        self.state["fc.weight"] = weight if linear.options.get("transB", 0) else weight.T.contiguous()
        self.state["fc.bias"] = self._bias(linear)
        end = linear.output
        if end != self.output:
            end = self._normalisation(self._only(end, "BatchNormalization"), "features")
        else:
            self._shift_only("features", torch.zeros_like(self.state["fc.bias"]))
        if end != self.output:
            raise ValueError("there are layers after the embedding")

    def _readers(self, tensor: str, op: str) -> list[_Node]:
        return [node for node in self.consumers.get(tensor, []) if node.op == op and node.inputs[0] == tensor]

    def _only(self, tensor: str, op: str) -> _Node:
        # Whichever input it is: an Add may name its two in any order.
        found = [node for node in self.consumers.get(tensor, []) if node.op == op]
        if len(found) != 1:
            raise ValueError(f"{len(found)} {op} nodes read {tensor!r} where there must be one")
        return found[0]

    def _convolution(self, x: str, name: str, norm: str, *, kernel: int = 3, stride: int = 1) -> str:
        node = self._only(x, "Conv")
        weight = self.constants[node.inputs[1]]
        pads = [kernel // 2] * 4
        if (
            tuple(weight.shape[2:]) != (kernel, kernel)
            or node.options.get("strides", [1, 1]) != [stride, stride]
            or node.options.get("pads", [0] * 4) != pads
            or node.options.get("dilations", [1, 1]) != [1, 1]
        ):
            raise ValueError(f"{name} is no {kernel}x{kernel} convolution of stride {stride} with pads {pads}")
        self.state[f"{name}.weight"] = weight
        bias = self._bias(node)
        following = self._readers(node.output, "BatchNormalization")
        if not following:
            self._shift_only(norm, bias)
            return node.output
        output = self._normalisation(following[0], norm)
        self.state[f"{norm}.running_mean"] -= bias  # normalising y + bias is normalising y by another mean
        return output

    def _bias(self, node: _Node) -> Tensor:
        if len(node.inputs) > 2:
            return self.constants[node.inputs[2]]
        channels = self.constants[node.inputs[1]].shape[0 if node.op == "Conv" or node.options.get("transB", 0) else 1]
        return torch.zeros(channels)

    def _prelu(self, x: str, name: str) -> str:
        node = self._only(x, "PRelu")
        self.state[f"{name}.weight"] = self.constants[node.inputs[1]].reshape(-1)
        return node.output

    def _normalisation(self, node: _Node, name: str) -> str:
        weight, bias, mean, variance = (self.constants[key] for key in node.inputs[1:5])
        difference = float(node.options.get("epsilon", 1e-5)) - _EPSILON
        self._store(name, weight, bias, mean.clone(), (variance.double() + difference).float())
        return node.output

    def _shift_only(self, name: str, bias: Tensor) -> None:
        one = torch.ones_like(bias)
        self._store(name, one, bias, torch.zeros_like(bias), one - _EPSILON)

    def _store(self, name: str, *values: Tensor) -> None:
        for part, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
            self.state[f"{name}.{part}"] = value


def _tensor(item: Any) -> Tensor:
    """An ONNX constant; fractions as float32."""
    tensor = torch.from_numpy(np.array(numpy_helper.to_array(item)))
    return tensor.float() if tensor.is_floating_point() else tensor
