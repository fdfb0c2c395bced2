"""insightface's recognisers: size, names and the function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.iresnet import IRESNET50, IRESNET100, IResNet
from tests.networks.conftest import randomise_norms


@pytest.fixture
def small() -> IResNet:
    torch.manual_seed(3)
    network = IResNet(layers=(1, 2, 1, 1), width=4, embedding_dim=8)
    randomise_norms(network)
    last = network.features
    for values in (last.running_mean, last.running_var, last.weight, last.bias):
        nn.init.uniform_(values, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval()


def faces(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("layers", "parameters", "macs"), [(IRESNET50, 43_590_848, 6_309_330_944), (IRESNET100, 65_156_160, 12_089_606_144)]
)
def test_size(layers: tuple[int, int, int, int], parameters: int, macs: int) -> None:
    with torch.device("meta"):
        network = IResNet(layers=layers).eval()
        assert count_parameters(network) == parameters
        # The weights of the last normalisation count, but are held at 1.
        assert sum(p.numel() for p in network.parameters() if p.requires_grad) == parameters - 512
        assert count_macs(network, torch.empty(1, 3, 112, 112)) == macs


def test_names_are_those_of_insightface() -> None:
    with torch.device("meta"):
        state = IResNet().state_dict()
    assert {name.split(".")[0] for name in state} == {
        "conv1", "bn1", "prelu", "layer1", "layer2", "layer3", "layer4", "bn2", "fc", "features",
    }  # fmt: skip
    block = {name.removeprefix("layer3.0.").rsplit(".", 1)[0] for name in state if name.startswith("layer3.0.")}
    assert block == {"bn1", "conv1", "bn2", "prelu", "conv2", "bn3", "downsample.0", "downsample.1"}
    assert "layer3.13.bn1.weight" in state and "layer3.14.bn1.weight" not in state
    assert {name for name in state if "downsample.0" in name} == {
        f"layer{i}.0.downsample.0.weight" for i in range(1, 5)
    }
    assert state["fc.weight"].shape == (512, 25_088)
    assert state["layer1.0.prelu.weight"].shape == (64,)


@torch.no_grad()
def test_embedding_layer_by_layer(small: IResNet) -> None:
    state = small.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        shape = (1, -1) + (1,) * (x.ndim - 2)
        weight, bias, mean, variance = (
            state[f"{name}.{part}"].view(shape) for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def convolve(x: Tensor, name: str, stride: int = 1, pad: int = 1) -> Tensor:
        return functional.conv2d(x, state[f"{name}.weight"], stride=stride, padding=pad)

    x = functional.prelu(norm(convolve((faces() * 255 - 127.5) / 127.5, "conv1"), "bn1"), state["prelu.weight"])
    for name, first in (("1.0", True), ("2.0", True), ("2.1", False), ("3.0", True), ("4.0", True)):
        block = f"layer{name}"
        y = norm(convolve(norm(x, f"{block}.bn1"), f"{block}.conv1"), f"{block}.bn2")
        y = convolve(functional.prelu(y, state[f"{block}.prelu.weight"]), f"{block}.conv2", 2 if first else 1)
        carried = norm(convolve(x, f"{block}.downsample.0", 2, 0), f"{block}.downsample.1") if first else x
        x = norm(y, f"{block}.bn3") + carried
    assert x.shape == (2, 32, 7, 7)
    x = functional.linear(norm(x, "bn2").flatten(1), state["fc.weight"], state["fc.bias"])
    expected = norm(x, "features")
    assert torch.allclose(small.raw(faces()), expected, atol=1e-4)
    assert torch.allclose(small(faces()), expected / expected.norm(dim=1, keepdim=True), atol=1e-5)


@torch.no_grad()
def test_identities_have_unit_length_and_depend_on_the_face(small: IResNet) -> None:
    identity = small(faces())
    assert identity.shape == (2, 8)
    assert torch.allclose(identity.norm(dim=1), torch.ones(2))
    assert (identity[0] - identity[1]).abs().max() > 1e-3
    assert small.raw(faces()).norm(dim=1).sub(1).abs().min() > 1e-3


def test_other_sizes_are_refused(small: IResNet) -> None:
    for shape in ((1, 3, 128, 128), (3, 112, 112), (1, 1, 112, 112)):
        with pytest.raises(InputError, match="align and resize"):
            small(torch.zeros(shape))
