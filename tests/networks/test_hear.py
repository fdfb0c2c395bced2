"""HEAR-Net: exact sizes of both open variants, what it reads and where its features go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.hear import HEARNet, Variant
from tests.networks.conftest import randomise_norms

NARROW = (4, 6, 8)


@pytest.fixture(params=["taotaonice", "maum-ai"])
def net(request: pytest.FixtureRequest) -> HEARNet:
    torch.manual_seed(0)
    model = HEARNet(variant=request.param, channels=NARROW)
    randomise_norms(model)
    return model.eval()


def images(count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(count, 3, 16, 24, generator=generator) for _ in range(3)]


@pytest.mark.parametrize(
    ("variant", "parameters", "macs", "giga"),
    [("taotaonice", 16_663_043, 5_695_864_832, 5.696), ("maum-ai", 6_269_257, 1_577_058_304, 1.577)],
)
def test_exact_sizes(variant: Variant, parameters: int, macs: int, giga: float) -> None:
    with torch.device("meta"):
        net = HEARNet(variant=variant).eval()
        image = torch.empty(1, 3, 256, 256)
        assert count_parameters(net) == parameters
        assert count_macs(net, image, image, image) == macs
        assert net(image, image, image).shape == image.shape
    assert round(macs / 1e9, 3) == giga


@torch.no_grad()
def test_the_result_depends_on_each_image(net: HEARNet) -> None:
    given = images()
    result = net(*given)
    assert result.shape == (2, 3, 16, 24)
    for i in range(3):
        changed = [image.flip(0) if i == k else image for k, image in enumerate(given)]
        assert (net(*changed) - result).abs().max() > 1e-3


@torch.no_grad()
def test_only_the_error_of_the_reconstruction_is_read(net: HEARNet) -> None:
    swap, target, reconstruction = images()
    shifted = net(swap, target + 0.1, reconstruction + 0.1)
    torch.testing.assert_close(shifted, net(swap, target, reconstruction), rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_first_layer_sees_swap_and_error_in_the_variants_range(net: HEARNet) -> None:
    seen: list[Tensor] = []
    net.down[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    swap, target, reconstruction = images()
    net(swap, target, reconstruction)
    own = [swap, target - reconstruction] if not net.signed else [2 * swap - 1, 2 * (target - reconstruction)]
    torch.testing.assert_close(seen[0], torch.cat(own, dim=1))


@torch.no_grad()
def test_ranges() -> None:
    torch.manual_seed(0)
    bounded, free = (HEARNet(variant=v, channels=NARROW) for v in ("taotaonice", "maum-ai"))  # type: ignore[arg-type]
    for model in (bounded, free):
        last = [p for p in model.last.modules() if isinstance(p, nn.Conv2d | nn.BatchNorm2d)][-1]
        last.weight.mul_(20)
    result = bounded(*images())
    assert 0.0 <= result.min() < 0.05 and 0.95 < result.max() <= 1.0
    # Nothing bounds maum-ai's output; its leaky ReLU makes what is below zero ten times smaller.
    unbounded = free(*images())
    assert unbounded.max() > 10.0 and -10.0 < unbounded.min() < 0.0


@torch.no_grad()
def test_order_in_which_features_are_joined(net: HEARNet) -> None:
    features: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module) -> None:
        layer.register_forward_hook(lambda _, args, out: features.update({name: out, f"into {name}": args[0]}))

    keep("encoder", net.down[1])
    keep("decoder", net.up[0])
    keep("next", net.up[1])
    net(*images())
    first, second = ("encoder", "decoder") if net.signed else ("decoder", "encoder")
    torch.testing.assert_close(features["into next"], torch.cat((features[first], features[second]), dim=1))


def test_gradients_reach_every_parameter(net: HEARNet) -> None:
    (net(*images()) * torch.rand(2, 3, 16, 24)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_wrong_shapes_and_options_are_refused(net: HEARNet) -> None:
    swap, target, reconstruction = images()
    with pytest.raises(InputError, match="multiples of 8"):
        net(*(torch.rand(1, 3, 12, 16) for _ in range(3)))
    with pytest.raises(InputError, match="swap"):
        net(swap[:1], target, reconstruction)
    with pytest.raises(InputError, match="reconstruction"):
        net(swap, target, reconstruction[:, :1])
    with pytest.raises(InputError, match="one shape"):
        net(*(torch.rand(1, 1, 16, 16) for _ in range(3)))
    with pytest.raises(InputError, match="one shape"):
        net(*(torch.rand(3, 16, 16) for _ in range(3)))
    with pytest.raises(ConfigError, match="variant"):
        HEARNet(variant="original")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="channels"):
        HEARNet(channels=(4,))
