"""Cosines, who is nearer, and who is found, on embeddings that can be followed by hand."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.evaluation.identity_metrics import identity_scores


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
