"""Retrieval on embeddings made by hand: right, wrong, several pictures, ties, restricted galleries, lost results."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.retrieval import retrieval_credit, retrieval_metric


def at(*degrees: float) -> Tensor:
    """Identities (N, 2) on the circle."""
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def test_the_nearest_decides() -> None:
    credit = retrieval_credit(at(10, 80, 40), at(0, 90), ["a", "b", "b"], ["a", "b"])
    assert credit.tolist() == [1, 1, 0]


def test_any_picture_of_the_person_is_right() -> None:
    credit = retrieval_credit(at(70), at(0, 90, 72), ["a"], ["a", "b", "a"])
    assert credit.tolist() == [1]


def test_ties_earn_a_share() -> None:
    assert retrieval_credit(at(45), at(0, 90), ["a"], ["a", "b"]).tolist() == [0.5]
    # the same picture embedded in another batch differs in its last digits
    nearly = at(45) * torch.tensor([1 + 3e-7, 1 - 3e-7])
    assert retrieval_credit(nearly, at(0, 90), ["b"], ["a", "b"]).tolist() == [0.5]
    assert retrieval_credit(at(0), at(0, 0, 0), ["a"], ["a", "b", "a"]).tolist() == [pytest.approx(2 / 3)]


def test_a_blind_recogniser_scores_chance() -> None:
    people = [f"p{k}" for k in range(8)]
    metric = retrieval_metric(at(*[0] * 8), at(*[0] * 8), people, people, backend="blind")
    assert metric.value == pytest.approx(100 / 8)


def test_frames_restrict_the_gallery() -> None:
    gallery, people, frames = at(0, 50, 90, 40), ["a", "a", "b", "b"], [0, 1, 0, 1]
    results, owners = at(41, 41), ["a", "a"]
    assert retrieval_credit(results, gallery, owners, people).tolist() == [0, 0]
    restricted = retrieval_credit(results, gallery, owners, people, result_frames=[0, 1], gallery_frames=frames)
    assert restricted.tolist() == [1, 0]
    metric = retrieval_metric(
        results, gallery, owners, people, backend="x", result_frames=[0, 1], gallery_frames=frames, first=1
    )
    assert (metric.value, metric.n) == (100, 1)
    assert "same frame" in metric.protocol
    assert "first 1 results" in metric.protocol


def test_lost_results_were_not_retrieved() -> None:
    metric = retrieval_metric(at(0, 90), at(0, 90), ["a", "b"], ["a", "b"], backend="x", lost=2)
    assert (metric.value, metric.n, metric.unit, metric.backend) == (50, 4, "percent", "x")
    assert "2 source pictures of 2 people" in metric.protocol


def test_more_results_than_a_chunk() -> None:
    angles = torch.arange(3000) * 0.1
    people = [f"p{k}" for k in range(3000)]
    credit = retrieval_credit(at(*angles.tolist()), at(*angles.tolist()), people, people)
    assert credit.sum() == 3000


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="don't fit"):
        retrieval_credit(at(0), at(0), ["a", "b"], ["a"])
    with pytest.raises(InputError, match="no source picture"):
        retrieval_credit(at(0), at(0, 9), ["c"], ["a", "b"])
    with pytest.raises(InputError, match="no source picture"):
        retrieval_credit(at(0), at(0, 9), ["a"], ["a", "b"], result_frames=[1], gallery_frames=[0, 1])
    with pytest.raises(InputError, match="alike"):
        retrieval_credit(at(0), at(0), ["a"], ["a"], result_frames=[1])
    with pytest.raises(InputError, match="two people"):
        retrieval_metric(at(0), at(0), ["a"], ["a"], backend="x")
