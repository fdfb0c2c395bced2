"""FSGAN's generators and segmentation: exact sizes, the release's key names, scales, skips and shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks import fsgan
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.fsgan import BUILDERS, MultiScaleResUNet
from mfs_lib.networks.fsgan_segmentation import SegmentationUNet, segmentation
from tests.networks.conftest import randomise_norms

# name: parameters, multiply-accumulates at 256
SIZES = {
    "Gr": (76_003_840, 305_097_867_264),
    "Gr v1": (92_012_928, 268_506_759_168),
    "Gc": (74_178_688, 245_291_286_528),
    "Gb": (74_235_136, 247_140_974_592),
}
SEGMENTATION = {1: (28_950_851, 48_175_775_744), 4: (1_812_563, 3_034_578_944)}


def enliven(model: nn.Module) -> None:
    """Random weights with which signals keep their strength from layer to layer, unlike those of torch's default."""
    randomise_norms(model)
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)


def small(*, heads: tuple[int, ...] = (3,), flat_layers: tuple[int, ...] = (1, 1, 0, 2)) -> MultiScaleResUNet:
    torch.manual_seed(0)
    model = MultiScaleResUNet(inputs=4, heads=heads, width=6, flat_layers=flat_layers)
    enliven(model)
    return model.eval()


def picture(*, channels: int = 4, size: int = 32, seed: int = 1) -> Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("name", list(SIZES))
def test_exact_sizes(name: str) -> None:
    with torch.device("meta"):
        net = BUILDERS[name]().eval()
        x = torch.empty(1, net.inputs, 256, 256)
        assert (count_parameters(net), count_macs(net, x)) == SIZES[name]
        assert [tuple(y.shape) for y in net(x)] == [(1, 3, 256, 256)] * (2 if name == "Gr v1" else 1)


def test_exact_size_with_68_landmarks() -> None:
    with torch.device("meta"):
        net = fsgan.reenactment(landmarks=68).eval()
        assert net.inputs == 71
        assert count_parameters(net) == 75_439_360
        assert count_macs(net, torch.empty(1, 71, 256, 256)) == 286_600_986_624


@pytest.mark.parametrize("divide", list(SEGMENTATION))
def test_exact_sizes_of_the_segmentation(divide: int) -> None:
    with torch.device("meta"):
        net = segmentation(divide=divide).eval()
        x = torch.empty(1, 3, 256, 256)
        assert (count_parameters(net), count_macs(net, x)) == SEGMENTATION[divide]
        assert net(x).shape == (1, 3, 256, 256)


def test_printed_digits_and_sums() -> None:
    giga = {name: round(macs / 1e9, 2) for name, (_, macs) in SIZES.items()}
    assert giga == {"Gr": 305.10, "Gr v1": 268.51, "Gc": 245.29, "Gb": 247.14}
    assert round(268_506_759_168 / 1e9, 1) == 268.5
    assert round(75_439_360 / 1e6, 2) == 75.44 and round(286_600_986_624 / 1e9, 1) == 286.6
    assert [round(macs / 1e9, 2) for _, macs in SEGMENTATION.values()] == [48.18, 3.03]
    parameters = sum(SIZES[name][0] for name in ("Gr", "Gc", "Gb"))
    macs = sum(SIZES[name][1] for name in ("Gr", "Gc", "Gb"))
    assert round(parameters / 1e6, 2) == 224.42
    assert round((parameters + SEGMENTATION[4][0]) / 1e6, 2) == 226.23  # the paper's Table 1 says 226
    assert round((parameters + SEGMENTATION[1][0]) / 1e6, 1) == 253.4
    assert round(macs / 1e9, 1) == 797.5
    assert round((macs + 2 * SIZES["Gr"][1]) / 1e9, 1) == 1407.7  # three views of the source


def test_key_names_are_the_releases() -> None:
    with torch.device("meta"):
        one, two, s = fsgan.inpainting().state_dict(), fsgan.reenactment_v1().state_dict(), segmentation().state_dict()
    for key, shape in {
        "base.in_conv.1.weight": (256, 4, 7, 7),
        "base.in_conv.2.running_mean": (256,),
        "base.out_conv.1.weight": (3, 256, 7, 7),
        "base.inner.down_block.model.1.weight": (512, 256, 3, 3),
        "base.inner.down_block.model.5.weight": (512, 512, 3, 3),
        "base.inner.up_block.model.1.weight": (256, 512, 3, 3),
        "base.inner.submodule.submodule.flat_block.model.1.model.5.weight": (1024, 1024, 3, 3),
        "enhancer1.in_conv.1.weight": (128, 4, 7, 7),
        "enhancer1.up_block.model.1.weight": (128, 256, 3, 3),
        "enhancer1.flat_block.model.0.model.2.bias": (128,),
        "enhancer1.out_conv.1.weight": (3, 128, 7, 7),
    }.items():
        assert one[key].shape == shape, key
    assert not [key for key in one if key.endswith(".1.bias")]
    assert {key.split(".")[1] for key in two if "out_conv" in key} == {"out_conv1", "out_conv2"}
    assert not [key for key in two if key.startswith("base.inner.flat_block")]
    assert s["conv1.conv1.0.weight"].shape == (64, 3, 3, 3) and s["center.conv2.1.running_var"].shape == (1024,)
    assert s["up_concat4.conv1d.weight"].shape == (512, 1024, 1, 1)
    assert s["up_concat1.conv.conv1.0.weight"].shape == (64, 128, 3, 3) and s["final.weight"].shape == (3, 64, 1, 1)


@torch.no_grad()
def test_both_scales_and_every_input_channel_matter() -> None:
    net, x = small(), picture()
    (image,) = net(x)
    assert image.shape == (2, 3, 32, 32)
    assert -1.0 <= image.min() < -0.01 and 0.01 < image.max() <= 1.0
    half = fsgan.half_size(x)
    torch.testing.assert_close(net(x, half)[0], image)
    assert (net(x, half.flip(0))[0] - image).abs().max() > 1e-3
    assert (net(x.flip(0), half)[0] - image).abs().max() > 1e-3
    for channel in range(4):
        changed = x.clone()
        changed[:, channel] *= -1
        assert (net(changed)[0] - image).abs().max() > 1e-3


@torch.no_grad()
def test_heads_differ_and_the_base_has_its_own() -> None:
    net, x = small(heads=(3, 2)), picture()
    image, labels = net(x)
    assert image.shape == (2, 3, 32, 32) and labels.shape == (2, 2, 32, 32)
    assert (image[:, :2] - labels).abs().max() > 1e-3
    coarse = net.coarse(fsgan.half_size(x))
    assert [tuple(y.shape) for y in coarse] == [(2, 3, 16, 16), (2, 2, 16, 16)]
    net.base.out_conv1[1].weight.zero_()  # type: ignore[index,union-attr,operator]
    torch.testing.assert_close(net(x)[0], image)
    assert net.coarse(fsgan.half_size(x))[0].abs().max() == 0.0


@torch.no_grad()
def test_skips_are_added_at_every_level() -> None:
    net = small(flat_layers=(0, 0, 0, 0))
    level: nn.Module = net.base.inner
    channels = 12
    while level.submodule is not None:
        x = torch.randn(1, channels, 8, 8)
        below = level.up_block(level.submodule(level.down_block(x)))
        torch.testing.assert_close(level(x), x + below)
        assert below.abs().max() > 1e-3
        level, channels = level.submodule, 2 * channels
    assert channels == 48
    x = torch.randn(1, channels, 8, 8)
    torch.testing.assert_close(level(x), x)


@torch.no_grad()
def test_flat_blocks_are_residual_with_an_activation_after_the_sum() -> None:
    torch.manual_seed(0)
    block = fsgan.FlatBlock(channels=3, layers=1).eval()
    enliven(block)
    x = torch.randn(1, 3, 6, 6)
    inside = block.model[0].model(x)  # type: ignore[operator]
    assert inside.min() < 0
    torch.testing.assert_close(block(x), (x + inside).clamp(min=0))


@torch.no_grad()
def test_upsampling_does_not_align_corners() -> None:
    block = fsgan.UpBlock(inputs=2, outputs=3).eval()
    x = torch.rand(1, 2, 4, 4)
    wide = functional.interpolate(x, size=(8, 8), mode="bilinear", align_corners=False)
    padded = functional.pad(wide, (1, 1, 1, 1), mode="reflect")
    expected = functional.conv2d(padded, block.model[1].weight)  # type: ignore[arg-type]
    torch.testing.assert_close(block(x), functional.relu(expected / (1 + 1e-5) ** 0.5))


def test_half_size_is_a_mean_that_leaves_out_the_padding() -> None:
    x = picture(size=8)
    half = fsgan.half_size(x)
    assert half.shape == (2, 4, 4, 4)
    torch.testing.assert_close(half[:, :, 1, 2], x[:, :, 1:4, 3:6].mean(dim=(2, 3)))
    torch.testing.assert_close(half[:, :, 0, 0], x[:, :, :2, :2].mean(dim=(2, 3)))


def test_channels_stop_at_1024() -> None:
    with torch.device("meta"):
        net = MultiScaleResUNet(inputs=3, width=256, flat_layers=(0, 0, 1, 1))
    assert net.base.inner.submodule is not None and net.base.inner.submodule.submodule is not None
    assert net.state_dict()["base.inner.submodule.submodule.flat_block.model.0.model.1.weight"].shape[0] == 1024


def test_gradients_reach_every_parameter() -> None:
    net, x = small(heads=(3, 3)), picture()
    outputs = (*net(x), *net.coarse(fsgan.half_size(x)))
    sum((y * torch.rand_like(y)).sum() for y in outputs).backward()  # type: ignore[union-attr]
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_wrong_shapes_and_options_are_refused() -> None:
    net = small()
    for shape in ((2, 3, 32, 32), (2, 4, 36, 32), (2, 4, 8, 8), (4, 32, 32)):
        with pytest.raises(InputError, match="multiples of 8 from 16 on"):
            net(torch.rand(shape))
    with pytest.raises(InputError, match="half-size"):
        net(picture(), picture())
    with pytest.raises(InputError, match="multiples of 8"):
        net.coarse(picture(channels=3))
    assert net(picture(size=16))[0].shape == (2, 3, 16, 16)
    with pytest.raises(ConfigError, match="flat_layers"):
        MultiScaleResUNet(inputs=3, flat_layers=(2,))
    with pytest.raises(ConfigError, match="heads"):
        MultiScaleResUNet(inputs=3, heads=())


@pytest.fixture
def unet() -> SegmentationUNet:
    torch.manual_seed(0)
    model = SegmentationUNet(channels=(4, 6, 8, 10, 12))
    enliven(model)
    return model.eval()


@torch.no_grad()
def test_segmentation_logits(unet: SegmentationUNet) -> None:
    x = picture(channels=3)
    logits = unet(x)
    assert logits.shape == (2, 3, 32, 32)
    assert (unet(x.flip(0)) - logits).abs().max() > 1e-3
    assert unet(picture(channels=3, size=48)).shape == (2, 3, 48, 48)
    inner = {name: layer for name, layer in unet.named_children() if name.startswith("conv")}
    for name, layer in inner.items():
        hook = layer.register_forward_hook(lambda *args: args[2] * 0.5)
        assert (unet(x) - logits).abs().max() > 1e-4, name
        hook.remove()


@torch.no_grad()
def test_segmentation_pools_maxima_and_joins_encoder_features_first(unet: SegmentationUNet) -> None:
    features: dict[str, Tensor] = {}
    unet.conv3.register_forward_hook(lambda _, args, out: features.update(finer=out))
    unet.conv4.register_forward_pre_hook(lambda _, args: features.update(pooled=args[0]))
    unet.conv4.register_forward_hook(lambda _, args, out: features.update(encoder=out))
    unet.center.register_forward_hook(lambda _, args, out: features.update(center=out))
    unet.up_concat4.conv.register_forward_hook(lambda _, args, out: features.update(joined=args[0]))
    unet(picture(channels=3))
    windows = features["finer"].unflatten(3, (4, 2)).unflatten(2, (4, 2))
    torch.testing.assert_close(features["pooled"], windows.amax(dim=(3, 5)))
    torch.testing.assert_close(features["joined"][:, :10], features["encoder"])
    larger = functional.interpolate(features["center"], scale_factor=2, mode="bilinear", align_corners=True)
    torch.testing.assert_close(features["joined"][:, 10:], unet.up_concat4.conv1d(larger))


def test_segmentation_gradients_and_refusals(unet: SegmentationUNet) -> None:
    logits = unet(picture(channels=3))
    (logits * torch.rand_like(logits)).sum().backward()
    for name, parameter in unet.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    for shape in ((2, 4, 32, 32), (2, 3, 24, 32), (3, 32, 32)):
        with pytest.raises(InputError, match="multiples of 16"):
            unet(torch.rand(shape))
    with pytest.raises(ConfigError, match="divide"):
        segmentation(divide=3)
    with pytest.raises(ConfigError, match="five"):
        SegmentationUNet(channels=(4, 8))
