"""What a system is measured on: the same pairs for everybody, and a colour that stays or moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.reproduction.measure import (
    colour_shift,
    student_system,
    swaps_of,
    teacher_system,
)
from mfs_lib.reproduction.sampled_pairs import SampledPairs, draw_pairs
from mfs_lib.training.teachers import load_teacher


@pytest.fixture(scope="module")
def pairs() -> SampledPairs:
    """Three pairs at 64 px."""
    return draw_pairs(3, 64, 7)


def test_pairs_are_of_different_people_with_their_exact_swaps(pairs: SampledPairs) -> None:
    assert pairs.source.shape == pairs.target.shape == pairs.truth.shape == (3, 3, 64, 64)
    assert pairs.face.shape == (3, 1, 64, 64) and pairs.identity.embedding.shape == (3, 128)
    outside = (pairs.face == 0).expand_as(pairs.truth)
    change = (pairs.truth - pairs.target).abs()
    assert float(change[outside].mean()) < 0.004 < 0.02 < float(change[~outside].mean())  # but for JPEG's traces
    assert (pairs.source - pairs.target).abs().mean() > 0.05


def test_the_same_seed_gives_the_same_pairs(pairs: SampledPairs) -> None:
    again, other = draw_pairs(3, 64, 7), draw_pairs(3, 64, 8)
    assert torch.equal(again.source, pairs.source) and torch.equal(again.truth, pairs.truth)
    assert not torch.equal(other.target, pairs.target)


def test_a_teacher_is_told_what_it_needs_and_a_student_the_identity(pairs: SampledPairs) -> None:
    assert torch.equal(swaps_of(teacher_system(load_teacher("oracle")), pairs), pairs.truth.clamp(0, 1))
    torch.manual_seed(0)
    config = MobileFaceSwapConfig(
        channels=(4, 8, 8, 8, 8), mask_channels=(8, 8, 4, 4, 2), embedding_dim=128, feature_channels=1024,
        predictor_width=8,
    )  # fmt: skip
    system = student_system(MobileFaceSwap(config).eval(), 64)
    swaps = swaps_of(system, pairs)
    assert swaps.shape == pairs.target.shape and float(swaps.min()) >= 0 and float(swaps.max()) <= 1
    turned = IdentityFeatures(pairs.identity.embedding.flip(0), pairs.identity.feature_map.flip(0))
    others = replace(pairs, identity=turned)
    assert not torch.allclose(swaps_of(system, others)[0], swaps[0])
    assert torch.allclose(swaps_of(system, pairs.part(slice(1, 2)))[0], swaps[1], atol=1e-5)


def test_colour_is_measured_inside_the_face_alone(pairs: SampledPairs) -> None:
    face = torch.zeros(3, 1, 64, 64)
    face[..., :32] = 1
    grey = torch.full((3, 3, 64, 64), 0.5)
    known = replace(pairs, source=grey, target=grey, truth=grey, face=face)
    assert colour_shift(grey, known, "c", "result").value == 0
    outside, inside = grey.clone(), grey.clone()
    outside[..., 32:] = 0.9
    inside[:, 0, :, :32] = 0.6
    assert colour_shift(outside, known, "c", "result").value == 0
    assert colour_shift(inside, known, "c", "result").value == pytest.approx(255 * 0.1 / 3, rel=1e-4)
