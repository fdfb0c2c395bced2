"""Sampled triplets: the truth shows the source, whoever draws it, and the same again from the same seed."""

from __future__ import annotations

import torch

from mfs_lib.training.pools import describe
from mfs_lib.training.sampled import sampled_pool, to_uint8
from mfs_lib.weights.models import load_sface


def test_truths_show_their_sources_in_both_pictures() -> None:
    pool = sampled_pool(people=4, count=12, size=64, seed=0)
    triplets = pool.triplets
    assert triplets.target.shape == triplets.truth.shape == (12, 3, 64, 64) and triplets.mask.shape == (12, 1, 64, 64)
    assert pool.sources.shape == (8, 3, 64, 64) and pool.sources.dtype == triplets.target.dtype == torch.uint8
    assert torch.equal(triplets.source[:, 1], triplets.source[:, 0] + 4)
    network = load_sface()
    bank, truth, target = (describe(x, network) for x in (pool.sources, triplets.truth, triplets.target))
    for column in (0, 1):
        source = bank[triplets.source[:, column]].embedding
        gain = (truth.embedding * source).sum(1) - (target.embedding * source).sum(1)
        assert (gain > 0).float().mean() > 0.9 and gain.mean() > 0.2


def test_a_truth_is_its_target_outside_the_faces() -> None:
    triplets = sampled_pool(people=3, count=10, size=64, seed=1).triplets
    change = (triplets.target.int() - triplets.truth.int()).abs().float().mean(1, keepdim=True)
    outside = triplets.mask < 5
    assert (change * outside).sum() < 0.12 * change.sum()  # hair, ears and background of the target stay
    assert (change * ~outside).mean() > 2


def test_codes_belong_to_people_and_weigh_what_they_change() -> None:
    pool = sampled_pool(people=6, count=2, size=32, seed=2)
    assert torch.equal(pool.codes[:6], pool.codes[6:]) and pool.codes.shape[0] == len(pool.sources)
    assert len(pool.codes[:6].unique(dim=0)) == 6
    first, last = (
        pool.codes[:, 0].std(),
        pool.codes[:, 49].std(),
    )  # the first and the last component of the skin's shape
    assert first > 3 * last


def test_seed_and_not_processes_decide() -> None:
    one = sampled_pool(people=30, count=30, size=32, seed=3)
    two = sampled_pool(people=30, count=30, size=32, seed=3, processes=2)
    assert torch.equal(one.sources, two.sources) and torch.equal(one.triplets.truth, two.triplets.truth)
    assert torch.equal(one.triplets.source, two.triplets.source)
    assert not torch.equal(one.sources, sampled_pool(people=30, count=1, size=32, seed=4).sources)
    threads = torch.get_num_threads()
    assert sampled_pool(people=1, count=1, size=32, seed=0).sources.shape[0] == 2 and torch.get_num_threads() == threads


def test_to_uint8_rounds() -> None:
    given = torch.tensor([-0.5, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 2.0])
    assert to_uint8(given).tolist() == [0, 0, 0, 1, 255, 255]
