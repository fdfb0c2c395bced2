"""MobileFaceNet and the face mesh: TensorFlow Lite files to the state of our modules.

Both networks' modules list their convolutions and activations in the order in which the graph executes them, so that
the constants are handed out one after the other; every shape is checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from mfs_lib.errors import AssetError
from mfs_lib.networks.face_mesh import FaceMesh
from mfs_lib.networks.mobilefacenet import MobileFaceNet
from mfs_lib.weights.convert.tflite_constants import convolutions, read_operations, slopes


def convert_mobilefacenet(path: Path) -> dict[str, Tensor]:
    """State of ``networks.mobilefacenet.MobileFaceNet``.

    Raises:
        AssetError: not that network.
    """
    operations = read_operations(path)
    network = MobileFaceNet()
    return _assign(network, _names(network, nn.Conv2d), convolutions(operations), slopes(operations), path)


def convert_face_mesh(path: Path) -> dict[str, Tensor]:
    """State of ``networks.face_mesh.FaceMesh`` but for the buffers that describe the mesh.

    Raises:
        AssetError: not that network.
    """
    operations = read_operations(path)
    network = FaceMesh()
    convs = _branches_interleaved(_names(network, nn.Conv2d))
    return _assign(network, convs, convolutions(operations), slopes(operations), path, branches=True)


def _names(network: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, kind)]


def _branches_interleaved(names: list[str]) -> list[str]:
    """Names in the graph's order: it works on the landmark and the score branch in turns (found by following it)."""
    shared = [n for n in names if n.startswith(("stem", "shared"))]
    points = [n for n in names if n.startswith("landmarks")]
    score = [n for n in names if n.startswith("score")]
    # The landmark branch runs ahead by its first two blocks (of four constants in all, or two for PReLUs).
    ahead = len(points) - len(score)
    mixed = [name for pair in zip(score, points[ahead:], strict=True) for name in pair]
    return shared + points[:ahead] + mixed


def _assign(
    network: nn.Module,
    convs: list[str],
    weights: list[tuple[Tensor, Tensor]],
    prelus: Iterable[Tensor],
    path: Path,
    *,
    branches: bool = False,
) -> dict[str, Tensor]:
    names = _names(network, nn.PReLU)
    if branches:
        names = _branches_interleaved(names)
    values = list(prelus)
    if len(convs) != len(weights) or len(names) != len(values):
        raise AssetError(
            f"{path} has {len(weights)} convolutions and {len(values)} PReLUs; another network was expected."
        )
    state: dict[str, Tensor] = {f"{name}.weight": value for name, value in zip(names, values, strict=True)}
    for name, (weight, bias) in zip(convs, weights, strict=True):
        state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    expected = network.state_dict()
    for name, value in state.items():
        if value.shape != expected[name].shape:
            raise AssetError(f"{path}: {name} has shape {tuple(value.shape)}; another network was expected.")
    return state
