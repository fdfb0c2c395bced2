"""Layers with constant parameters equal PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch

from mfs_lib.networks.frozen import ChannelAffine, FrozenPReLU, without_blas
from mfs_lib.threads import torch_threads


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (2, 5)])
def test_frozen_prelu_has_prelus_values_and_gradient(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    ours, theirs = FrozenPReLU(5), torch.nn.PReLU(5)
    theirs.weight.data.uniform_(-0.5, 1.5)
    ours.load_state_dict(theirs.state_dict())
    ours.requires_grad_(False)
    x = torch.randn(shape)
    x.view(-1)[0] = 0.0
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = torch.randn(shape)
    (ours(a) * weight).sum().backward()
    (theirs(b) * weight).sum().backward()
    assert torch.equal(ours(a), theirs(b))
    torch.testing.assert_close(a.grad, b.grad)


def test_prelu_learns_when_it_is_not_frozen() -> None:
    layer = FrozenPReLU(2)
    layer(torch.tensor([[-1.0, 3.0]], requires_grad=True)).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, torch.tensor([-1.0, 0.0]))


def test_channel_affine() -> None:
    layer = ChannelAffine(channels=2)
    layer.load_state_dict({"scale": torch.tensor([2.0, -1.0]), "shift": torch.tensor([0.5, 1.0])})
    result = layer(torch.ones(1, 2, 1, 3))
    torch.testing.assert_close(result[0, :, 0, 0], torch.tensor([2.5, 0.0]))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch comes without oneDNN")
def test_without_blas_computes_the_same_in_another_way() -> None:
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.Conv2d(8, 6, 1), torch.nn.Conv2d(6, 4, 3, padding=1), torch.nn.Conv2d(4, 5, 1))
    theirs = copy.deepcopy(ours)
    without_blas(ours)
    x = torch.randn(2, 8, 9, 9)
    with torch_threads(1), torch.profiler.profile() as seen:
        a = ours(x)
    torch.testing.assert_close(a, theirs(x))
    used = [event.name for event in seen.events()]
    assert used.count("aten::mkldnn_convolution") == 3 and "aten::_slow_conv2d_forward" not in used
