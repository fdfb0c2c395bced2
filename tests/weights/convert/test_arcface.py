"""The identity network's two public checkpoints: synthetic ones in the original layouts, converted, compared by value."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import AssetError
from mfs_lib.networks.identity import IdentityNetwork, ResidualBlock
from mfs_lib.weights.convert.arcface import convert_arcface_paddle, convert_arcface_simswap

Arrays = dict[str, npt.NDArray[Any]]
STAGES = ((1, 64, 64, 3, 1), (2, 64, 128, 4, 2), (3, 128, 256, 23, 2), (4, 256, 512, 3, 2))


def layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes of arcface.pdparams."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 3, 3), "prelu._weight": (1,)}

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "_mean", "_variance")})

    norm("bn1", 64)
    for stage, first, outputs, blocks, stride in STAGES:
        for j in range(blocks):
            block, inputs = f"layer{stage}.{j}", first if j == 0 else outputs
            norm(f"{block}.bn0", inputs)
            shapes[f"{block}.conv1.weight"] = (inputs, inputs, 3, 3)
            norm(f"{block}.bn1", inputs)
            shapes[f"{block}.prelu._weight"] = (1,)
            shapes[f"{block}.conv2.weight"] = (outputs, inputs, 3, 3)
            norm(f"{block}.bn2", outputs)
            shapes[f"{block}.se.fc.0.weight"] = (outputs, outputs // 16)  # Paddle: (in, out)
            shapes[f"{block}.se.fc.0.bias"] = (outputs // 16,)
            shapes[f"{block}.se.fc.1._weight"] = (1,)
            shapes[f"{block}.se.fc.2.weight"] = (outputs // 16, outputs)
            shapes[f"{block}.se.fc.2.bias"] = (outputs,)
            if j == 0 and stride == 2:
                shapes[f"{block}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                norm(f"{block}.downsample.1", outputs)
    norm("bn2", 512)
    shapes["fc.weight"], shapes["fc.bias"] = (25088, 512), (512,)
    norm("bn3", 512)
    return shapes


def random_arrays() -> Arrays:
    """Random values for every name, of a size that keeps signals alive; variances are positive."""
    generator = np.random.default_rng(1)
    arrays: Arrays = {}
    for name, shape in layout().items():
        values = generator.standard_normal(shape, dtype=np.float32)
        if name.endswith("_variance"):
            values = 0.5 + np.abs(values)
        elif name.endswith("prelu._weight"):
            values = 0.25 + 0.05 * values
        elif len(shape) == 4:
            values *= np.float32(np.prod(shape[1:])) ** -0.5
        elif len(shape) == 2:
            values *= np.float32(shape[0]) ** -0.5
        elif ".bn2." in name and name.endswith("weight"):
            values *= np.float32(0.3)  # or the sums of residuals grow without bound
        arrays[name] = values
    return arrays


@dataclass(frozen=True)
class Recogniser:
    """The synthetic checkpoint and what became of it."""

    arrays: Arrays
    path: Path
    network: IdentityNetwork


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    """A checkpoint as Paddle writes it, converted and loaded."""
    arrays = random_arrays()
    path = tmp_path_factory.mktemp("arcface") / "arcface.pdparams"
    with path.open("wb") as file:
        pickle.dump(arrays | {"StructuredToParameterName@@": {"conv1.weight": "conv2d_0.w_0"}}, file, protocol=4)
    with torch.device("meta"):
        network = IdentityNetwork()
    network.load_state_dict(convert_arcface_paddle(path), assign=True)
    network.mean, network.std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return Recogniser(arrays, path, network.eval())


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * slope)


def _by_hand(arrays: Arrays, image: Tensor) -> tuple[Tensor, Tensor]:
    """The original function from the original arrays: (embedding before normalisation, feature map)."""
    w = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        view = (1, -1) + (1,) * (x.ndim - 2)
        mean, variance, scale, shift = (
            w[f"{name}.{part}"].view(view) for part in ("_mean", "_variance", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    x = functional.conv2d(image, w["conv1.weight"])
    x = functional.max_pool2d(_prelu(norm(x, "bn1"), w["prelu._weight"]), 2, 2)
    for stage, _, _, blocks, stride in STAGES:
        for j in range(blocks):
            name, step = f"layer{stage}.{j}", stride if j == 0 else 1
            y = functional.conv2d(norm(x, f"{name}.bn0"), w[f"{name}.conv1.weight"], padding=1)
            y = _prelu(norm(y, f"{name}.bn1"), w[f"{name}.prelu._weight"])
            y = norm(functional.conv2d(y, w[f"{name}.conv2.weight"], padding=1, stride=step), f"{name}.bn2")
            gate = y.mean(dim=(2, 3)) @ w[f"{name}.se.fc.0.weight"] + w[f"{name}.se.fc.0.bias"]
            gate = _prelu(gate, w[f"{name}.se.fc.1._weight"]) @ w[f"{name}.se.fc.2.weight"] + w[f"{name}.se.fc.2.bias"]
            y = y * torch.sigmoid(gate)[:, :, None, None]
            if f"{name}.downsample.0.weight" in w:
                x = norm(functional.conv2d(x, w[f"{name}.downsample.0.weight"], stride=step), f"{name}.downsample.1")
            x = _prelu(y + x, w[f"{name}.prelu._weight"])
    f = norm(x, "bn2")
    return norm(f.flatten(1) @ w["fc.weight"] + w["fc.bias"], "bn3"), f


def test_the_fixture_has_the_original_s_counts(recogniser: Recogniser) -> None:
    assert len(recogniser.arrays) == 691
    assert sum(array.size for array in recogniser.arrays.values()) == 52_244_159
    assert sum(array.ndim == 2 for array in recogniser.arrays.values()) == 67
    state = recogniser.network.state_dict()
    assert len(state) == 796
    assert sum(name.endswith("num_batches_tracked") for name in state) == 105


@torch.no_grad()
def test_embedding_and_feature_map_are_the_original_s(recogniser: Recogniser) -> None:
    face = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    embedding, feature_map = _by_hand(recogniser.arrays, (face - mean) / std)
    ours = recogniser.network(face)
    assert feature_map.std() > 0.1
    assert embedding.std() > 0.1
    torch.testing.assert_close(ours.feature_map, feature_map, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours.embedding, embedding / embedding.norm(), rtol=1e-3, atol=1e-4)
    darker = recogniser.network(face * 0.5).embedding
    assert (darker - ours.embedding).abs().max() > 0.01


def test_every_linear_weight_is_turned_and_nothing_else(recogniser: Recogniser) -> None:
    state = recogniser.network.state_dict()
    for name, array in recogniser.arrays.items():
        if array.ndim == 2:
            assert torch.equal(state[name], torch.from_numpy(array).t())
        elif array.ndim == 4:
            assert torch.equal(state[name], torch.from_numpy(array))
    assert state["layer3.22.se.fc.1.weight"].item() == recogniser.arrays["layer3.22.se.fc.1._weight"].item()
    assert torch.equal(state["bn3.running_var"], torch.from_numpy(recogniser.arrays["bn3._variance"]))


CLASSES = """
from torch import nn


class SEBlock(nn.Module):
    pass


class IRBlock(nn.Module):
    pass


class ResNet(nn.Module):
    pass
"""


@pytest.fixture
def simswap_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """SimSwap's classes under their module path, for the writer; the reader must do without them."""
    package = tmp_path / "code" / "models"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "arcface_models.py").write_text(CLASSES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(package.parent))
    import models.arcface_models as classes  # the folder above

    yield classes
    for name in ("models", "models.arcface_models"):
        sys.modules.pop(name)


def _as_simswap(network: IdentityNetwork, classes: Any) -> nn.Module:
    """Our modules under SimSwap's classes: the module tree that its file holds."""

    def copy(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
        made = kind()
        for name, child in module.named_children():
            made.add_module(name, convert(child))
        return made

    def convert(module: nn.Module) -> Any:
        if isinstance(module, ResidualBlock):
            block = copy(module, classes.IRBlock)
            block.se = copy(module.se, classes.SEBlock)
            block.se.avg_pool = nn.AdaptiveAvgPool2d(1)
            block.stride, block.use_se = 1, True
            if isinstance(module.downsample, nn.Identity):
                block.downsample = None
            return block
        return copy(module, nn.Sequential) if isinstance(module, nn.Sequential) else module

    return copy(network, classes.ResNet)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_simswap_s_module_gives_the_same_state(
    recogniser: Recogniser, simswap_classes: Any, tmp_path: Path, form: str
) -> None:
    module = _as_simswap(recogniser.network, simswap_classes)
    # The first release's form: a training checkpoint around DataParallel; torch's own optimiser stands for theirs.
    whole = module if form == "zip" else {"epoch": 23, "acc": np.float64(0.998), "model": nn.DataParallel(module)}
    path = tmp_path / "arcface_checkpoint.tar"
    torch.save(whole, path, _use_new_zipfile_serialization=form == "zip")
    for name in ("models", "models.arcface_models"):
        del sys.modules[name]
    (tmp_path / "code" / "models" / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    state = convert_arcface_simswap(path)
    assert "models" not in sys.modules
    sys.modules |= {"models": simswap_classes, "models.arcface_models": simswap_classes}
    expected = recogniser.network.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_the_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "arcface_checkpoint.tar"
    torch.save(nn.Linear(2, 3), path)
    with pytest.raises(
        AssetError, match=r"SimSwap's identity network.*missing: conv1\.weight.*left over: weight, bias"
    ):
        convert_arcface_simswap(path)
    path.write_bytes(pickle.dumps({"conv1.weight": np.zeros((64, 3, 3, 4), np.float32)}))
    with pytest.raises(AssetError, match=r"of another shape: conv1\.weight \(64, 3, 3, 4\)"):
        convert_arcface_paddle(path)
