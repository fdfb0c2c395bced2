"""SimSwap's generator: the release's size and names, and its function by another way of writing it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.simswap import SimSwapGenerator, frame_parameters, inject, style_parameters
from tests.networks.conftest import randomise_norms

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def identities(count: int, seed: int = 0, size: int = 12) -> Tensor:
    return functional.normalize(torch.randn(count, size, generator=torch.Generator().manual_seed(seed)), dim=1)


def targets(count: int, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side + 16, generator=torch.Generator().manual_seed(5))


@pytest.fixture(params=[False, True], ids=["224", "512"])
def small(request: pytest.FixtureRequest) -> SimSwapGenerator:
    torch.manual_seed(1)
    generator = SimSwapGenerator(deep=request.param, width=4, blocks=3, embedding_dim=12)
    randomise_norms(generator)
    return generator.eval()


class Frame(nn.Module):
    """What runs on every frame."""

    def __init__(self, generator: SimSwapGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, target: Tensor, styles: Tensor) -> Tensor:
        return self.generator.render(target, styles)


def test_size_of_the_224_model() -> None:
    with torch.device("meta"):
        generator, target, z = SimSwapGenerator().eval(), torch.empty(1, 3, 224, 224), torch.empty(1, 512)
        assert count_parameters(generator) == 55_051_779
        assert style_parameters(generator) == 9_455_616
        assert frame_parameters(generator) == 45_596_163
        whole = count_macs(generator, target, z)
        assert whole == 48_120_594_432  # 48.1206 G
        assert whole - count_macs(Frame(generator), target, torch.empty(1, 9, 2, 2, 512)) == 18 * 512 * 1024
        assert count_macs(generator, torch.empty(1, 3, 256, 256), z) / whole == pytest.approx(1.306, abs=5e-4)


def test_size_of_the_512_model() -> None:
    with torch.device("meta"):
        generator = SimSwapGenerator(deep=True).eval()
        assert count_parameters(generator) == 55_079_427
        assert style_parameters(generator) == 9_455_616
        macs = count_macs(generator, torch.empty(1, 3, 512, 512), torch.empty(1, 512))
        assert macs == 70_121_422_848  # 70.12 G


def test_state_has_the_names_of_the_released_file() -> None:
    with torch.device("meta"):
        state = SimSwapGenerator().state_dict()
    names = {f"{stage}.{i}.{part}" for stage, i in (("first_layer", 1), ("last_layer", 1)) for part in NORM[:2]}
    for level in (1, 2, 3):
        names |= {f"down{level}.0.{part}" for part in NORM[:2]} | {f"down{level}.1.{part}" for part in NORM}
        names |= {f"up{level}.1.{part}" for part in NORM[:2]} | {f"up{level}.2.{part}" for part in NORM}
    names |= {f"first_layer.2.{part}" for part in NORM}
    for i in range(9):
        for half in (1, 2):
            names |= {f"BottleNeck.{i}.conv{half}.1.{part}" for part in NORM[:2]}
            names |= {f"BottleNeck.{i}.style{half}.linear.{part}" for part in NORM[:2]}
    assert len(names) == 123
    assert set(state) == names
    assert state["first_layer.1.weight"].shape == (64, 3, 7, 7)
    assert state["BottleNeck.0.style1.linear.weight"].shape == (1024, 512)
    assert state["last_layer.1.weight"].shape == (3, 64, 7, 7)
    with torch.device("meta"):
        deep = set(SimSwapGenerator(deep=True).state_dict()) - names
    assert {name.split(".")[0] for name in deep} == {"down0", "up0"}


def reference(generator: SimSwapGenerator, x: Tensor, z: Tensor) -> Tensor:
    """The same network from its state alone, with styles made where they are used."""
    state = generator.state_dict()

    def convolve(x: Tensor, name: str, *, pad: int = 0, stride: int = 1, mirror: int = 0) -> Tensor:
        x = functional.pad(x, [mirror] * 4, mode="reflect") if mirror else x
        return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=pad, stride=stride)

    def norm_relu(x: Tensor, name: str) -> Tensor:
        scale = state[f"{name}.weight"] / torch.sqrt(state[f"{name}.running_var"] + 1e-5)
        shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale
        return torch.relu(x * scale[:, None, None] + shift[:, None, None])

    def inject(x: Tensor, name: str) -> Tensor:
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x * torch.rsqrt((x * x).mean(dim=(2, 3), keepdim=True) + 1e-8)
        style = z @ state[f"{name}.linear.weight"].T + state[f"{name}.linear.bias"]
        gamma, beta = style[:, : x.shape[1], None, None], style[:, x.shape[1] :, None, None]
        return x * (gamma + 1) + beta

    levels = (0, 1, 2, 3) if generator.deep else (1, 2, 3)
    x = norm_relu(convolve(x, "first_layer.1", mirror=3), "first_layer.2")
    for level in levels:
        x = norm_relu(convolve(x, f"down{level}.0", pad=1, stride=2), f"down{level}.1")
    for block in (f"BottleNeck.{i}" for i in range(3)):
        y = torch.relu(inject(convolve(x, f"{block}.conv1.1", mirror=1), f"{block}.style1"))
        x = x + inject(convolve(y, f"{block}.conv2.1", mirror=1), f"{block}.style2")
    for level in reversed(levels):
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = norm_relu(convolve(x, f"up{level}.1", pad=1), f"up{level}.2")
    return (torch.tanh(convolve(x, "last_layer.1", mirror=3)) + 1) / 2


@torch.no_grad()
def test_forward_and_render_compute_the_published_network(small: SimSwapGenerator) -> None:
    target, z = targets(2, 32), identities(2)
    expected = reference(small, target, z)
    assert expected.std() > 0.01
    assert torch.allclose(small(target, z), expected, atol=1e-5)
    styles = small.styles(z)
    assert styles.shape == (2, 3, 2, 2, 32)
    assert torch.equal(small.render(target, styles), small(target, z))
    # One identity serves all frames; the styles are made once.
    assert torch.allclose(small.render(target, small.styles(z[:1])), small(target, z[:1].expand(2, -1)), atol=1e-6)


@torch.no_grad()
def test_output_is_an_image_that_depends_on_identity_and_target(small: SimSwapGenerator) -> None:
    target, z = targets(1, 32), identities(2)
    image = small(target, z[:1])
    assert image.shape == target.shape
    assert image.min() >= 0 and image.max() <= 1
    assert (small(target, z[1:]) - image).abs().mean() > 1e-3
    assert (small(1 - target, z[:1]) - image).abs().mean() > 1e-4


def test_normalisation_has_the_published_epsilon() -> None:
    x = 1e-4 * torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    centred = x - x.mean(dim=(2, 3), keepdim=True)
    plain = torch.zeros(1, 2, 3, dtype=torch.float64)  # gamma and beta of 0 leave the normalised features
    expected = centred / torch.sqrt(centred.square().mean(dim=(2, 3), keepdim=True) + 1e-8)
    assert torch.allclose(inject(x, plain), expected, rtol=1e-6)
    assert 0.5 < float(expected.std()) < 0.9  # at this scale the epsilon shows


def test_both_inputs_get_gradients(small: SimSwapGenerator) -> None:
    target, z = targets(1, 32).requires_grad_(), identities(1).requires_grad_()
    small(target, z).square().mean().backward()
    assert target.grad is not None and target.grad.abs().sum() > 0
    assert z.grad is not None and z.grad.abs().sum() > 0


def test_shapes_that_do_not_fit_are_refused() -> None:
    generator = SimSwapGenerator(width=4, blocks=1, embedding_dim=12).eval()
    z = identities(1)
    wrong = (torch.zeros(1, 3, 20, 24), torch.zeros(1, 1, 16, 16), torch.zeros(3, 16, 16), torch.zeros(1, 3, 8, 16))
    for target in wrong:
        with pytest.raises(InputError, match="multiples of 8"):
            generator(target, z)
    with pytest.raises(InputError, match=r"\(B,12\)"):
        generator(targets(1), identities(1, size=8))
    with pytest.raises(InputError, match="styles for 3 targets"):
        generator(targets(3), identities(2))
    with pytest.raises(InputError, match="multiples of 16"):
        SimSwapGenerator(width=4, blocks=1, embedding_dim=12, deep=True)(torch.zeros(1, 3, 40, 40), z)
    with pytest.raises(ConfigError):
        SimSwapGenerator(blocks=0)
    with pytest.raises(ConfigError, match="one to three levels, got 4"):
        SimSwapGenerator(levels=4)


@pytest.mark.parametrize(("levels", "inner"), [(1, 8), (2, 16)])
def test_fewer_levels_inject_the_identity_into_larger_maps(levels: int, inner: int) -> None:
    generator = SimSwapGenerator(width=4, blocks=1, embedding_dim=12, levels=levels).eval()
    seen: list[tuple[int, ...]] = []
    generator.BottleNeck[0].register_forward_hook(lambda block, inputs, output: seen.append(tuple(output.shape)))
    result = generator(targets(2, side=16), identities(2))
    side = 16 // 2**levels
    assert result.shape == (2, 3, 16, 32) and seen == [(2, inner, side, 2 * side)]
    assert generator.stride == 2**levels and generator.styles(identities(1)).shape == (1, 1, 2, 2, inner)
    names = set(generator.state_dict())
    assert names < set(SimSwapGenerator(width=4, blocks=1, embedding_dim=12).state_dict())
    with pytest.raises(InputError, match=f"multiples of {2**levels}"):
        generator(torch.zeros(1, 3, 17, 16), identities(1))


def test_silenced_the_generator_knows_no_source(small: SimSwapGenerator) -> None:
    target = targets(2, side=32)
    assert not torch.equal(small(target, identities(2)), small(target, identities(2, seed=1)))
    small.silence_identity()
    assert torch.equal(small(target, identities(2)), small(target, identities(2, seed=1)))
    styles = small.styles(identities(1))
    assert bool((styles[:, :, 1, 0] == -1).all()) and bool((styles[:, :, 1, 1] == 0).all())
