"""Decks deal the same pairs at any size, the same first pairs however many are asked for, and nobody is chosen."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.reproduction.paper_pairs import photo_deck, ranked, world_deck


def test_the_first_pairs_dont_depend_on_how_many_there_are() -> None:
    three, five = world_deck(3).deal(32), world_deck(5).deal(32)
    assert len(three) == 3 and len(five) == 5
    for few, many in ((three.source, five.source), (three.target, five.target), (three.truth, five.truth)):
        assert few is not None and many is not None
        assert torch.equal(few, many[:3])
    assert torch.equal(three.identity.embedding, five.identity.embedding[:3])
    with pytest.raises(InputError, match="at least"):
        world_deck(0)


def test_another_size_shows_the_same_people() -> None:
    small, large = world_deck(3).deal(32), world_deck(3).deal(64)
    assert large.target.shape == (3, 3, 64, 64)
    shrunk = torch.nn.functional.interpolate(large.target, size=32, mode="area")
    own = (shrunk - small.target).abs().mean((1, 2, 3))
    others = (shrunk - small.target.roll(1, 0)).abs().mean((1, 2, 3))
    assert bool((own < 0.5 * others).all())


def test_another_seed_shows_others() -> None:
    assert not torch.equal(world_deck(2).deal(32).source, world_deck(2, seed=1).deal(32).source)


def test_the_exact_swap_changes_the_face_and_hardly_anything_else() -> None:
    pairs = world_deck(3).deal(64)
    assert pairs.truth is not None and pairs.face is not None
    change, inside = (pairs.truth - pairs.target).abs().mean(1, keepdim=True), pairs.face > 0.02
    assert float(change[~inside].mean()) < 0.1 * float(change[inside].mean())


def test_crossed_pairs_everybody_with_everybody() -> None:
    pairs = world_deck(3).deal(32)
    crossed = pairs.crossed(2)
    assert len(crossed) == 4 and crossed.truth is None
    assert torch.equal(crossed.source, pairs.source[[0, 0, 1, 1]])
    assert torch.equal(crossed.target, pairs.target[[0, 1, 0, 1]])
    assert torch.equal(crossed.identity.embedding, pairs.identity.embedding[[0, 0, 1, 1]])


def test_photographs_are_resized_and_have_no_truth() -> None:
    deck = photo_deck("noise", torch.rand(2, 3, 128, 128), torch.rand(2, 3, 128, 128), credit="nobody")
    pairs = deck.deal(64)
    assert pairs.source.shape == pairs.target.shape == (2, 3, 64, 64)
    assert pairs.truth is None and pairs.face is None
    assert pairs.identity.embedding.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-4)
    with pytest.raises(InputError, match="no pairs"):
        photo_deck("noise", torch.rand(2, 3, 64, 64), torch.rand(1, 3, 64, 64))


def test_ranking_is_by_error_alone() -> None:
    assert ranked(torch.tensor([3.0, 1.0, 2.0, 5.0, 4.0])) == {"best": 1, "typical": 0, "worst": 3}
    with pytest.raises(InputError, match="three"):
        ranked(torch.tensor([1.0, 2.0]))
