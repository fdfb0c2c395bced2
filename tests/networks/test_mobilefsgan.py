"""MobileFSGAN's generator: exact sizes, names, and what each part does. (Values of the whole: tests of its converter.)"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.mobilefsgan import MobileFSGAN
from mfs_lib.networks.mobilefsgan_blocks import AttributeBlock, DecoderBlock, Downsample, IdentityBlock, Upsample


@pytest.fixture
def small() -> MobileFSGAN:
    torch.manual_seed(0)
    return MobileFSGAN(channels=8, embedding_dim=16, size=64).eval()


def _inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(batch, 3, 64, 64) * 2 - 1, F.normalize(torch.randn(batch, 16), dim=1)


def test_counts() -> None:
    with torch.device("meta"):
        network = MobileFSGAN().eval()
        assert count_parameters(network) == 2_517_781
        state = network.state_dict()
        assert len(state) == 365
        macs = count_macs(network, torch.empty(1, 3, 256, 256), torch.empty(1, 512))
        images = network(torch.empty(2, 3, 256, 256), torch.empty(2, 512))
    assert macs == 32_383_238_144
    assert round(macs / 1e9, 3) == 32.383
    stored = sum(value.numel() * value.element_size() for value in state.values())
    assert stored == 10_092_964
    assert round(stored / 1e6, 3) == 10.093
    assert [tuple(image.shape) for image in images] == [(2, 3, 256, 256), (2, 3, 128, 128), (2, 3, 64, 64)]


def test_names_are_the_originals() -> None:
    with torch.device("meta"):
        state = MobileFSGAN().state_dict()
    assert state["encoder_head.conv_image.weight"].shape == (64, 3, 3, 3)
    assert state["identity_encoder.b8_down.fc_mean.weight"].shape == (64, 512)
    assert state["identity_encoder.up16.conv.weight"].shape == (64, 64, 3, 3)
    assert state["attribute_encoder.downsample128.conv.weight"].shape == (64, 64, 4, 4)
    assert state["decoder.b64_4.conv_attention.weight"].shape == (1, 64, 1, 1)
    assert state["decoder.b256_0.basic_block.conv3x3.weight"].shape == (64, 64, 3, 3)
    assert state["decoder.image128_output.conv.bias"].shape == (3,)
    # Identity blocks keep statistics but learn no affine map.
    assert state["identity_encoder.b64_up.normalize.running_var"].shape == (64,)
    assert "identity_encoder.b64_up.normalize.weight" not in state
    assert sum(".conv_attention." in key for key in state) == 2 * 12


def test_each_image_depends_on_target_and_identity(small: MobileFSGAN) -> None:
    target, identity = _inputs()
    with torch.no_grad():
        images = small(target, identity)
        other_identity = small(target, identity.flip(0))
        other_target = small(target.flip(0), identity)
    assert [image.shape[2:] for image in images] == [(64, 64), (32, 32), (16, 16)]
    for image, changed, moved in zip(images, other_identity, other_target, strict=True):
        assert image.abs().max() < 1
        assert (image - changed).abs().max() > 1e-4
        assert (image - moved).abs().max() > 1e-2


def test_samples_are_independent_and_one_identity_serves_all(small: MobileFSGAN) -> None:
    target, identity = _inputs()
    with torch.no_grad():
        both = small(target, identity)
        alone = small(target[1:], identity[1:])
        shared = small(target, identity[1:])
    for together, single, of_one in zip(both, alone, shared, strict=True):
        torch.testing.assert_close(together[1:], single)
        torch.testing.assert_close(of_one[1:], single)


def test_every_parameter_is_used(small: MobileFSGAN) -> None:
    small.train()
    target, identity = _inputs()
    sum(image.square().mean() for image in small(target, identity)).backward()
    assert [name for name, value in small.named_parameters() if value.grad is None] == []


def test_attention_is_not_squashed() -> None:
    torch.manual_seed(0)
    block = DecoderBlock(channels=4).eval()
    x, attribute = torch.randn(1, 4, 5, 5), torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        block.conv_attention.weight.zero_()
        block.conv_attention.bias.fill_(3.0)
        torch.testing.assert_close(block(x, attribute), block.basic_block(3.0 * x - 2.0 * attribute))


def test_identity_scales_and_shifts_the_normalised_map() -> None:
    torch.manual_seed(0)
    block = IdentityBlock(channels=4, embedding_dim=3).eval()
    with torch.no_grad():
        block.normalize.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        block.normalize.running_var.fill_(4.0)
        block.conv1x1.weight.copy_(torch.eye(4)[:, :, None, None])
        block.conv1x1.bias.zero_()
        block.conv3x3.weight.zero_()
        block.conv3x3.weight[:, :, 1, 1] = torch.eye(4)
        x, identity = torch.randn(2, 4, 5, 5), torch.randn(2, 3)
        scale, shift = block.fc_var(identity)[:, :, None, None], block.fc_mean(identity)[:, :, None, None]
        expected = (x - torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)) / 2.0 * scale + shift
        # Two leaky ReLUs of slope 0.01, the 1x1 and 3x3 between and after them being identities.
        expected = torch.where(expected > 0, expected, expected * 1e-4)
        torch.testing.assert_close(block(x, identity), expected, atol=1e-5, rtol=1e-4)


def test_identity_blocks_learn_their_statistics() -> None:
    block = IdentityBlock(channels=4, embedding_dim=3)
    block(torch.randn(8, 4, 6, 6) + 5.0, torch.randn(8, 3))
    assert block.normalize.num_batches_tracked == 1
    torch.testing.assert_close(block.normalize.running_mean, torch.full((4,), 0.5), atol=0.1, rtol=0)
    assert not hasattr(block.normalize, "weight") or block.normalize.weight is None


def test_no_activation_after_the_attribute_blocks_normalisation() -> None:
    torch.manual_seed(0)
    block = AttributeBlock(channels=3).eval()
    x = torch.randn(1, 3, 4, 4)
    with torch.no_grad():
        block.conv1x1.bias.fill_(100.0)  # so that the one activation that there is passes everything
        difference = block(x) - block(torch.zeros_like(x))
        torch.testing.assert_close(block(-x) - block(torch.zeros_like(x)), -difference, atol=1e-4, rtol=1e-4)


def test_upsampling_aligns_corners_and_mirrors_the_border() -> None:
    layer = Upsample(channels=1).eval()
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.weight[0, 0, 1, 0] = 1.0  # the left neighbour
        y = layer(torch.tensor([[[[0.0, 3.0], [0.0, 3.0]]]]))
    # Rows of 0, 1, 2, 3; the column before the first is the second, mirrored.
    torch.testing.assert_close(y[0, 0, 0], torch.tensor([1.0, 0.0, 1.0, 2.0]), atol=1e-3, rtol=1e-3)
    assert Downsample(channels=1)(torch.randn(2, 1, 8, 6)).shape == (2, 1, 4, 3)


def test_refusals(small: MobileFSGAN) -> None:
    target, identity = _inputs()
    with pytest.raises(InputError, match=r"\(B,3,64,64\)"):
        small(target[:, :, :32], identity)
    with pytest.raises(InputError, match="identities"):
        small(target, identity[:, :8])
    with pytest.raises(InputError, match="identities"):
        small(target, torch.cat((identity, identity)))
    with pytest.raises(ConfigError, match="multiple of 32"):
        MobileFSGAN(size=100)
