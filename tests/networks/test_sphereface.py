"""CosFace's recognisers: size, names and the function."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.sphereface import SphereFace


def faces(height: int = 112, width: int = 96) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def small() -> SphereFace:
    torch.manual_seed(4)
    network = SphereFace(width=4)
    for name, parameter in network.named_parameters():
        if "prelu" in name:
            torch.nn.init.uniform_(parameter, -0.5, 0.9)
    return network.eval()


@pytest.mark.parametrize(
    ("layers", "parameters", "macs"), [(20, 22_666_944, 1_749_737_472), (64, 47_891_648, 5_911_535_616)]
)
def test_size(layers: Literal[20, 64], parameters: int, macs: int) -> None:
    with torch.device("meta"):
        network = SphereFace(layers=layers)
        assert count_parameters(network) == parameters  # 22,666,944 and 47.89 M
        assert count_macs(network, torch.empty(1, 3, 112, 96)) == macs  # 1.750 G and 5.91 G


def test_square_faces_make_the_last_layer_larger() -> None:
    with torch.device("meta"):
        network = SphereFace(size=(112, 112))
        assert count_parameters(network) == 22_666_944 + 7 * 512 * 512
        assert network(torch.empty(1, 3, 112, 112)).shape == (1, 512)


def test_names_are_those_of_the_public_code() -> None:
    with torch.device("meta"):
        state = SphereFace().state_dict()
    expected = {"fc.weight", "fc.bias"}
    for stage, blocks in enumerate((1, 2, 4, 1), start=1):
        expected |= {f"layer{stage}.{name}" for name in ("0.weight", "0.bias", "1.weight")}
        for i in range(2, 2 + blocks):
            expected |= {f"layer{stage}.{i}.{part}.weight" for part in ("conv1", "prelu1", "conv2", "prelu2")}
    assert set(state) == expected
    assert state["fc.weight"].shape == (512, 512 * 7 * 6)


@torch.no_grad()
def test_embedding_layer_by_layer(small: SphereFace) -> None:
    state = small.state_dict()
    x = (faces() - 0.5) / 0.5
    for stage, blocks in enumerate((1, 2, 4, 1), start=1):
        name = f"layer{stage}"
        x = functional.conv2d(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"], stride=2, padding=1)
        x = functional.prelu(x, state[f"{name}.1.weight"])
        for i in range(2, 2 + blocks):
            y = functional.conv2d(x, state[f"{name}.{i}.conv1.weight"], padding=1)
            y = functional.prelu(y, state[f"{name}.{i}.prelu1.weight"])
            y = functional.conv2d(y, state[f"{name}.{i}.conv2.weight"], padding=1)
            x = x + functional.prelu(y, state[f"{name}.{i}.prelu2.weight"])
    expected = functional.linear(x.flatten(1), state["fc.weight"], state["fc.bias"])
    assert torch.allclose(small.raw(faces()), expected, atol=1e-5)
    assert torch.allclose(small(faces()), expected / expected.norm(dim=1, keepdim=True), atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 1e-4


def test_what_does_not_fit_is_refused(small: SphereFace) -> None:
    for shape in ((1, 3, 112, 112), (1, 3, 96, 112), (3, 112, 96)):
        with pytest.raises(InputError, match=r"reads \(B,3,112,96\)"):
            small(torch.zeros(shape))
    with pytest.raises(ConfigError, match="20 or 64"):
        SphereFace(layers=36)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="multiples of 16"):
        SphereFace(size=(112, 100))
