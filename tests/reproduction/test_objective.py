"""The prices of answers: right where they can be known, and a swap must be told from none."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.reproduction import objective
from mfs_lib.reproduction.sampled_pairs import SampledPairs, draw_pairs
from mfs_lib.training.config import LossConfig
from mfs_lib.training.distillation_losses import DistillationWeights


@pytest.fixture(scope="module")
def pairs() -> SampledPairs:
    """Three, whose exact swaps stand for a teacher's."""
    return draw_pairs(3, 64, seed=5)


def test_each_answer_is_free_where_it_is_right(pairs: SampledPairs) -> None:
    prices = objective.priced(objective.answers(pairs, pairs.truth, detail=16), pairs, pairs.truth)
    means = {name: {term: float(x.mean()) for term, x in parts.items()} for name, parts in prices.items()}
    exact, nothing, blurred = means[objective.EXACT], means[objective.NOTHING], means[objective.BLURRED]
    assert exact["rec"] == exact["per"] == 0.0 and exact["mask"] < 0.01
    assert means[objective.WHOLE]["rec"] == 0.0 and means[objective.WHOLE]["mask"] > 0.99
    assert nothing["mask"] == 0.0 and nothing["rec"] > 0.01
    assert nothing["id"] > exact["id"] + 0.2, "doing nothing must miss the identity"
    assert 0.0 < means[objective.FACE]["rec"] < blurred["rec"]
    assert blurred["id"] > exact["id"]


def test_totals_are_equation_7s(pairs: SampledPairs) -> None:
    parts = {term: torch.tensor([1.0, 2.0]) * (k + 1) for k, term in enumerate(objective.TERMS)}
    weights = DistillationWeights(rec=1.0, per=10.0, id=100.0, mask=1000.0)
    found = objective.totals({"a": parts}, weights, torch.tensor([1.0, 0.0]))
    assert found["a"] == pytest.approx((1 + 20 + 300 + 4000 + 600 + 8000) / 2)
    row = objective.rows({"a": parts}, [weights], torch.ones(2))[0]
    assert row[:2] == ["a", "1.500"] and len(row) == 6


def test_weights_are_the_experiments() -> None:
    assert objective.weights_of(LossConfig(rec=3.0, per_squared=4.0, id=5.0, mask=6.0, adv=7.0)) == DistillationWeights(
        rec=3.0, per=4.0, id=5.0, mask=6.0, adv=7.0
    )


def test_a_blur_must_be_one(pairs: SampledPairs) -> None:
    with pytest.raises(InputError, match="blurred"):
        objective.answers(pairs, functional.relu(pairs.truth), detail=64)
