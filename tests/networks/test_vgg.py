"""VGG-19 as far as relu5_1: sizes by the paper's table, which layers the maps are, what the input must be."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.vgg import VGG19Features

#: Configuration E of the paper's Table 1 as far as conv5_1: a number is a 3x3 convolution's channels, 0 a max-pool.
TABLE = (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, 512)


@pytest.fixture(scope="module")
def narrow() -> VGG19Features:
    torch.manual_seed(0)
    return VGG19Features(width=4).eval().requires_grad_(False)


def test_counts() -> None:
    parameters, macs, inputs, side, convolutions = 0, 0, 3, 224, 0
    for outputs in TABLE:
        if outputs == 0:
            side //= 2
            continue
        parameters += (9 * inputs + 1) * outputs
        macs += 9 * inputs * outputs * side**2
        inputs, convolutions = outputs, convolutions + 1
    with torch.device("meta"):
        network = VGG19Features().eval()
        assert count_parameters(network) == parameters == 12_944_960
        assert count_macs(network, torch.empty(1, 3, 224, 224)) == macs
        assert f"{macs / 1e9:.3f}" == "18.121"
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 2 * convolutions == 26
    assert shapes["features.0.weight"] == (64, 3, 3, 3) and shapes["features.28.weight"] == (512, 512, 3, 3)


def test_maps_are_the_first_of_each_resolution_after_relu(narrow: VGG19Features) -> None:
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(2, 3, 48, 64, generator=generator)
    state, expected, place = narrow.state_dict(), [], 0
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    hidden, fresh = (picture - mean[:, None, None]) / std[:, None, None], True
    for outputs in TABLE:
        if outputs == 0:
            hidden, fresh, place = functional.max_pool2d(hidden, 2), True, place + 1
            continue
        weight, bias = (state[f"features.{place}.{part}"] for part in ("weight", "bias"))
        hidden = functional.conv2d(hidden, weight, bias, padding=1).clamp(min=0)
        expected += [hidden] if fresh else []
        fresh, place = False, place + 2
    found = narrow(picture)
    assert [tuple(x.shape[1:]) for x in found] == [(4, 48, 64), (8, 24, 32), (16, 12, 16), (32, 6, 8), (32, 3, 4)]
    assert narrow.channels == (4, 8, 16, 32, 32)
    for mine, wanted in zip(found, expected, strict=True):
        assert wanted.std() > 0
        torch.testing.assert_close(mine, wanted)


def test_fewer_taps_are_the_first_ones(narrow: VGG19Features) -> None:
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    every, reached = narrow(picture), []
    hook = narrow.features[10].register_forward_hook(lambda *_: reached.append(True))
    some = narrow(picture, taps=2)
    hook.remove()
    assert len(some) == 2 and all(torch.equal(a, b) for a, b in zip(some, every[:2], strict=True))
    assert not reached


def test_frozen_the_picture_still_gets_a_gradient(narrow: VGG19Features) -> None:
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    narrow(picture)[-1].sum().backward()
    assert picture.grad is not None and picture.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in narrow.parameters())


@pytest.mark.parametrize("shape", [(1, 3, 8, 64), (1, 1, 32, 32), (3, 32, 32)])
def test_other_shapes_are_refused(narrow: VGG19Features, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least 16"):
        narrow(torch.zeros(shape))


@pytest.mark.parametrize("taps", [0, 6])
def test_other_numbers_of_maps_are_refused(narrow: VGG19Features, taps: int) -> None:
    with pytest.raises(InputError, match="1 to 5"):
        narrow(torch.zeros(1, 3, 32, 32), taps=taps)
