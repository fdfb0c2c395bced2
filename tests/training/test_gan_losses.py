"""Losses of teachers against values worked out by hand, and their gradients against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mfs_lib.networks.patchgan import MultiScalePatchGAN, PatchGAN
from mfs_lib.training import gan_losses as losses


def _flat(*values: float, channels: int = 3, side: int = 4) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, channels, side, side)


def test_only_the_same_must_be_reconstructed() -> None:
    result, target, same = _flat(0.5, 0.5, 0.2), _flat(0.1, 0.1, 0.2), torch.tensor([True, False, True])
    torch.testing.assert_close(losses.same_reconstruction(result, target, same), torch.tensor([0.4, 0.0, 0.0]))
    squared = losses.same_reconstruction(result, target, same, squared=True)
    torch.testing.assert_close(squared, torch.tensor([0.08, 0.0, 0.0]))


def test_features_are_matched_from_a_layer_on_and_never_the_scores() -> None:
    def scale(*values: float) -> list[Tensor]:
        return [_flat(value, channels=2) for value in values]

    mine, theirs = [scale(1.0, 2.0, 3.0, 9.0), scale(5.0, 0.0, 0.0, 0.0)], [scale(0.0, 0.0, 0.0, 0.0)] * 2
    torch.testing.assert_close(losses.weak_feature_matching(mine, theirs, 1), torch.tensor([(2.5 + 0.0) / 2]))
    torch.testing.assert_close(losses.weak_feature_matching(mine, theirs, 0), torch.tensor([(2.0 + 5 / 3) / 2]))


def test_attributes() -> None:
    result, target = [_flat(1.0, 2.0), _flat(3.0, 0.0, side=8)], [_flat(0.0, 0.0), _flat(0.0, 0.0, side=8)]
    torch.testing.assert_close(losses.attribute_loss(result, target), torch.tensor([5.0, 2.0]))


def _linear(slope: float) -> MultiScalePatchGAN:
    """A discriminator whose score is `slope` times the sum of the first channel's four pixels of a 2 x 2 picture."""
    network = PatchGAN(channels=(1,), strided=0, kernel=1, padding=0, last_kernel=2)
    first, last = network.layers[0], network.last
    assert isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d)
    for layer in (first, last):
        nn.init.zeros_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        first.weight[0, 0], last.weight[:] = 1.0, slope
    return MultiScalePatchGAN([network])


@pytest.mark.parametrize(("slope", "expected"), [(0.5, 0.0), (1.5, 4.0), (0.0, 1.0)])
def test_the_penalty_wants_a_slope_of_one(slope: float, expected: float) -> None:
    """The gradient has four entries of `slope`: its length is twice that."""
    share = torch.tensor([0.25, 0.75]).view(2, 1, 1, 1)
    found = losses.gradient_penalty(_linear(slope), _flat(0.5, 0.9, side=2), _flat(0.1, 0.2, side=2), share)
    torch.testing.assert_close(found, torch.tensor([expected, expected]))


def test_the_penalty_is_taken_between_real_and_fake_and_teaches_the_discriminator() -> None:
    discriminator = _linear(1.0)
    network = discriminator.scales[0]
    assert isinstance(network, PatchGAN)
    # The activation's slope is a fifth below zero: real pictures lie above, fake ones below.
    real, fake = _flat(1.0, side=2), _flat(-1.0, side=2)
    near_real = losses.gradient_penalty(discriminator, real, fake, torch.full((1, 1, 1, 1), 0.9))
    near_fake = losses.gradient_penalty(discriminator, real, fake, torch.full((1, 1, 1, 1), 0.1))
    torch.testing.assert_close(near_real, torch.tensor([1.0]))
    torch.testing.assert_close(near_fake, torch.tensor([(0.4 - 1) ** 2]))
    near_real.sum().backward()
    assert network.last.weight.grad is not None and float(network.last.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def _double(seed: int, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gradients() -> None:
    x, other, same = _double(0).requires_grad_(), _double(1), torch.tensor([True, False])
    for squared in (False, True):
        assert torch.autograd.gradcheck(
            lambda y, s=squared: losses.same_reconstruction(y, other, same, squared=s), (x,)
        )
    (slope,) = torch.autograd.grad(losses.same_reconstruction(x, other, same).sum(), x)
    assert slope[0].abs().min() > 0 and slope[1].abs().max() == 0
    assert torch.autograd.gradcheck(lambda y: losses.weak_feature_matching([[y, y, y]], [[other] * 3], 1), (x,))
    assert torch.autograd.gradcheck(lambda y: losses.attribute_loss([y, y**2], [other, other]), (x,))
