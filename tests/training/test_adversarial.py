"""The discriminator learns to tell sharp from blurred, and its verdict moves pictures towards sharpness."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.training.adversarial import Adversary, middle


def _pictures(seed: int) -> tuple[Tensor, Tensor]:
    sharp = torch.rand((6, 3, 64, 64), generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(sharp, 5, 1, 2), sharp


def _adversary() -> Adversary:
    torch.manual_seed(0)
    return Adversary()


def test_the_discriminator_sees_the_middle_signed() -> None:
    picture = torch.full((1, 3, 64, 64), 0.5)
    picture[..., 8:56, 8:56] = 0.25
    assert middle(picture).shape == (1, 3, 48, 48) and bool((middle(picture) == 0.25).all())
    adversary, seen = _adversary(), list[torch.Tensor]()
    adversary.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    adversary.loss(picture)
    adversary.learn(picture, picture)
    assert all(bool((shown == -0.5).all()) for shown in seen) and [len(shown) for shown in seen] == [1, 2]


def test_it_learns_what_is_real_on_pictures_that_it_never_saw() -> None:
    adversary = _adversary()
    first, *_ = [adversary.learn(*_pictures(seed)) for seed in range(60)]
    with torch.no_grad():
        blurred, sharp = (adversary.network(middle(x) * 2 - 1).mean() for x in _pictures(1000))
    assert first > 1.5
    assert sharp > blurred + 1
    real, unreal = (adversary.loss(x).mean() for x in reversed(_pictures(1001)))
    assert real < unreal


def test_the_generators_loss_reaches_the_picture_and_not_the_discriminator() -> None:
    adversary = _adversary()
    picture = _pictures(0)[0].requires_grad_(True)
    adversary.loss(picture).sum().backward()
    assert picture.grad is not None and float(picture.grad.abs().sum()) > 0
    assert all(p.grad is None and p.requires_grad for p in adversary.network.parameters())


def test_state_goes_on_alike() -> None:
    one, other = _adversary(), Adversary()
    one.learn(*_pictures(0))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert one.learn(*_pictures(1)) == other.learn(*_pictures(1))
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
