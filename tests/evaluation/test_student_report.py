"""The report must tell a swap from no swap, and the truth from both."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfs_lib.evaluation.identity_metrics import identity_scores
from mfs_lib.evaluation.pose import pose_errors
from mfs_lib.evaluation.student_report import Pairs, measure
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.weights.models import load_mesh

COUNT = 24


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor, Tensor]:
    """Sources, targets and truths of sampled people, (COUNT, 3, 128, 128)."""
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(5)
    source, target = world.sample(COUNT, generator), world.sample(COUNT, generator)
    return source.image, target.image, world.swap(identity_of=source, attributes_of=target).image


def values(pictures: tuple[Tensor, Tensor, Tensor], result: Tensor) -> dict[str, float]:
    source, target, truth = pictures
    return {m.name: m.value for m in measure(Pairs(source, torch.arange(COUNT), target, result, truth))}


def test_no_swap_is_reported_as_none(pictures: tuple[Tensor, Tensor, Tensor]) -> None:
    found = values(pictures, pictures[1])
    assert found["error_ratio"] == pytest.approx(1)
    assert found["nearer_than_target"] == 0
    assert found["nearer_to_source"] == 0
    assert found["cos_target"] == pytest.approx(1, abs=1e-4)
    assert found["retrieval"] < 20
    assert found["pose_error"] == pytest.approx(0, abs=1e-6)


def test_truth_is_reported_as_a_swap(pictures: tuple[Tensor, Tensor, Tensor]) -> None:
    found = values(pictures, pictures[2])
    assert found["error"] == 0
    assert found["retrieval_given_truth"] == 100
    assert found["nearer_than_target"] > 95
    assert found["nearer_to_source"] > 80
    assert found["retrieval"] > 80


def test_scores_by_hand() -> None:
    gallery = torch.eye(3)
    result = torch.tensor([[0.8, 0.6, 0.0], [0.0, 0.6, 0.8]])
    target = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    scores = identity_scores(result, target, gallery, torch.tensor([0, 1]))
    assert scores.to_source.tolist() == pytest.approx([0.8, 0.6])
    assert scores.to_target.tolist() == pytest.approx([0.6, 0.8])
    assert scores.retrieved.tolist() == [True, False]
    assert scores.nearer_than_target == 1.0
    assert scores.nearer_to_source == 0.5


def test_pose_error_sees_a_turned_head() -> None:
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(8)
    who = world.sample_identities(4, generator)
    how = world.sample_attributes(4, generator, occluded=0)
    frontal = type(how)(**{**how.__dict__, "angles": torch.zeros(4, 3)})
    turned = type(how)(**{**how.__dict__, "angles": torch.tensor([[20.0, 0, 0]] * 4)})
    size = 192
    errors = pose_errors(
        world.render(who, turned, size=size).image, world.render(who, frontal, size=size).image, load_mesh()
    )
    assert abs(errors[:, 0].mean() - 20) < 6  # yaw
    assert errors[:, 2].mean() < 6  # roll is aligned away
