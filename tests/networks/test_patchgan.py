"""Discriminators of patches: exact sizes of the three systems, values by hand, and each option."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.patchgan import (
    MultiScalePatchGAN,
    PatchGAN,
    fsgan_discriminators,
    image_pyramid,
    mobilefsgan_discriminators,
    simswap_discriminators,
)


def _sides(maps: list[Tensor]) -> list[int]:
    assert all(one.shape[2] == one.shape[3] for one in maps)
    return [one.shape[2] for one in maps]


def test_simswap() -> None:
    with torch.device("meta"):
        both = simswap_discriminators().eval()
        image = torch.empty(1, 3, 224, 224)
        large, small = both.features(image_pyramid(image))
        macs = count_macs(both.scales[0], image)
    assert [count_parameters(scale) for scale in both.scales] == [6_962_369] * 2
    assert macs == 1_981_677_568
    assert round(macs / 1e9, 3) == 1.982
    assert _sides(large) == [112, 56, 28, 14, 13, 12]
    assert [one.shape[1] for one in large] == [64, 128, 256, 512, 512, 1]
    assert _sides(small) == [56, 28, 14, 7, 6, 5]


def test_fsgan() -> None:
    with torch.device("meta"):
        both = fsgan_discriminators().eval()
        scores = both(image_pyramid(torch.empty(1, 3, 256, 256)))
    assert [count_parameters(scale) for scale in both.scales] == [2_766_529] * 2
    assert [tuple(one.shape) for one in scores] == [(1, 1, 35, 35), (1, 1, 19, 19)]
    assert [layer.out_channels for layer in both.scales[0].layers] == [64, 128, 256, 512]
    assert all(scale.sigmoid for scale in both.scales)


def test_mobilefsgan() -> None:
    with torch.device("meta"):
        three = mobilefsgan_discriminators().eval()
        images = [torch.empty(1, 3, side, side) for side in (256, 128, 64)]
        macs = count_macs(three, images)
        maps = three.features(images)
    assert [count_parameters(scale) for scale in three.scales] == [702_641] * 3
    assert len(three.state_dict()) == 132
    assert macs == 405_690_624
    assert round(macs / 1e9, 3) == 0.406
    assert [_sides(one)[-1] for one in maps] == [19, 11, 7]
    assert [one.shape[1] for one in maps[0]] == [16, 32, 64, 128, 256, 1]


def test_values_by_hand() -> None:
    torch.manual_seed(0)
    network = PatchGAN(channels=(4, 6, 8), strided=2, padding=1).eval()
    state = network.state_dict()
    for index in (1, 2):
        state[f"norms.{index}.running_mean"].normal_()
        state[f"norms.{index}.running_var"].uniform_(0.5, 2.0)
    image = torch.randn(2, 3, 32, 32)
    x, expected = image, []
    for index, stride in enumerate((2, 2, 1)):
        x = F.conv2d(x, state[f"layers.{index}.weight"], state[f"layers.{index}.bias"], stride=stride, padding=1)
        if index:
            x = F.batch_norm(x, state[f"norms.{index}.running_mean"], state[f"norms.{index}.running_var"])
        x = F.leaky_relu(x, 0.2)
        expected.append(x)
    expected.append(F.conv2d(x, state["last.weight"], state["last.bias"], padding=1))
    with torch.no_grad():
        maps, scores = network.features(image), network(image)
    for one, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(scores, expected[-1])
    assert scores.std() > 0


def test_sigmoid_squashes_the_same_scores() -> None:
    plain, squashed = PatchGAN(channels=(4, 8), strided=1), PatchGAN(channels=(4, 8), strided=1, sigmoid=True)
    squashed.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(squashed(image), torch.sigmoid(plain(image)))


def test_spectral_norm_bounds_every_kernel() -> None:
    torch.manual_seed(0)
    network = PatchGAN(channels=(4, 8), strided=1, spectral=True)
    with torch.no_grad():
        for layer in (*network.layers, network.last):
            layer.parametrizations.weight.original.mul_(50.0)
        for _ in range(30):  # the power iteration follows in training mode
            network(torch.randn(2, 3, 16, 16))
    network.eval()
    for layer in (*network.layers, network.last):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.02)


def test_options_change_what_they_say() -> None:
    bare = PatchGAN(channels=(4, 8), strided=2, norm="none", inputs=1, last_kernel=3, last_padding=1, padding=1)
    assert [name for name, _ in bare.named_buffers()] == []
    assert bare.last.weight.shape == (1, 8, 3, 3)
    assert bare(torch.randn(2, 1, 32, 32)).shape == (2, 1, 8, 8)
    image = torch.randn(2, 3, 16, 16)
    torch.manual_seed(0)
    of_each = PatchGAN(channels=(4, 8), strided=2, norm="instance")
    maps = of_each.features(image)[1]
    torch.testing.assert_close(maps, torch.cat([of_each.features(one[None])[1] for one in image]))
    # The first layer is never normalised: scaling picture and bias scales its output.
    of_all = PatchGAN(channels=(4, 8), strided=2)
    of_all.layers[0].bias.data.zero_()
    torch.testing.assert_close(of_all.features(image * 3)[0], of_all.features(image)[0] * 3)


def test_pyramid_does_not_average_the_border_in() -> None:
    ones = image_pyramid(torch.ones(1, 3, 32, 32), scales=3)
    assert [one.shape[2] for one in ones] == [32, 16, 8]
    assert all(torch.equal(one, torch.ones_like(one)) for one in ones)
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    assert image_pyramid(ramp)[1][0, 0, 0].tolist() == [0.5, 2.0, 4.0, 6.0]


def test_each_scale_sees_its_own_picture() -> None:
    torch.manual_seed(0)
    both = MultiScalePatchGAN([PatchGAN(channels=(4, 8), strided=2) for _ in range(2)]).eval()
    images = [torch.randn(1, 3, 32, 32), torch.randn(1, 3, 16, 16)]
    scores = both(images)
    changed = both([images[0], images[1] + torch.randn(1, 3, 16, 16)])
    assert torch.equal(scores[0], changed[0])
    assert not torch.equal(scores[1], changed[1])
    torch.testing.assert_close(scores[1], both.scales[1](images[1]))
    assert not torch.allclose(both.scales[0](images[1]), scores[1])


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="stride 2"):
        PatchGAN(channels=(4, 8), strided=3)
    with pytest.raises(ConfigError, match="stride 2"):
        PatchGAN(channels=(), strided=0)
    with pytest.raises(ConfigError, match="layer"):
        PatchGAN(channels=(4,), strided=1, norm="layer")  # type: ignore[arg-type]
    network = PatchGAN(channels=(4,), strided=1)
    with pytest.raises(InputError, match="reads"):
        network(torch.zeros(1, 1, 16, 16))
    with pytest.raises(InputError, match="image_pyramid"):
        MultiScalePatchGAN([network])([torch.zeros(1, 3, 16, 16)] * 2)
