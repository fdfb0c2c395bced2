"""Equations 3 to 7 against values worked out by hand, and their gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfs_lib.errors import InputError
from mfs_lib.training import distillation_losses as losses
from mfs_lib.training.distillation_losses import DistillationWeights


def _flat(*values: float, channels: int = 3) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, channels, 4, 4)


def _unit(*angles: float) -> Tensor:
    """Unit vectors at these angles in degrees."""
    radians = torch.deg2rad(torch.tensor(angles))
    return torch.stack([radians.cos(), radians.sin()], 1)


def test_equation_3_reconstruction() -> None:
    found = losses.reconstruction_to_teacher(_flat(0.5, 0.2), _flat(0.25, 0.2))
    torch.testing.assert_close(found, torch.tensor([0.25, 0.0]))


def test_equation_3_perception_sums_mean_squares_over_the_layers() -> None:
    mine = [torch.zeros(2, 4, 8, 8), torch.zeros(2, 2, 4, 4)]
    teachers = [torch.stack([torch.zeros(4, 8, 8), torch.full((4, 8, 8), 3.0)]), torch.full((2, 2, 4, 4), 0.5)]
    torch.testing.assert_close(losses.perceptual_to_teacher(mine, teachers), torch.tensor([0.25, 9.25]))
    half = teachers[0].clone()
    half[:, :2] = 0  # half the elements: half the mean, however many elements there are
    assert losses.perceptual_to_teacher(mine, [half, mine[1]])[1] == pytest.approx(4.5)


@pytest.mark.parametrize("teachers", [[], [torch.zeros(1, 2, 4, 4)], [torch.zeros(1, 2, 8, 8)] * 2])
def test_maps_of_other_layers_are_refused(teachers: list[Tensor]) -> None:
    with pytest.raises(InputError, match="same feature maps"):
        losses.perceptual_to_teacher([torch.zeros(1, 2, 8, 8)], teachers)
    with pytest.raises(InputError, match="same feature maps"):
        losses.perceptual_to_teacher([], [])


def test_equation_4_squares_the_cosine_and_multiplies_the_quality() -> None:
    source, teacher = _unit(0, 0, 0, 0), _unit(0, 60, 90, 120)
    alpha = losses.reweighting(source, teacher, torch.tensor([0.8, 0.8, 0.8, 0.4]))
    torch.testing.assert_close(alpha, torch.tensor([0.8, 0.2, 0.0, 0.1]))
    torch.testing.assert_close(losses.reweighting(source, 3 * teacher, None), torch.tensor([1.0, 0.25, 0.0, 0.25]))
    only_quality = losses.reweighting(None, None, torch.tensor([0.3]))
    torch.testing.assert_close(only_quality, torch.tensor([0.3]))


def test_no_gradient_passes_the_weight() -> None:
    quality = torch.rand(2, requires_grad=True)
    assert not losses.reweighting(_unit(0, 1), _unit(3, 4).requires_grad_(True), quality).requires_grad
    assert not losses.reweighting(None, None, quality).requires_grad


def test_a_weight_by_nothing_or_by_half_a_cosine_is_refused() -> None:
    with pytest.raises(InputError, match="both identities"):
        losses.reweighting(_unit(0), None, torch.ones(1))
    with pytest.raises(InputError, match="nothing to weigh"):
        losses.reweighting(None, None, None)


def test_equation_5() -> None:
    torch.testing.assert_close(losses.identity_loss(_unit(0, 0, 0), _unit(0, 60, 180)), torch.tensor([0.0, 0.5, 2.0]))


def test_equation_6_weak_and_full_supervision() -> None:
    face = torch.zeros(1, 1, 4, 4)
    face[..., :2] = 1
    mask = 0.7 * face + 0.2 * (1 - face)
    torch.testing.assert_close(losses.mask_loss(mask, face), torch.tensor([0.2]))
    torch.testing.assert_close(losses.full_mask_loss(mask, face), torch.tensor([0.25]))
    hole = torch.zeros_like(face)  # covers nothing: only full supervision minds
    assert losses.mask_loss(hole, face) == 0 and losses.full_mask_loss(hole, face) == 0.5


def test_hinge() -> None:
    real, fake = [_flat(2.0, 0.5, channels=1), _flat(0.0, 0.0, channels=1)], [_flat(-2.0, 0.5, channels=1)] * 2
    torch.testing.assert_close(losses.hinge_discriminator(real, fake), torch.tensor([0.5, (0.5 + 1.5 + 1 + 1.5) / 2]))
    torch.testing.assert_close(losses.hinge_generator(fake), torch.tensor([2.0, -0.5]))


def test_equation_7_weighs_distillation_alone() -> None:
    assert DistillationWeights() == DistillationWeights(rec=30.0, per=5.0, id=3.0, mask=10.0, adv=1.0)
    ones = {name: torch.ones(2) for name in ("rec", "per", "id", "mask", "adv")}
    alpha = torch.tensor([1.0, 0.5])
    torch.testing.assert_close(DistillationWeights().total(ones, alpha), torch.tensor([49.0, 31.5]))
    torch.testing.assert_close(DistillationWeights().total(ones), torch.tensor([49.0, 49.0]))
    without = DistillationWeights(id=0.0).total({"rec": torch.ones(1), "id": torch.ones(1)})
    torch.testing.assert_close(without, torch.tensor([30.0]))
    with pytest.raises(InputError, match="tone"):
        DistillationWeights().total({"tone": torch.ones(1)})
    with pytest.raises(InputError, match="sums"):
        DistillationWeights().total({})


def _double(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


_OTHER = _double(1, 2, 3, 4, 4)
_FACE = (_double(2, 2, 1, 4, 4) > 0.5).double()
_WHO = F.normalize(_double(3, 2, 16), dim=1)
_ALPHA = torch.tensor([0.3, 0.9], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "channels"),
    [
        (lambda x: losses.reconstruction_to_teacher(x, _OTHER), 3),
        (lambda x: losses.perceptual_to_teacher([x, x**2], [_OTHER, _OTHER]), 3),
        (lambda x: losses.identity_loss(F.normalize(x.flatten(1), dim=1), _WHO), 1),
        (lambda x: losses.mask_loss(x, _FACE), 1),
        (lambda x: losses.full_mask_loss(x, _FACE), 1),
        (lambda x: losses.hinge_generator([x, 2 * x]), 1),
        (lambda x: losses.hinge_discriminator([1.5 * x], [x - 0.5]), 1),
        (
            lambda x: DistillationWeights().total({"rec": x.mean((1, 2, 3)), "id": x.square().mean((1, 2, 3))}, _ALPHA),
            3,
        ),
    ],
    ids=["rec", "per", "id", "mask", "full mask", "generator", "discriminator", "total"],
)
def test_gradients(loss: Callable[[Tensor], Tensor], channels: int) -> None:
    x = _double(6, 2, channels, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x,))
    value = loss(x)
    assert value.shape == (2,)
    (slope,) = torch.autograd.grad(value[0], x)
    assert slope[0].abs().max() > 0 and slope[1].abs().max() == 0  # each sample by itself
