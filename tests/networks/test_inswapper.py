"""The rebuilt inswapper: size, names and the function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.inswapper import AdaIN, Inswapper, source_latent


@pytest.fixture
def small() -> Inswapper:
    torch.manual_seed(5)
    return Inswapper(width=4, blocks=2, latent_dim=12).eval()


def latents(count: int) -> Tensor:
    return functional.normalize(torch.randn(count, 12, generator=torch.Generator().manual_seed(0)), dim=1)


def targets(count: int) -> Tensor:
    return torch.rand(count, 3, 32, 24, generator=torch.Generator().manual_seed(1))


def test_size() -> None:
    with torch.device("meta"):
        network = Inswapper()
        assert count_parameters(network) == 138_292_739
        macs = count_macs(network, torch.empty(1, 3, 128, 128), torch.empty(1, 512))
        assert macs == 174_575_321_088  # 174.58 G


def test_names_are_those_of_the_public_code() -> None:
    with torch.device("meta"):
        state = Inswapper().state_dict()
    layers = [f"down.{i}" for i in (0, 2, 4, 6)] + [f"up.{i}" for i in (1, 4, 6, 8)]
    layers += [f"style_blocks.{i}.conv{n}.{part}" for i in range(6) for n in (1, 2) for part in ("conv", "adain.style")]
    assert set(state) == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert state["style_blocks.0.conv1.adain.style.weight"].shape == (2048, 512)
    assert state["up.8.weight"].shape == (3, 128, 7, 7)


@torch.no_grad()
def test_swap_layer_by_layer(small: Inswapper) -> None:
    state, z = small.state_dict(), latents(2)

    def convolve(x: Tensor, name: str, stride: int = 1, mirror: bool = False) -> Tensor:
        x = functional.pad(x, [3] * 4, mode="reflect") if mirror else functional.pad(x, [1] * 4)
        return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=stride)

    def styled(x: Tensor, name: str) -> Tensor:
        y = convolve(x, f"{name}.conv")
        variance, mean = torch.var_mean(y, dim=(2, 3), keepdim=True, correction=0)
        style = functional.linear(z, state[f"{name}.adain.style.weight"], state[f"{name}.adain.style.bias"])
        gamma, beta = style[:, : y.shape[1], None, None], style[:, y.shape[1] :, None, None]
        return gamma * (y - mean) / torch.sqrt(variance + 1e-6) + beta

    x = targets(2)
    for i, stride in ((0, 1), (2, 1), (4, 2), (6, 2)):
        x = functional.leaky_relu(convolve(x, f"down.{i}", stride, mirror=i == 0), 0.2)
    for i in range(2):
        block = f"style_blocks.{i}"
        x = x + styled(torch.relu(styled(x, f"{block}.conv1")), f"{block}.conv2")
    for i in (1, 4, 6):
        if i != 6:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = functional.leaky_relu(convolve(x, f"up.{i}"), 0.2)
    expected = (torch.tanh(convolve(x, "up.8", mirror=True)) + 1) / 2
    assert expected.std() > 1e-3
    assert torch.allclose(small(targets(2), z), expected, atol=1e-5)


@torch.no_grad()
def test_normalisation_has_the_published_epsilon() -> None:
    torch.manual_seed(7)
    adain = AdaIN(channels=3, latent_dim=12).double()
    x, z = 1e-3 * torch.randn(1, 3, 8, 8, dtype=torch.float64), latents(1).double()
    gamma, beta = adain.style(z)[:, :, None, None].chunk(2, dim=1)
    variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True, correction=0)
    assert torch.allclose(adain(x, z), gamma * (x - mean) / torch.sqrt(variance + 1e-6) + beta, rtol=1e-6)


@torch.no_grad()
def test_output_depends_on_latent_and_target(small: Inswapper) -> None:
    image = small(targets(1), latents(1))
    assert image.shape == (1, 3, 32, 24)
    assert image.min() >= 0 and image.max() <= 1
    assert (small(targets(1), latents(2)[1:]) - image).abs().mean() > 1e-4
    assert (small(1 - targets(1), latents(1)) - image).abs().mean() > 1e-4
    both = small(targets(2), latents(1))
    assert torch.allclose(both, small(targets(2), latents(1).expand(2, -1)), atol=1e-6)


def test_latent_is_the_mapped_identity_of_unit_length() -> None:
    embedding, emap = 7.0 * latents(3), torch.randn(12, 5, generator=torch.Generator().manual_seed(2))
    latent = source_latent(embedding, emap)
    assert torch.allclose(latent.norm(dim=1), torch.ones(3))
    row = (embedding[1] / embedding[1].norm()) @ emap
    assert torch.allclose(latent[1], row / row.norm(), atol=1e-6)
    with pytest.raises(InputError, match="don't fit"):
        source_latent(embedding, emap.T)


def test_what_does_not_fit_is_refused(small: Inswapper) -> None:
    for shape in ((1, 3, 30, 32), (3, 32, 32), (1, 4, 32, 32), (1, 3, 4, 32)):
        with pytest.raises(InputError, match="multiples of 4"):
            small(torch.zeros(shape), latents(1))
    with pytest.raises(InputError, match="latent"):
        small(targets(3), latents(2))
    with pytest.raises(InputError, match="latent"):
        small(targets(1), latents(1)[:, :5])
    with pytest.raises(ConfigError):
        Inswapper(blocks=0)
