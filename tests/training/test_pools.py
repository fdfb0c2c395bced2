"""Pools and batches: the right source for every target, also mirrored, and the same again from the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.faces.folders import PhotoSet
from mfs_lib.training import prepare
from mfs_lib.training.batches import Sampler
from mfs_lib.training.config import BatchConfig, experiment_from_dict
from mfs_lib.training.pools import IdentityBank, Triplets, photo_sources, reverse_triplets
from mfs_lib.training.prepare import Pools
from tests.training.conftest import TINY, WATCHED

COUNTS = BatchConfig(sampled=6, reverse=4, free=3)


def test_reverse_triplets_lead_back_to_the_photograph(photos: PhotoSet, triangles: npt.NDArray[np.int64]) -> None:
    made = reverse_triplets(photos, triangles, donors=3, generator=np.random.default_rng(0))
    assert len(made) == 21
    originals = torch.from_numpy(photos.crops).permute(0, 3, 1, 2)
    assert torch.equal(made.truth, originals.repeat_interleave(3, 0))
    change = (made.target.int() - made.truth.int()).abs()
    assert (change * (made.mask == 0)).max() == 0
    untouched = (change.amax((1, 2, 3)) == 0).sum()
    assert 0 < untouched < 8  # about one in ten
    sources = photo_sources(photos)
    assert torch.equal(sources[7:], sources[:7].flip(3))
    # Never the pixels of the truth: the mirror image of the person's other picture, which a mirrored target unmirrors.
    assert made.source[::3].tolist() == [[8, 1], [7, 0], [10, 3], [9, 2], [12, 5], [11, 4], [13, 6]]


def test_more_donors_than_other_people_have_pictures_are_refused(
    photos: PhotoSet, triangles: npt.NDArray[np.int64]
) -> None:
    with pytest.raises(InputError, match=r"6 donors.* only 5"):
        reverse_triplets(photos, triangles, donors=6, generator=np.random.default_rng(0))


def test_a_bank_keeps_its_order() -> None:
    first, second = (IdentityBank(torch.rand(n, 4), torch.rand(n, 2, 7, 7).half()) for n in (3, 2))
    joined = IdentityBank.join([first, second])
    assert len(joined) == 5
    picked = joined[torch.tensor([4, 0])]
    assert torch.equal(picked.embedding, torch.stack([second.embedding[1], first.embedding[0]]))
    assert picked.feature_map.dtype == torch.float32


def _toy(count: int, first_source: int) -> Triplets:
    """Number i shows in its mask: i in the left half, 255 - i in the right. Sources: (first + 2i, first + 2i + 1)."""
    numbers = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1)
    mask = torch.cat([numbers.expand(-1, 1, 64, 32), (255 - numbers).expand(-1, 1, 64, 32)], 3)
    picture = torch.randint(0, 256, (count, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    source = first_source + 2 * torch.arange(count)[:, None] + torch.tensor([0, 1])
    return Triplets(picture, picture, mask, source)


def _sampler(seed: int) -> Sampler:
    bank = IdentityBank(torch.arange(60.0)[:, None], torch.zeros(60, 1, 7, 7).half())
    generator = torch.Generator().manual_seed(seed)
    return Sampler(_toy(20, 0), _toy(10, 40), bank, generator=generator)


@pytest.mark.parametrize("size", [64, 32])
def test_every_target_meets_its_source(size: int) -> None:
    sampler, flips = _sampler(1), set()
    for _ in range(10):
        batch = sampler.draw(size, COUNTS)
        assert batch.target.shape == (13, 3, size, size) and batch.face.shape == (13, 1, size, size)
        assert batch.free == 3
        assert torch.equal(batch.target, batch.truth)  # equal in the toy pools: coloured alike, mirrored alike
        left, right = ((batch.face[:, 0, 0, column] * 255).round().long() for column in (0, -1))
        flipped = left > right
        number = torch.minimum(left, right)
        expected = 2 * number + flipped + torch.tensor([0] * 6 + [40] * 4 + [0] * 3)
        assert batch.source.embedding[:10, 0].tolist() == expected[:10].tolist()
        flips |= set(flipped.tolist())
    assert flips == {False, True}


def test_batches_repeat_with_their_seed_and_go_on_from_a_state() -> None:
    first, again, other = _sampler(1), _sampler(1), _sampler(2)
    a, b, c = (s.draw(64, COUNTS) for s in (first, again, other))
    assert torch.equal(a.target, b.target) and torch.equal(a.source.embedding, b.source.embedding)
    assert not torch.equal(a.target, c.target)
    other.generator.set_state(first.generator.get_state())
    assert torch.equal(first.draw(64, COUNTS).target, other.draw(64, COUNTS).target)


def test_pools_are_read_back_as_they_were_built(
    tiny_pools: tuple[Pools, Path], small_world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, folder = tiny_pools
    monkeypatch.setattr(prepare, "sampled_pool", None)  # must not be called again
    read = prepare.prepare(experiment_from_dict(TINY), folder)
    assert built.reverse is not None and read.reverse is not None
    for ours, theirs in ((built.sampled, read.sampled), (built.reverse, read.reverse), (built.watch, read.watch)):
        assert torch.equal(ours.target, theirs.target) and torch.equal(ours.truth, theirs.truth)
    assert torch.equal(built.reverse.source, read.reverse.source)
    assert torch.equal(built.bank.feature_map, read.bank.feature_map)
    assert built.reverse.source.min() == 10 and built.reverse.source.max() == 10 + 13  # after five people, twice each
    assert len(built.bank) == 10 + 14 and len(built.codes) == 10 and len(built.watch.target) == WATCHED
