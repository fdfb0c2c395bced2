"""SimSwap's own weights as a teacher: the way between the two alignments, what it reads, and that outside all stays."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfs_lib.errors import InputError
from mfs_lib.faces.alignment import TEMPLATE, fit_similarity, transform_points
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.training.teachers import load_teacher, official_simswap
from mfs_lib.training.teachers.official_simswap import FRONTAL, OfficialSimSwap, from_simswap, to_simswap


class _Identity(nn.Module):
    """Four numbers of a face crop in the place of the identity network."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, face: Tensor) -> IdentityFeatures:
        assert face.shape[1:] == (3, 112, 112)
        return IdentityFeatures(F.normalize(self.linear(face.mean((2, 3)) - 0.5), dim=1), face)


_Generator = partial(SimSwapGenerator, width=2, blocks=1, embedding_dim=4)


def _smooth(size: int, seed: int = 0) -> Tensor:
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def _spot(x: float, y: float, size: int) -> Tensor:
    line = (torch.arange(size) + 0.5) / size
    return torch.exp(-((line[None] - x) ** 2 + (line[:, None] - y) ** 2) / (2 * 0.02**2)).expand(1, 3, -1, -1)


@pytest.fixture
def teacher() -> OfficialSimSwap:
    torch.manual_seed(0)
    return OfficialSimSwap(_Generator(), _Identity())  # type: ignore[arg-type]


@pytest.mark.parametrize("point", range(5))
def test_places_move_by_the_similarity_between_the_templates(point: int) -> None:
    x, y = TEMPLATE[point]
    wanted = transform_points(fit_similarity(TEMPLATE, FRONTAL), TEMPLATE[point])
    crop = to_simswap(_spot(float(x), float(y), 256))[0, 0]
    row, column = divmod(int(crop.argmax()), 224)
    assert np.hypot((column + 0.5) / 224 - wanted[0], (row + 0.5) / 224 - wanted[1]) < 0.006
    assert np.hypot(*(wanted - FRONTAL[point])) < 0.02  # which nearly is SimSwap's own point


@pytest.mark.parametrize("size", [64, 128, 224])
def test_there_and_back_is_nothing_and_only_the_inside_changes(size: int) -> None:
    target = _smooth(size)
    assert float((from_simswap(to_simswap(target), target) - target).abs().max()) < 0.02
    white = from_simswap(torch.ones(2, 3, 224, 224), torch.zeros(2, 3, size, size))
    middle, edge = size // 2, max(1, size // 32)
    assert float(white[..., middle, middle].min()) == pytest.approx(1)
    assert float(white[..., :edge, :].max()) == 0 and float(white[..., :, :edge].max()) == 0
    assert 0.2 < float(white.mean()) < 0.8


def test_it_swaps_with_its_own_identity_network(teacher: OfficialSimSwap) -> None:
    source, target = _smooth(96, 1), _smooth(64, 2)
    result = teacher.swap(source, target)
    assert result.shape == target.shape and not result.requires_grad
    assert torch.equal(result, teacher.swap(source, target, embedding=torch.zeros(2, 128)))  # SFace's isn't read
    assert float((teacher.swap(source.flip(0), target) - result).abs().max()) > 1e-4  # the source matters
    torch.testing.assert_close(result[..., :1, :], target[..., :1, :])
    with pytest.raises(InputError, match="source_face"):
        teacher.swap(None, target)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Small networks and their states in the place of the two files."""
    torch.manual_seed(3)
    states, asked = {"simswap-224": _Generator().state_dict(), "simswap-arcface": _Identity().state_dict()}, []

    def state(name: str, convert: object, *, offline: bool) -> dict[str, Tensor]:
        asked.append(name)
        return states[name]

    monkeypatch.setattr(official_simswap, "SimSwapGenerator", _Generator)
    monkeypatch.setattr(official_simswap, "IdentityNetwork", _Identity)
    monkeypatch.setattr(official_simswap, "converted_state", state)
    return asked


def test_both_files_are_loaded_by_name(converted: list[str]) -> None:
    teacher = load_teacher("simswap-224")
    assert converted == ["simswap-224", "simswap-arcface"]
    assert isinstance(teacher, OfficialSimSwap) and teacher.name == "simswap-224"
    assert not teacher.generator.training and not any(p.requires_grad for p in teacher.identity.parameters())
    assert teacher.swap(_smooth(64, 1), _smooth(64, 2)).shape == (2, 3, 64, 64)
