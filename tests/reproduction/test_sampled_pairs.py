"""Pairs are drawn with their truth, and the facts say what the pictures show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.truth import absolute_errors
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.reproduction import sampled_pairs
from mfs_lib.reproduction.measure import swaps_of, teacher_system
from mfs_lib.reproduction.rank_statistics import spearman
from mfs_lib.reproduction.sampled_pairs import FACTS, draw_pairs
from mfs_lib.training.teachers import load_teacher


def test_pairs_come_with_truth_and_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_pairs, "_BATCH", 8)
    pairs = draw_pairs(10, 32, seed=5)
    assert pairs.target.shape == pairs.truth.shape == pairs.source.shape == (10, 3, 32, 32) and len(pairs) == 10
    assert tuple(pairs.facts) == FACTS and pairs.fact_columns().shape == (10, len(FACTS))
    assert np.isfinite(pairs.fact_columns()).all()
    facts = pairs.facts
    np.testing.assert_allclose(facts["to change"], absolute_errors(pairs.target, pairs.truth))
    assert facts["to change"].min() > 0 and facts["yaw"].min() >= 0 and facts["yaw"].max() <= 35
    assert set(facts["occluded"].tolist()) <= {0.0, 1.0}
    assert spearman(facts["darkness"], pairs.target.mean((1, 2, 3)).double().numpy()) < -0.4
    torch.testing.assert_close(pairs.identity.embedding.norm(dim=1), torch.ones(10))
    few = pairs.first(3)
    assert len(few) == 3 and torch.equal(few.truth, pairs.truth[:3]) and few.fact_columns().shape == (3, len(FACTS))
    assert torch.equal(draw_pairs(8, 32, seed=5).target, pairs.target[:8])
    assert not torch.equal(draw_pairs(3, 32, seed=6).target, few.target)
    with pytest.raises(InputError, match="0, 32"):
        draw_pairs(0, 32)


def test_facts_follow_the_attributes() -> None:
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(2)
    plain = world.sample(4, generator, size=32)
    how = plain.attributes
    smiling = replace(how, expression=world.model.expression_mean.expand(4, -1), angles=-20 * torch.ones(4, 3))
    dark = replace(how, colour=how.colour + torch.tensor([0, 0, 0, 0.6, 0, 0]))
    coded = replace(how, degrade=torch.tensor([[0.3, 40.0, 1.0]] * 2 + [[0.3, 40.0, 0.0]] * 2))
    facts = [
        sampled_pairs._attribute_facts(
            world, replace(plain, attributes=x, image=world.render(plain.identity, x, size=32).image)
        )
        for x in (how, smiling, dark, coded)
    ]
    assert facts[1]["smile"].tolist() == pytest.approx([1.0] * 4) and facts[1]["yaw"].tolist() == [20] * 4
    assert (facts[2]["darkness"] > facts[0]["darkness"] + 0.05).all()
    assert facts[3]["compressed"].tolist() == [60, 60, 0, 0] and facts[3]["blur"].tolist() == pytest.approx([0.3] * 4)


def test_a_teacher_gets_whatever_it_may_need() -> None:
    pairs = draw_pairs(3, 32, seed=7)
    assert torch.equal(swaps_of(teacher_system(load_teacher("oracle")), pairs), pairs.truth)
    warped = swaps_of(teacher_system(load_teacher("warp")), pairs)
    assert warped.shape == pairs.target.shape and not torch.equal(warped, pairs.target)
