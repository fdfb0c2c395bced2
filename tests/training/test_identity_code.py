"""The identity code learns who people are: from features that tell it, and not from features that don't."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.networks.identity_code import IdentityCode
from mfs_lib.training.identity_code import explained, explained_by_embedding, learn_code
from mfs_lib.training.pools import IdentityBank

PEOPLE = 160


def _network() -> IdentityCode:
    torch.manual_seed(0)
    return IdentityCode(feature_channels=8, feature_size=7, width=16, code_dim=12)


def _bank(*, telling: bool) -> tuple[IdentityBank, torch.Tensor]:
    """Two feature maps a person, made from the person's code or from nothing, and the codes."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randn((PEOPLE, 5), generator=generator).repeat(2, 1)
    mix = torch.randn((5, 8 * 49), generator=generator)
    maps = codes @ mix if telling else torch.randn((2 * PEOPLE, 8 * 49), generator=generator)
    return IdentityBank(torch.zeros(2 * PEOPLE, 4), maps.view(-1, 8, 7, 7).half()), codes


@pytest.mark.parametrize(("telling", "low", "high"), [(True, 0.6, 1.0), (False, -9.0, 0.1)])
def test_it_explains_people_that_it_never_saw(telling: bool, low: float, high: float) -> None:
    bank, codes = _bank(telling=telling)
    found = learn_code(_network(), bank, codes, steps=250, generator=torch.Generator().manual_seed(0))
    assert low < found <= high


def test_an_embedding_explains_what_it_tells() -> None:
    bank, codes = _bank(telling=True)
    assert explained_by_embedding(bank, codes) < 0.1  # all zero: it tells nothing
    telling = IdentityBank(codes[:, :4].contiguous(), bank.feature_map)
    assert 0.5 < explained_by_embedding(telling, codes) < 0.95  # four of the five entries


def test_what_was_learned_stays() -> None:
    bank, codes = _bank(telling=True)
    network = _network()
    learn_code(network, bank, codes, steps=1, generator=torch.Generator())
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_explained_is_one_for_the_truth_and_zero_for_the_mean() -> None:
    truth = torch.randn((40, 3), generator=torch.Generator().manual_seed(0))
    assert explained(truth, truth) == 1
    assert abs(explained(truth.mean(0).expand_as(truth), truth)) < 1e-6
