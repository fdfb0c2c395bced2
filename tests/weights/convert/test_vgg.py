"""VGG-19's checkpoint: what the perceptual loss needs is taken, the rest is dropped only if it is what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.networks.vgg import VGG19Features
from mfs_lib.weights import models
from mfs_lib.weights.convert.vgg import convert_vgg19
from mfs_lib.weights.models import load_vgg19

State = dict[str, Tensor]
#: torchvision's names and channels of all sixteen convolutions, and of the classifier.
CONVOLUTIONS = {
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128),
    10: (128, 256), 12: (256, 256), 14: (256, 256), 16: (256, 256),
    19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512),
    28: (512, 512), 30: (512, 512), 32: (512, 512), 34: (512, 512),
}  # fmt: skip
CLASSIFIER = {0: (25088, 4096), 3: (4096, 4096), 6: (4096, 1000)}
PARTS = ("weight", "bias")


@pytest.fixture(scope="module")
def original() -> State:
    """Every entry of the file; those that are dropped hold one value, which makes them small on disk."""
    torch.manual_seed(0)
    state: State = {}
    for index, (inputs, outputs) in CONVOLUTIONS.items():
        weight = torch.randn(outputs, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5 if index <= 28 else torch.zeros(())
        state[f"features.{index}.weight"] = weight.expand(outputs, inputs, 3, 3)
        state[f"features.{index}.bias"] = torch.randn(outputs) * 0.1
    for index, (inputs, outputs) in CLASSIFIER.items():
        state[f"classifier.{index}.weight"] = torch.zeros(()).expand(outputs, inputs)
        state[f"classifier.{index}.bias"] = torch.zeros(outputs)
    return state


def test_values_equal_the_originals(tmp_path: Path, original: State) -> None:
    torch.save(original, tmp_path / "vgg19-dcbb9e9d.pth")
    state = convert_vgg19(tmp_path / "vgg19-dcbb9e9d.pth")
    assert len(original) == 38 and len(state) == 26
    assert all(torch.equal(value, original[name]) for name, value in state.items())
    VGG19Features().load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.28.bias": None}, r"vgg19-dcbb9e9d\.pth.*missing: features\.28\.bias"),
        ({"features.5.weight": torch.zeros(64, 128, 3, 3)}, r"of another shape: features\.5\.weight"),
        ({"features.36.weight": torch.zeros(1)}, r"left over: features\.36\.weight"),
        ({"classifier.6.weight": torch.zeros(()).expand(10, 4096)}, r"another shape: classifier\.6\.weight"),
        ({"features.34.weight": None, "features.34.bias": None}, r"missing.*features\.34\.weight, features\.34\.bias"),
    ],
)
def test_other_networks_are_refused(
    tmp_path: Path, original: State, change: dict[str, Tensor | None], message: str
) -> None:
    path = tmp_path / "other.pth"
    torch.save({name: value for name, value in {**original, **change}.items() if value is not None}, path)
    with pytest.raises(AssetError, match=message):
        convert_vgg19(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(AssetError, match="refused"):
        convert_vgg19(path)


def test_it_is_loaded_frozen(original: State, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def converted(name: str, convert: object, *, offline: bool) -> State:
        asked.append((name, convert, offline))
        return {f"features.{i}.{p}": original[f"features.{i}.{p}"] for i in CONVOLUTIONS if i <= 28 for p in PARTS}

    monkeypatch.setattr(models, "converted_state", converted)
    before = torch.random.get_rng_state()
    network = load_vgg19()
    assert asked == [("vgg19", convert_vgg19, False)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(network.features[28].weight, original["features.28.weight"])
    with torch.no_grad():
        assert network(torch.rand(1, 3, 32, 32))[-1].std() > 0


def test_without_weights_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MFS_CACHE", str(tmp_path))
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    with pytest.raises(AssetError, match="mfs fetch vgg19"):
        load_vgg19(offline=True)
    monkeypatch.setenv("MFS_MIRROR", str(tmp_path))
    (tmp_path / "vgg19-dcbb9e9d.pth").write_bytes(b"another file")
    with pytest.raises(AssetError, match="not the file that the manifest names"):
        load_vgg19(offline=True)
