"""A teacher's swaps in the place of the truths, and how far each is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mfs_lib.networks.quality import QualityScorer
from mfs_lib.training import taught as module
from mfs_lib.training.pools import IdentityBank, Triplets
from mfs_lib.training.prepare import Pools
from mfs_lib.training.quality import save_quality
from mfs_lib.training.taught import ReweightingConfig, Taught, alpha_of, apply_teacher, without_teacher
from mfs_lib.training.teachers.interface import Need
from mfs_lib.training.teachers.loading import TeacherConfig
from mfs_lib.weights.models import load_sface


def _taught() -> Taught:
    """Two swaps: one with the source's very identity, one at 60 degrees from it."""
    source = torch.eye(4)[:2]
    swap = torch.stack([source[0], torch.tensor([0.0, 0.5, 0.75**0.5, 0.0])])
    return Taught(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), source, swap, torch.tensor([0.5, 0.8]))


@pytest.mark.parametrize(
    ("config", "alpha"),
    [
        (ReweightingConfig(), [0.5, 0.2]),
        (ReweightingConfig(quality=False), [1.0, 0.25]),
        (ReweightingConfig(identity=False), [0.5, 0.8]),
        (ReweightingConfig(identity=False, quality=False), [1.0, 1.0]),
        (ReweightingConfig(constant=True), [0.35, 0.35]),
    ],
)
def test_alpha_is_cosine_squared_times_quality_and_each_can_be_left_out(
    config: ReweightingConfig, alpha: list[float]
) -> None:
    assert torch.allclose(alpha_of(_taught(), config), torch.tensor(alpha))


def _triplets(count: int) -> Triplets:
    generator = torch.Generator().manual_seed(1)
    target, truth = (torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8) for _ in "ab")
    source = torch.stack([torch.arange(count), torch.arange(count) + count], 1)
    return Triplets(target, truth, torch.full((count, 1, 32, 32), 255, dtype=torch.uint8), source)


def test_without_a_teacher_only_a_person_on_their_own_picture_is_known() -> None:
    triplets = _triplets(5)
    found = without_teacher(triplets)
    assert found.alpha is not None and found.alpha.tolist() == [1, 0, 1, 0, 1]
    for i in range(5):
        assert torch.equal(found.target[i], (triplets.truth if i % 2 == 0 else triplets.target)[i])
        assert torch.equal(found.truth[i], found.target[i]), "the exact swap of another target must never be the answer"


class _Inverter:
    """A teacher that can be recognised: the target's negative, or the source's picture where it reads that."""

    name = "inverter"

    def __init__(self, need: Need) -> None:
        self.need: Need = need
        self.asked = 0

    def swap(
        self, source_face: Tensor | None, target: Tensor, *, truth: Tensor | None = None,
        embedding: Tensor | None = None, meshes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        self.asked += len(target)
        assert (source_face is None) == (self.need != "source_face")
        assert truth is not None and embedding is not None
        return 1 - target if source_face is None else source_face


def _bank(count: int) -> IdentityBank:
    embedding = torch.nn.functional.normalize(
        torch.randn(count, 128, generator=torch.Generator().manual_seed(2)), dim=1
    )
    return IdentityBank(embedding, torch.zeros(count, 1024, 7, 7, dtype=torch.float16))


def test_a_teacher_is_asked_once_and_its_swaps_replace_the_truths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, triplets, bank = _Inverter("source_face or embedding"), _triplets(6), _bank(12)
    monkeypatch.setattr(module, "load_teacher", lambda config: teacher)
    scorer = tmp_path / "q.safetensors"
    torch.manual_seed(0)
    save_quality(scorer, QualityScorer(width=4))
    config = ReweightingConfig(scorer=str(scorer))
    first = apply_teacher(triplets, bank, TeacherConfig("t.safetensors"), config, folder=tmp_path, sources=_unwanted)
    assert torch.equal(first.truth, 255 - triplets.target)
    assert first.alpha is not None and (first.alpha >= 0).all() and (first.alpha < 1).all()
    swapped = load_sface()(module.arcface_view(first.truth.float() / 255)).embedding
    cosine = (swapped * bank.embedding[:6]).sum(1)
    again = apply_teacher(
        triplets, bank, TeacherConfig("t.safetensors"), ReweightingConfig(quality=False, scorer=str(scorer)),
        folder=tmp_path, sources=_unwanted,
    )  # fmt: skip
    assert again.alpha is not None and torch.allclose(again.alpha, cosine.square(), atol=1e-5)
    assert teacher.asked == 6, "the second run reads what the first one asked"


def _unwanted() -> Tensor:
    raise AssertionError("this teacher reads no pictures of sources")


def test_a_teacher_that_reads_pictures_sees_those_of_the_first_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triplets, sources = _triplets(3), torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    monkeypatch.setattr(module, "load_teacher", lambda config: _Inverter("source_face"))
    found = apply_teacher(
        triplets, _bank(6), TeacherConfig("warp"), ReweightingConfig(), folder=tmp_path, sources=lambda: sources
    )
    assert torch.equal(found.truth, sources[:3])


def test_the_oracle_leaves_the_truths_alone(tiny_pools: tuple[Pools, Path], tmp_path: Path) -> None:
    triplets, bank = tiny_pools[0].sampled, tiny_pools[0].bank
    found = apply_teacher(
        triplets, bank, TeacherConfig("oracle"), ReweightingConfig(), folder=tmp_path, sources=_unwanted
    )
    assert found is triplets and found.alpha is None
