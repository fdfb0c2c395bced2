"""Losses against values worked out by hand, and their gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mfs_lib.training import losses

S = 16


def _flat(value: float, channels: int = 3) -> Tensor:
    return torch.full((1, channels, S, S), value)


def _left_half() -> Tensor:
    """A face that fills the left half."""
    face = torch.zeros(1, 1, S, S)
    face[..., : S // 2] = 1
    return face


def _checkerboard(amount: float) -> Tensor:
    sign = 1 - 2 * ((torch.arange(S)[:, None] + torch.arange(S)[None]) % 2).float()
    return (amount * sign).expand(1, 3, S, S)


@pytest.mark.parametrize(("change", "weight"), [(0.0, 1.0), (0.04, 4.0), (0.08, 7.0), (0.5, 7.0)])
def test_weights_grow_with_the_difference_up_to_a_limit(change: float, weight: float) -> None:
    found = losses.difference_weight(_flat(0.2), _flat(0.2 + change))
    assert found.shape == (1, 1, S, S)
    torch.testing.assert_close(found[..., 2:-2, 2:-2], torch.full((1, 1, S - 4, S - 4), weight))


def test_weights_are_local() -> None:
    truth = _flat(0.5)
    truth[..., 8, 8] += 0.5  # spread over 5 x 5 pixels: 0.02 each
    weight = losses.difference_weight(_flat(0.5), truth)
    assert weight[0, 0, 8, 8] == pytest.approx(1 + 6 * 0.02 / 0.08)
    assert weight[0, 0, 2, 2] == 1


def test_reconstruction() -> None:
    image, truth = torch.cat([_flat(0.5), _flat(0.25)]), torch.cat([_flat(0.25), _flat(0.25)])
    weight = torch.full((2, 1, S, S), 2.0)
    torch.testing.assert_close(losses.reconstruction_loss(image, truth, weight), torch.tensor([0.5, 0.0]))


def test_the_laplacian_sees_detail_and_no_tone() -> None:
    one = torch.ones(1, 1, S, S)
    picture = torch.rand(1, 3, S, S, generator=torch.Generator().manual_seed(0))
    assert losses.laplacian_loss(picture, picture, one) == 0
    assert losses.laplacian_loss(picture + 0.2, picture, one) < 1e-6
    # Every 2 x 2 mean of a checkerboard is 0: all of it lies in the finest band.
    fine = losses.laplacian_loss(picture + _checkerboard(0.1), picture, 3 * one)
    torch.testing.assert_close(fine, torch.tensor([0.3]), atol=1e-5, rtol=0)


def test_the_error_ratio_is_one_for_doing_nothing_and_zero_for_the_truth() -> None:
    target, truth = torch.rand(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert losses.error_ratio(target, target, truth) == 1
    assert losses.error_ratio(truth, target, truth) == 0
    assert losses.error_ratio((target + truth) / 2, target, truth) == pytest.approx(0.5, abs=1e-6)


def test_perception_compares_each_map_with_the_size_of_the_truths() -> None:
    wanted = [torch.ones(2, 4, 8, 8), torch.full((2, 3, 4, 4), 10.0)]
    seen = [torch.stack([wanted[0][0], wanted[0][1] * 1.5]), wanted[1] - torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)]
    torch.testing.assert_close(losses.perceptual_loss(seen, wanted), torch.tensor([0.0, 0.6]))


def test_identity() -> None:
    ours = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    theirs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(losses.identity_loss(ours, theirs), torch.tensor([0.0, 1.0, 2.0, 0.4]))


def test_the_mask_may_not_cover_the_background_and_must_cover_the_face() -> None:
    face = _left_half()
    for inside, outside in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.2)):
        mask = face * inside + (1 - face) * outside
        torch.testing.assert_close(losses.mask_loss(mask, face), torch.tensor([outside]))
        torch.testing.assert_close(losses.cover_loss(mask, face), torch.tensor([1 - inside]))
    assert losses.mask_loss(torch.ones(1, 1, S, S), torch.ones(1, 1, S, S)) == 0  # no background, nothing to say
    assert losses.cover_loss(torch.zeros(1, 1, S, S), torch.zeros(1, 1, S, S)) == 0


def test_tone_compares_blurred_colours_inside_the_face() -> None:
    whole, half = torch.ones(1, 1, S, S), _left_half()
    torch.testing.assert_close(losses.tone_loss(_flat(0.6), _flat(0.5), whole), torch.tensor([0.1]))
    torch.testing.assert_close(losses.tone_loss(_flat(0.6), _flat(0.5), half), torch.tensor([0.05]))
    assert losses.tone_loss(_flat(0.5) + (1 - half), _flat(0.5), half) == 0
    assert losses.tone_loss(_flat(0.5) + _checkerboard(0.1), _flat(0.5), whole) < 1e-6


def test_background_is_what_lies_outside_the_face() -> None:
    half = _left_half()
    assert losses.background_loss(_flat(0.5) + half, _flat(0.5), half) == 0
    torch.testing.assert_close(losses.background_loss(_flat(0.7), _flat(0.5), half), torch.tensor([0.1]))


def _double(channels: int, seed: int) -> Tensor:
    return torch.rand(1, channels, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


_OTHER, _FACE = _double(3, 1), (_double(1, 2) > 0.5).double()
_UNIT = torch.nn.functional.normalize(_double(1, 3).flatten(1), dim=1)


@pytest.mark.parametrize(
    ("loss", "channels"),
    [
        (lambda x: losses.reconstruction_loss(x, _OTHER, losses.difference_weight(_double(3, 4), _OTHER)), 3),
        (lambda x: losses.laplacian_loss(x, _OTHER, 1 + _double(1, 5)), 3),
        (lambda x: losses.identity_loss(torch.nn.functional.normalize(x.flatten(1), dim=1), _UNIT), 1),
        (lambda x: losses.mask_loss(x, _FACE), 1),
        (lambda x: losses.cover_loss(x, _FACE), 1),
        (lambda x: losses.tone_loss(x, _OTHER, _FACE), 3),
        (lambda x: losses.background_loss(x, _OTHER, _FACE), 3),
        (lambda x: losses.difference_weight(0.1 * x, 0.1 * _OTHER).mean((1, 2, 3)), 3),
    ],
    ids=["reconstruction", "laplacian", "identity", "mask", "cover", "tone", "background", "weight"],
)
def test_gradients(loss: Callable[[Tensor], Tensor], channels: int) -> None:
    x = _double(channels, 6).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x,))
    value = loss(x)
    assert value.shape == (1,)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert slope.abs().max() > 0
    assert loss(x - 1e-3 * slope / slope.norm()) < value  # downhill is downhill
