"""The face world's pictures, and the exact swap: what it changes, what it leaves, whom it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.detection import Face
from mfs_lib.faces.mesh import mesh_landmarks
from mfs_lib.faces.morphable import Attributes, MorphableWorld
from mfs_lib.weights.models import load_judge
from tests.faces.morphable.conftest import PAIRS, Pairs


def _plain(attributes: Attributes, background: float = 0.5) -> Attributes:
    """The same attributes without grading, camera flaws or background picture."""
    return replace(
        attributes,
        colour=torch.zeros_like(attributes.colour),
        degrade=torch.zeros_like(attributes.degrade),
        background=torch.full_like(attributes.background, background),
    )


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of (B, C, S, S) over the pixels of (B, 1, S, S) masks, (B,)."""
    return (values.mean(1, keepdim=True) * where).sum((1, 2, 3)) / where.sum((1, 2, 3))


@pytest.mark.parametrize("size", [64, 128, 224])
def test_a_seed_decides_every_bit(world: MorphableWorld, size: int) -> None:
    first, again = (world.sample(2, torch.Generator().manual_seed(4), size=size) for _ in range(2))
    assert first.image.shape == (2, 3, size, size) and first.face_mask.shape == (2, 1, size, size)
    assert first.landmarks.shape == (2, 468, 2)
    assert torch.equal(first.image, again.image) and torch.equal(first.face_mask, again.face_mask)
    other = world.sample(2, torch.Generator().manual_seed(5), size=size)
    assert (first.image - other.image).abs().mean() > 0.03
    assert first.image.min() >= 0 and first.image.max() <= 1 and first.image.std() > 0.05


def test_sizes_show_the_same_picture(world: MorphableWorld) -> None:
    generator = torch.Generator().manual_seed(9)
    who, how = world.sample_identities(3, generator), world.sample_attributes(3, generator, occluded=0)
    small, large = (world.render(who, _plain(how), size=size) for size in (64, 128))
    shrunk = functional.avg_pool2d(large.image, 2)
    assert (shrunk - small.image).abs().mean() < 0.01
    torch.testing.assert_close(small.landmarks * 2, large.landmarks, atol=1e-3, rtol=0)


def test_the_swap_is_rendering(world: MorphableWorld, pairs: Pairs) -> None:
    index = slice(0, 4)
    target = pairs.target
    rendered = world.render(
        pairs.source.identity[index], target.attributes[index], size=128, matrix=target.matrix[index]
    )
    torch.testing.assert_close(rendered.image, pairs.truth.image[index], atol=1e-5, rtol=0)
    assert torch.equal(pairs.truth.matrix, target.matrix)


def test_swapping_somebody_with_themselves_changes_nothing(world: MorphableWorld, pairs: Pairs) -> None:
    same = world.swap(identity_of=pairs.target, attributes_of=pairs.target)
    assert torch.equal(same.image, pairs.target.image)
    assert torch.equal(same.face_mask, pairs.target.face_mask)


def test_the_swap_changes_the_face(pairs: Pairs) -> None:
    inside = (pairs.target.face_mask > 0.5).float()
    change = _mean((pairs.truth.image - pairs.target.image).abs(), inside)
    assert change.min() > 0.02 and change.mean() > 0.045
    border = _mean((pairs.truth.image - pairs.target.image).abs(), _border(pairs.target.image))
    assert border.mean() < 0.3 * change.mean()  # a wider face pushes the hair beside it a little


def _border(image: Tensor) -> Tensor:
    """Mask (B, 1, S, S) of the outer tenth."""
    mask = torch.ones_like(image[:, :1])
    size = image.shape[-1]
    mask[:, :, size // 10 : -(size // 10), size // 10 : -(size // 10)] = 0
    return mask


def test_the_swap_leaves_the_background_alone(world: MorphableWorld) -> None:
    generator = torch.Generator().manual_seed(10)
    how, first, second = world.sample_attributes(8, generator), *(world.sample_identities(8, generator) for _ in "ab")
    black = world.render(first, _plain(how, 0.0))
    white, swapped, other = (
        world.render(who, _plain(how, tone), matrix=black.matrix)
        for who, tone in ((first, 1.0), (second, 0.0), (second, 1.0))
    )
    shows_through = torch.minimum((white.image - black.image).amin(1), (other.image - swapped.image).amin(1))
    empty = (shows_through == shows_through.max()).float()[:, None]  # neither head nor hand is there
    assert empty.mean() > 0.04
    assert ((swapped.image - black.image).abs() * empty).max() == 0
    assert ((other.image - white.image).abs() * empty).max() < 1e-6


def test_the_swap_keeps_hair_ears_and_neck(pairs: Pairs) -> None:
    change = (pairs.truth.image - pairs.target.image).abs().mean(1, keepdim=True)
    outside = torch.maximum(pairs.truth.face_mask, pairs.target.face_mask) < 0.02
    assert (change * outside).sum() < 0.12 * change.sum()
    assert (change[~outside].mean() > 20 * change[outside].mean()).item()


def test_a_swap_shows_the_source_to_a_judge(pairs: Pairs) -> None:
    judge = load_judge()
    with torch.no_grad():
        source, target, truth = (judge(arcface_view(sample.image)) for sample in pairs)
    to_source, before = (truth * source).sum(1), (target * source).sum(1)
    assert (to_source > before).float().mean() >= 0.9
    assert to_source.mean() > before.mean() + 0.3
    assert to_source.mean() > (truth * target).sum(1).mean() + 0.3  # nearer to the source than to the target
    names = torch.arange(PAIRS)
    found, by_chance = (((e @ source.T).argmax(1) == names).float().mean() for e in (truth, target))
    assert found >= 0.85
    assert found > 5 * by_chance


def test_a_swap_keeps_pose_and_expression(pairs: Pairs) -> None:
    def spread(points: Tensor) -> Tensor:
        """Mouth opening and width in eye distances, and where the nose lies between the eyes' outer corners."""
        eyes = points[:, 263, 0] - points[:, 33, 0]
        mouth = (points[:, 291] - points[:, 61]).norm(dim=1) / eyes
        return torch.stack([(points[:, 1, 0] - points[:, 33, 0]) / eyes, mouth], 1)

    source, target, truth = (spread(sample.landmarks) for sample in pairs)
    kept, gone = (truth - target).abs().mean(0), (source - target).abs().mean(0)
    assert kept[0] < 0.4 * gone[0]
    assert kept[1] < 0.7 * gone[1]  # people's mouths differ at rest, too


def test_landmarks_lie_in_the_crop_and_follow_the_turn(pairs: Pairs) -> None:
    points = pairs.target.landmarks
    assert points.min() > 0 and points.max() < 131
    assert ((points >= 0) & (points <= 127)).float().mean() > 0.99
    left, right, nose = points[:, 234, 0], points[:, 454, 0], points[:, 1, 0]
    turn = (2 * nose - left - right) / (right - left)
    yaw = pairs.target.attributes.angles[:, 0]
    assert torch.corrcoef(torch.stack([turn, yaw]))[0, 1] > 0.9


def test_landmarks_lie_where_the_face_mesh_finds_them(world: MorphableWorld) -> None:
    generator = torch.Generator().manual_seed(12)
    who, how = world.sample_identities(5, generator), world.sample_attributes(5, generator, occluded=0)
    sample = world.render(who, _plain(how), size=128)
    for picture, known in zip(sample.image, sample.landmarks.numpy(), strict=True):
        image = np.ascontiguousarray((picture * 255).round().byte().permute(1, 2, 0).numpy())
        five = np.stack([known[[33, 133]].mean(0), known[[362, 263]].mean(0), known[1], known[61], known[291]])
        face = Face(box=np.concatenate([known.min(0), known.max(0)]), score=1.0, points=five)
        found = mesh_landmarks(image, face)[:, :2]
        assert np.linalg.norm(found - known, axis=1).mean() < 3.0


@pytest.mark.parametrize("kind", [1, 2])
def test_occluders_leave_the_mask(world: MorphableWorld, kind: int) -> None:
    generator = torch.Generator().manual_seed(13)
    who, how = world.sample_identities(12, generator), _plain(world.sample_attributes(12, generator, occluded=0))
    worn = how.occluder.clone()
    worn[:, 0] = kind
    bare, covered = world.render(who, how), world.render(who, replace(how, occluder=worn))
    lost = bare.face_mask - covered.face_mask
    assert lost.min() >= 0
    assert (lost.mean((1, 2, 3)) > 0.003).float().mean() > 0.4  # a hand may miss the face
    change = (bare.image - covered.image).abs().amax(1, keepdim=True)
    assert _mean(change, (lost > 0.5).float().clamp(min=1e-9)).mean() > 0.1
    everywhere_else = (lost < 1e-6) & (bare.face_mask > 0.5)
    assert (change * everywhere_else).max() < 0.02


def test_an_unaligned_head_keeps_its_roll(world: MorphableWorld) -> None:
    generator = torch.Generator().manual_seed(14)
    who, how = world.sample_identities(10, generator), world.sample_attributes(10, generator)
    how = replace(how, framing=torch.zeros_like(how.framing))
    for aligned, expected in ((True, torch.zeros(10)), (False, how.angles[:, 2])):
        eyes = world.render(who, how, size=64, aligned=aligned).landmarks
        across = eyes[:, [362, 263]].mean(1) - eyes[:, [33, 133]].mean(1)
        tilt = torch.rad2deg(torch.atan2(across[:, 1], across[:, 0]))
        assert (tilt - expected).abs().mean() < 4


def test_a_layer_over_the_background_is_the_picture(world: MorphableWorld, pairs: Pairs) -> None:
    target = pairs.target
    who, matrix = target.identity[slice(0, 3)], target.matrix[slice(0, 3)]
    how = _plain(target.attributes[slice(0, 3)])
    how = replace(how, occluder=torch.zeros_like(how.occluder))
    picture = world.render(who, how, size=96, matrix=matrix)
    layer = world.layer(who, how, size=96, matrix=matrix)
    laid = layer.colour * layer.alpha + 0.5 * (1 - layer.alpha)
    assert (laid - picture.image).abs().max() < 2e-3
    assert torch.equal(layer.face_mask, picture.face_mask) and torch.equal(layer.landmarks, picture.landmarks)
    assert layer.five.shape == (3, 5, 2)
