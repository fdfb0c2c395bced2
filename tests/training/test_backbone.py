"""A student's beginning as another's average person: the same function to the letter, open to identities, and fairly refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import ConfigError
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.training.backbone import average_person, take_backbone
from mfs_lib.training.config import experiment_from_dict
from mfs_lib.training.prepare import Pools
from mfs_lib.training.student import Trainer
from mfs_lib.weights.shipped import save_student
from tests.training.conftest import TINY

WHOLE: dict[str, Any] = {
    "channels": (4, 8, 8, 8, 8), "mask_channels": (8, 8, 4, 4, 2), "embedding_dim": 16, "feature_channels": 8,
    "predictor_input": "embedding", "predictor_width": 8, "kernel_base": True, "first_skip": True,
}  # fmt: skip


def _people(count: int, seed: int) -> IdentityFeatures:
    generator = torch.Generator().manual_seed(seed)
    embedding = functional.normalize(torch.randn(count, 16, generator=generator), dim=1)
    return IdentityFeatures(embedding, torch.randn(count, 8, 7, 7, generator=generator))


@pytest.fixture(scope="module")
def old() -> MobileFaceSwap:
    """A student of the whole method with weights of its own, its identity heard well."""
    torch.manual_seed(3)
    student = MobileFaceSwap(MobileFaceSwapConfig(**WHOLE))
    for _ in range(20):  # running statistics of the batch normalisations
        student(torch.rand(4, 3, 64, 64), _people(4, 1))
    return student.eval()


@pytest.fixture(scope="module")
def targets() -> Tensor:
    """Pictures that aren't noise throughout."""
    generator = torch.Generator().manual_seed(5)
    return functional.interpolate(torch.rand(6, 3, 8, 8, generator=generator), size=64, mode="bilinear")


def _begun(old: MobileFaceSwap, targets: Tensor, **options: object) -> MobileFaceSwap:
    torch.manual_seed(9)
    new = MobileFaceSwap(MobileFaceSwapConfig(**{**WHOLE, **options}))
    take_backbone(new, old, _people(50, 2), targets)
    return new.eval()


@pytest.mark.parametrize("options", [{}, {"depthwise": "learned"}, {"pointwise": "plain"}])
def test_it_begins_as_the_average_person_for_everyone(
    old: MobileFaceSwap, targets: Tensor, options: dict[str, object]
) -> None:
    new = _begun(old, targets, **options)
    with torch.no_grad():
        wanted = old.apply_weights(targets, average_person(old, _people(50, 2))).result
        for seed in (7, 8):
            assert torch.allclose(new(targets, _people(6, seed)).result, wanted, atol=1e-5)
        assert (wanted - targets).abs().mean() > 0.01, "the average person must do something, or nothing is shown"
        assert (old(targets, _people(6, 7)).result - old(targets, _people(6, 8)).result).abs().max() > 1e-3


@pytest.mark.parametrize("options", [{}, {"depthwise": "learned"}, {"pointwise": "plain"}, {"pointwise": "adain"}])
def test_the_first_step_opens_the_way_for_the_identity(
    old: MobileFaceSwap, targets: Tensor, options: dict[str, object]
) -> None:
    new = _begun(old, targets, **options)
    ways = [p for name, p in new.iin.named_parameters() if "style.weight" in name or "head.weight" in name]
    assert ways and all(not p.any() for p in ways)
    new(targets, _people(6, 7)).raw[:, 0].mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in ways)


def test_adain_begins_near_the_average_person(old: MobileFaceSwap, targets: Tensor) -> None:
    with torch.no_grad():
        wanted = old.apply_weights(targets, average_person(old, _people(50, 2))).raw
        near = _begun(old, targets, pointwise="adain")
        torch.manual_seed(9)
        anew = MobileFaceSwap(MobileFaceSwapConfig(**{**WHOLE, "pointwise": "adain"})).eval()
        errors = [(student(targets, _people(6, 7)).raw - wanted).abs().mean() for student in (near, anew)]
    assert errors[0] < 0.5 * errors[1]


def test_an_autoencoder_takes_what_it_reads_and_a_student_without_mask_no_mask(
    old: MobileFaceSwap, targets: Tensor
) -> None:
    auto = _begun(old, targets, architecture="autoencoder", first_skip=False)
    kernels = average_person(old, _people(50, 2)).decoder[1].depthwise
    state, theirs = auto.state_dict(), old.state_dict()
    assert kernels.shape[1] == 2 * len(state["iin.predictor.decoder_base.1"]) == 16
    assert torch.equal(state["iin.predictor.decoder_base.1"], kernels[0, :8])
    assert torch.equal(state["idn.final.1.weight"], theirs["idn.final.1.weight"][:, :4])
    bare = _begun(old, targets, fusion_mask=False)
    with torch.no_grad():
        wanted = old.apply_weights(targets, average_person(old, _people(50, 2))).raw
        assert torch.allclose(bare(targets, _people(6, 7)).result, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        ({"channels": (8, 8, 8, 8, 8)}, {}, "channels"),
        ({"mask_channels": (8, 8, 8, 4, 2)}, {}, "mask_channels"),
        ({"first_skip": False}, {}, "first_skip"),
        ({"kernel_base": False}, {}, "kernel_base"),
        ({}, {"pointwise": "adain"}, "whole method"),
        ({}, {"depthwise": "learned"}, "whole method"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    targets: Tensor, mine: dict[str, object], theirs: dict[str, object], said: str
) -> None:
    old = MobileFaceSwap(MobileFaceSwapConfig(**{**WHOLE, **theirs})).eval()
    with pytest.raises(ConfigError, match=said):
        _begun(old, targets, **mine)


def test_a_trainer_begins_on_a_backbone_and_resumes_where_it_was(
    tiny_pools: tuple[Pools, Path], tmp_path: Path
) -> None:
    options = {"predictor_input": "embedding", "predictor_width": 8, "kernel_base": True, **TINY["network"]}
    torch.manual_seed(0)
    student = MobileFaceSwap(MobileFaceSwapConfig.from_dict(options)).eval()
    file = tmp_path / "old.safetensors"
    save_student(file, student, crop_size=64)
    settings = {**TINY, "network": options, "backbone": str(file)}
    trainer = Trainer(experiment_from_dict(settings), tiny_pools[0], tmp_path / "run")
    watched = tiny_pools[0].watch
    with torch.no_grad():
        everyone = trainer.average(watched.target, watched.source).result
        turned = IdentityFeatures(watched.source.embedding.flip(0), watched.source.feature_map.flip(0))
        assert torch.allclose(trainer.average(watched.target, turned).result, everyone, atol=1e-6)
    for _ in range(2):
        trainer.train_step()
    trainer.save()
    again = Trainer(experiment_from_dict(settings), tiny_pools[0], tmp_path / "run")
    again.begin()
    assert again.step == 2
    assert all(torch.equal(a, b) for a, b in zip(again.student.parameters(), trainer.student.parameters(), strict=True))


def test_all_weights_of_one_and_the_backbone_of_another_is_refused() -> None:
    with pytest.raises(ConfigError, match="backbone"):
        experiment_from_dict({"start": "default", "backbone": "default"})
