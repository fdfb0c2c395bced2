"""MobileFSGAN's identity network: exact sizes, the crop's place, refusals. (Values: tests of its converter.)"""

from __future__ import annotations

import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.mobilefsgan_identity import MobileFSGANIdentity, identity_crop


def test_counts() -> None:
    with torch.device("meta"):
        network = MobileFSGANIdentity().eval()
        assert count_parameters(network) == 1_200_512
        state = network.state_dict()
        assert len(state) == 333
        macs = count_macs(network, torch.empty(1, 3, 112, 112))
    assert macs == 221_161_984
    assert round(macs / 1e9, 4) == 0.2212
    stored = sum(value.numel() * value.element_size() for value in state.values())
    assert round(stored / 1e6, 3) == 4.884


def test_names_are_the_originals() -> None:
    with torch.device("meta"):
        state = MobileFSGANIdentity().state_dict()
    assert state["conv2_dw.conv.weight"].shape == (64, 1, 3, 3)
    assert state["conv_23.conv_dw.prelu.weight"].shape == (128,)
    assert state["conv_4.model.5.project.bn.running_mean"].shape == (128,)
    assert "conv_4.model.5.project.prelu.weight" not in state
    assert state["conv_45.conv.conv.weight"].shape == (512, 128, 1, 1)
    assert state["conv_6_dw.conv.weight"].shape == (512, 1, 7, 7)
    assert "conv_6_dw.prelu.weight" not in state
    assert state["linear.weight"].shape == (512, 512)
    assert "linear.bias" not in state


def test_identities_have_unit_length_and_differ() -> None:
    torch.manual_seed(0)
    network = MobileFSGANIdentity().eval()
    faces = (torch.rand(2, 3, 112, 112) * 2 - 1).requires_grad_()
    identity = network(faces)
    assert identity.shape == (2, 512)
    torch.testing.assert_close(identity.norm(dim=1), torch.ones(2))
    assert (identity[0] - identity[1]).abs().max() > 1e-4
    identity[0, 0].backward()
    assert faces.grad is not None
    assert faces.grad[0].abs().max() > 0
    assert faces.grad[1].abs().max() == 0


@pytest.mark.parametrize(("size", "first", "last"), [(256, 26, 229), (128, 13, 114), (64, 7, 56)])
def test_crop_keeps_the_corner_pixels(size: int, first: int, last: int) -> None:
    columns = torch.arange(float(size)).expand(1, 1, size, size)
    image = torch.cat((columns, columns.transpose(2, 3), columns * 0), dim=1)
    crop = identity_crop(image)
    assert crop.shape == (1, 3, 112, 112)
    steps = torch.linspace(first, last, 112)
    torch.testing.assert_close(crop[0, 0], steps.expand(112, 112), atol=1e-3, rtol=0)
    torch.testing.assert_close(crop[0, 1], steps[:, None].expand(112, 112), atol=1e-3, rtol=0)


def test_refusals() -> None:
    for shape in ((1, 3, 224, 224), (1, 3, 256, 128), (1, 1, 256, 256), (3, 256, 256)):
        with pytest.raises(InputError, match="identity crops"):
            identity_crop(torch.zeros(shape))
    with pytest.raises(InputError, match="identity_crop"):
        MobileFSGANIdentity()(torch.zeros(1, 3, 256, 256))
