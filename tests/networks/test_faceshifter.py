"""FaceShifter's AEI-Net: exact sizes of both open variants, its equations, and that every part of it matters."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.faceshifter import AEINet, AEINetConfig, IdentityStyles
from mfs_lib.networks.faceshifter_aad import AADBlock, AADLayer, AADOptions, AADStyle
from mfs_lib.networks.faceshifter_attributes import AttributeEncoder, attribute_channels
from tests.networks.conftest import randomise_norms

ID_DIM = 6
HIDDEN = (1024, 1024, 1024, 1024, 512, 256, 128, 64)
VARIANTS = {"taotaonice": AEINetConfig.taotaonice(id_dim=ID_DIM), "maum-ai": AEINetConfig.maum_ai(id_dim=ID_DIM)}


def narrow(variant: str) -> AEINetConfig:
    """A variant for images of 16 pixels; its first block keeps the number of channels, as blocks of the original do."""
    return dataclasses.replace(VARIANTS[variant], encoder_channels=(4, 6, 8), hidden_channels=(8, 8, 6, 4))


@pytest.fixture(params=list(VARIANTS))
def net(request: pytest.FixtureRequest) -> AEINet:
    torch.manual_seed(0)
    model = AEINet(narrow(request.param))
    enliven(model)
    return model.eval()


def enliven(model: nn.Module) -> None:
    """Random weights with which signals keep their strength from layer to layer, unlike those of torch's default."""
    randomise_norms(model)
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)


def inputs(count: int = 2, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(count, ID_DIM, generator=generator)
    return torch.rand(count, 3, 16, 16, generator=generator), functional.normalize(identity, dim=1)


def aad_layers(net: AEINet) -> list[AADLayer]:
    return [part for part in net.modules() if isinstance(part, AADLayer)]


@pytest.mark.parametrize(
    ("config", "parameters", "macs", "per_frame"),
    [
        (AEINetConfig.taotaonice(), 184_343_381, 31_018_164_224, 31_003_680_768),
        (AEINetConfig.taotaonice(id_dim=256), 177_101_653, 31_010_922_496, 31_003_680_768),
        (AEINetConfig.maum_ai(), 439_313_606, 110_820_753_408, 110_813_511_680),
        (AEINetConfig.maum_ai(id_dim=512), 446_555_334, 110_827_995_136, 110_813_511_680),
    ],
)
@torch.no_grad()
def test_exact_sizes(config: AEINetConfig, parameters: int, macs: int, per_frame: int) -> None:
    width = sum((2 if i == o else 3) * i for i, o in pairwise((*HIDDEN, 3)))  # of all AAD layers together
    with torch.device("meta"):
        net = AEINet(config).eval()
        target, identity = torch.empty(1, 3, 256, 256), torch.empty(1, config.aad.id_dim)
        assert count_parameters(net) == parameters
        assert count_macs(net, target, identity) == macs
        assert count_macs(net, target, net.styles(identity)) == per_frame
    # Two linear maps with biases for each AAD layer, and the first transposed convolution to 1024 x 2 x 2.
    assert net.identity_parameters() == (2 * width * (config.aad.id_dim + 1), 1024 * (4 * config.aad.id_dim + 1))
    assert macs - per_frame == 2 * width * config.aad.id_dim + 4 * 1024 * config.aad.id_dim


def test_printed_digits_and_halves() -> None:
    assert round(31_018_164_224 / 1e9, 3) == 31.018 and round(177_101_653 / 1e6, 2) == 177.10
    assert round(110_820_753_408 / 1e9, 3) == 110.821
    assert round(446_555_334 / 1e6, 2) == 446.56 and round(110_827_995_136 / 1e9, 2) == 110.83
    with torch.device("meta"):
        net = AEINet(AEINetConfig.maum_ai())
        assert count_parameters(AttributeEncoder(bias=False)) == 67_087_744
    assert count_parameters(net.encoder) == 67_092_800
    assert count_parameters(net.generator) == 372_220_806


@torch.no_grad()
def test_nearest_to_the_papers_video_count() -> None:
    aad = dataclasses.replace(AEINetConfig.maum_ai(id_dim=512).aad, mask_kernel=1)
    with torch.device("meta"):
        net = AEINet(dataclasses.replace(AEINetConfig.maum_ai(), aad=aad)).eval()
        assert count_parameters(net) - net.identity_parameters().linears == 350_291_526
        assert count_macs(net, torch.empty(1, 3, 256, 256), torch.empty(1, 512)) == 77_206_454_272


def test_attribute_maps_at_full_width() -> None:
    with torch.device("meta"):
        maps = AttributeEncoder().eval()(torch.empty(2, 3, 256, 256))
    channels = (1024, 2048, 1024, 512, 256, 128, 64, 64)
    assert [tuple(m.shape) for m in maps] == [(2, c, 2**k, 2**k) for k, c in enumerate(channels, start=1)]
    assert attribute_channels((32, 64, 128, 256, 512, 1024, 1024)) == channels


@torch.no_grad()
def test_attribute_maps_join_decoder_and_encoder_features(net: AEINet) -> None:
    target, _ = inputs()
    maps = net.encoder(target)
    first = net.encoder.down[0](target)
    second = net.encoder.down[1](first)
    torch.testing.assert_close(maps[1][:, 6:], second)
    torch.testing.assert_close(maps[2][:, 4:], first)
    torch.testing.assert_close(maps[2][:, :4], net.encoder.up[1](maps[1]))
    larger = functional.interpolate(maps[2], scale_factor=2, mode="bilinear", align_corners=True)
    torch.testing.assert_close(maps[3], larger)


@pytest.mark.parametrize("per_channel", [False, True])
def test_aad_is_the_written_equation(per_channel: bool) -> None:
    torch.manual_seed(0)
    layer = AADLayer(channels=3, attributes=4, options=AADOptions(id_dim=5, mask_per_channel=per_channel)).double()
    h, attributes, identity = (torch.randn(s, dtype=torch.float64) for s in ((2, 3, 4, 4), (2, 4, 4, 4), (2, 5)))
    got = layer(h, attributes, layer.style(identity))
    mean, var = h.mean(dim=(2, 3), keepdim=True), h.var(dim=(2, 3), keepdim=True, correction=0)
    hbar = (h - mean) / (var + 1e-5).sqrt()
    for y, x in ((0, 0), (1, 3), (2, 2)):
        at = attributes[:, :, y, x]
        gamma = at @ layer.gamma_att.weight[:, :, 0, 0].t() + layer.gamma_att.bias
        beta = at @ layer.beta_att.weight[:, :, 0, 0].t() + layer.beta_att.bias
        here = hbar[:, :, y, x]
        mask = torch.sigmoid(here @ layer.mask_conv.weight[:, :, 0, 0].t() + layer.mask_conv.bias)
        whose = (identity @ layer.gamma_id.weight.t() + layer.gamma_id.bias) * here
        whose = whose + identity @ layer.beta_id.weight.t() + layer.beta_id.bias
        torch.testing.assert_close(got[:, :, y, x], (1 - mask) * (gamma * here + beta) + mask * whose)


@torch.no_grad()
@pytest.mark.parametrize("outputs", [3, 5])
def test_block_is_the_written_sequence(outputs: int) -> None:
    torch.manual_seed(0)
    block = AADBlock(inputs=3, outputs=outputs, attributes=4, options=AADOptions(id_dim=5), bias=True)
    h, attributes = torch.randn(2, 3, 4, 4), torch.randn(2, 4, 4, 4)
    styles = block.styles(torch.randn(2, 5))

    def step(index: int, x: Tensor) -> Tensor:
        return block.conv[index](block.aad[index](x, attributes, styles[index]).clamp(min=0))

    skip = h if outputs == 3 else step(2, h)
    torch.testing.assert_close(block(h, attributes, styles), step(1, step(0, h)) + skip)
    assert len(block.aad) == len(block.conv) == len(styles) == (2 if outputs == 3 else 3)


@torch.no_grad()
def test_output_size_range_and_both_dependences(net: AEINet) -> None:
    target, identity = inputs()
    out = net(target, identity)
    assert out.image.shape == (2, 3, 16, 16) and len(out.attributes) == 4
    assert out.image.min() >= 0.0 and out.image.max() <= 1.0 and out.image.std() > 1e-3
    assert (net(target, identity.flip(0)).image - out.image).abs().max() > 1e-4
    assert (net(target.flip(0), identity).image - out.image).abs().max() > 1e-3


@torch.no_grad()
def test_ranges_follow_the_last_activation() -> None:
    torch.manual_seed(0)
    target, identity = inputs()
    tanh, sigmoid = (AEINet(narrow(v)).eval() for v in ("taotaonice", "maum-ai"))
    own = tanh.generator(tanh.encoder(2 * target - 1), identity)
    assert own.min() < -0.01
    torch.testing.assert_close(tanh(target, identity).image, (own + 1) / 2)
    torch.testing.assert_close(sigmoid(target, identity).image, sigmoid.generator(sigmoid.encoder(target), identity))


@torch.no_grad()
def test_styles_are_computed_once_and_reused(net: AEINet) -> None:
    net.double()
    target, identity = (given.double() for given in inputs(3))
    styles = net.styles(identity)
    assert styles.start.shape == (3, 8, 2, 2)
    assert [len(block) for block in styles.blocks] == [2, 3, 3, 3]
    expected = net(target, identity).image
    torch.testing.assert_close(net(target, styles).image, expected, rtol=0, atol=0)
    one = net.styles(identity[1:2])
    alone = torch.cat([net(frame[None], identity[1:2]).image for frame in target])
    torch.testing.assert_close(net(target, one).image, alone, rtol=0, atol=1e-12)


@torch.no_grad()
def test_every_aad_layer_matters(net: AEINet) -> None:
    target, identity = inputs(1)
    other = functional.normalize(identity.flip(1) + 0.3, dim=1)
    styles, others = net.styles(identity), net.styles(other)
    attributes = net.encoder(target)
    expected = net.generator(attributes, styles)
    for i, block in enumerate(styles.blocks):
        for j in range(len(block)):
            changed = (*block[:j], others.blocks[i][j], *block[j + 1 :])
            swapped = IdentityStyles(styles.start, (*styles.blocks[:i], changed, *styles.blocks[i + 1 :]))
            assert (net.generator(attributes, swapped) - expected).abs().max() > 1e-6, (i, j)
    for layer in aad_layers(net):
        for part in (layer.gamma_att, layer.beta_att, layer.mask_conv):
            kept = part.weight.clone()
            part.weight.zero_()
            assert (net.generator(attributes, styles) - expected).abs().max() > 1e-6
            part.weight.copy_(kept)
    for i in range(len(attributes)):
        shifted = tuple(m + 0.5 if i == k else m for k, m in enumerate(attributes))
        assert (net.generator(shifted, styles) - expected).abs().max() > 1e-6


@torch.no_grad()
def test_masks_lie_between_identity_and_attributes(net: AEINet) -> None:
    masks: dict[AADLayer, Tensor] = {}

    def record(layer: nn.Module, args: tuple[Tensor, Tensor, AADStyle]) -> None:
        assert isinstance(layer, AADLayer)
        masks[layer] = layer.mask(layer.norm(args[0]))

    for layer in aad_layers(net):
        layer.register_forward_pre_hook(record)
    net(*inputs())
    assert len(masks) == 11
    for layer, mask in masks.items():
        assert mask.shape[1] == (layer.mask_conv.in_channels if net.config.aad.mask_per_channel else 1)
        assert mask.min() > 0.0 and mask.max() < 1.0 and mask.std() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("identity_only", [True, False])
def test_a_full_mask_takes_one_side_only(net: AEINet, identity_only: bool) -> None:
    for layer in aad_layers(net):
        layer.mask_conv.weight.zero_()
        layer.mask_conv.bias.fill_(200.0 if identity_only else -200.0)
    target, identity = inputs(1)
    other_target, other = inputs(1, seed=7)
    styles = net.styles(identity)
    image = net(target, styles).image
    by_target = (net(other_target, styles).image - image).abs().max()
    # `start` stays: only the styles of the AAD layers are exchanged.
    by_style = (net(target, styles._replace(blocks=net.styles(other).blocks)).image - image).abs().max()
    still, moved = (by_target, by_style) if identity_only else (by_style, by_target)
    assert still == 0.0
    assert moved > 1e-3


def test_gradients_reach_every_parameter(net: AEINet) -> None:
    net.double()
    target, identity = inputs()
    (net(target.double(), identity.double()).image * torch.rand(2, 3, 16, 16, dtype=torch.float64)).sum().backward()
    # Instance normalisation removes what is constant over a channel, and with it the bias of the first layer.
    dead = {"generator.start.bias"} if net.config.aad.norm == "instance" else set()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert (parameter.grad.abs().max() > 1e-10) == (name not in dead), name


def test_it_trains_on_batches(net: AEINet) -> None:
    net.train()
    target, identity = inputs(3)
    net(target, identity).image.mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_biases_of_the_variants() -> None:
    with torch.device("meta"):
        tao, maum = AEINet(narrow("taotaonice")), AEINet(narrow("maum-ai"))
    for model, wanted in ((tao, False), (maum, True)):
        layers = [*model.encoder.modules(), *(c for b in model.generator.blocks for c in b.conv)]
        biases = {m.bias is not None for m in layers if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}
        assert biases == {wanted}
        assert all(m.bias is not None for a in aad_layers(model) for m in a.modules() if isinstance(m, nn.Conv2d))


def test_wrong_shapes_are_refused(net: AEINet) -> None:
    target, identity = inputs(2)
    for shape in ((2, 3, 32, 32), (2, 1, 16, 16), (3, 16, 16)):
        with pytest.raises(InputError, match="16, 16"):
            net(torch.rand(shape), identity)
    with pytest.raises(InputError, match="identities"):
        net(target, identity[:, :4])
    with pytest.raises(InputError, match="identities"):
        net(target, identity[0])
    with pytest.raises(InputError, match="3 identities for 2 targets"):
        net(target, inputs(3)[1])
    with pytest.raises(InputError, match="4 attribute maps"):
        net.generator(net.encoder(target)[:3], identity)
    with pytest.raises(InputError, match="multiples of 8"):
        net.encoder(torch.rand(1, 3, 12, 16))


def test_configurations_are_checked() -> None:
    for wrong in ({"id_dim": 0}, {"kernel": 2}, {"mask_kernel": 0}, {"norm": "layer"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            AADOptions(**wrong)  # type: ignore[arg-type]
    for wrong in ({"output": "relu"}, {"encoder_channels": (4,)}, {"hidden_channels": (8, 8)}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            AEINetConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        AEINetConfig().output = "sigmoid"  # type: ignore[misc]
    assert AEINetConfig() == AEINetConfig.taotaonice() and AEINetConfig().size == 256
