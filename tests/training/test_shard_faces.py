"""Photographs in shards become what a teacher learns from: pairs of the same person, once, from finished shards only."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.faces.shards import ShardConfig, write_shards
from mfs_lib.training import gan_data, prepare
from mfs_lib.training.config import experiment_from_dict
from mfs_lib.training.gan import GanTrainer
from mfs_lib.training.gan_config import gan_experiment_from_dict
from mfs_lib.training.gan_data import prepare_faces
from mfs_lib.training.sampled import sampled_people
from mfs_lib.training.shard_faces import pairs_from_shards, shard_pool
from mfs_lib.training.student import Trainer

PEOPLE = {"ann": 5, "bob": 2, "cem": 3, "dora": 1}  # 2 + 1 + 1 + 0 pairs
PAGE = Path(__file__).resolve().parents[2] / "book" / "paper_profile.md"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of 32 pixels in shards of three; red says who is shown, green which photograph it is."""
    folder = tmp_path_factory.mktemp("crops")
    for person, (name, count) in enumerate(PEOPLE.items()):
        (folder / "all" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (32, 32), (50 * person, 10 * number, 99)).save(folder / "all" / name / f"{number}.png")
    write_shards(folder / "all", folder / "shards", ShardConfig(32, aligned=True, per_shard=3), progress=False)
    return folder / "shards"


def test_pairs_show_the_same_person_in_two_photographs(shards: Path) -> None:
    pictures = pairs_from_shards(shards, pairs=4, size=32, seed=0)
    assert pictures.shape == (8, 3, 32, 32) and pictures.dtype == torch.uint8
    who, which = pictures[:, 0, 0, 0].tolist(), pictures[:, 1, 0, 0].tolist()
    assert who[:4] == who[4:] and sorted(who[:4]) == [0, 0, 50, 100]
    assert len(set(zip(who, which, strict=True))) == 8  # no photograph twice
    assert bool((pictures == pictures[:, :, :1, :1]).all()) and bool((pictures[:, 2] == 99).all())
    assert torch.equal(pictures, pairs_from_shards(shards, pairs=4, size=32, seed=0))
    some = [pairs_from_shards(shards, pairs=2, size=32, seed=seed) for seed in range(6)]
    assert len({tuple(part[:, :2, 0, 0].flatten().tolist()) for part in some}) > 1


def test_too_few_pairs_and_other_sizes_are_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds 4 pairs.*wants 5"):
        pairs_from_shards(shards, pairs=5, size=32, seed=0)
    with pytest.raises(ConfigError, match="crops of 32 pixels, the experiment wants 64"):
        pairs_from_shards(shards, pairs=2, size=64, seed=0)
    with pytest.raises(InputError, match="no finished shards"):
        pairs_from_shards(tmp_path, pairs=2, size=32, seed=0)


def test_a_teacher_learns_from_shards(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan_data, "WATCHED", 2)
    experiment = gan_experiment_from_dict(
        {
            "data": {"size": 32, "people": 4, "shards": str(shards)}, "batch": 2, "identity_samples": 1, "steps": 1,
            "network": {"width": 2, "blocks": 1, "embedding_dim": 128}, "checkpoints": 1,
            "discriminator": {"channels": [4, 8], "strided": 2}, "match_from": 1,
        }
    )  # fmt: skip
    faces, watch = prepare_faces(experiment, tmp_path)
    assert faces.people == 4 and torch.equal(faces.pictures, pairs_from_shards(shards, pairs=4, size=32, seed=0))
    assert faces.embedding.shape == (8, 128)
    batch = faces.draw(torch.tensor([True, False]), "person", torch.Generator().manual_seed(0))
    assert {round(float(x)) for x in (255 * batch.target[:, 2]).unique()} == {99}
    assert "rec" not in GanTrainer(experiment, faces, watch, tmp_path).train_step()  # strangers first
    again, _ = prepare_faces(experiment, tmp_path)
    assert torch.equal(again.pictures, faces.pictures)
    elsewhere = shards.parent / "moved"
    if not elsewhere.exists():
        elsewhere.symlink_to(shards)
    moved = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, shards=str(elsewhere)))
    assert torch.equal(prepare_faces(moved, tmp_path)[0].pictures, faces.pictures)  # the same shards in another place
    world = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, shards=""))
    with pytest.raises(ConfigError, match="other data settings"):
        prepare_faces(world, tmp_path)


def test_runs_of_the_face_world_note_no_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan_data, "WATCHED", 2)
    values = {"data": {"size": 32, "people": 2}, "network": {"embedding_dim": 128}}
    prepare_faces(gan_experiment_from_dict(values), tmp_path)
    assert set(json.loads((tmp_path / "pools.json").read_text())) == {"seed", "world", "watched", "size", "people"}


STUDENT: dict[str, Any] = {
    "network": {"embedding_dim": 128, "feature_channels": 1024, "predictor_input": "embedding", "predictor_width": 8},
    "batch": {"sampled": 2}, "identity_samples": 1, "stages": [{"size": 64, "steps": 1}],
}  # fmt: skip


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures each of four sampled people, as crops of 64 pixels in shards."""
    folder = tmp_path_factory.mktemp("portraits")
    for index, picture in enumerate(sampled_people(people=4, size=64, seed=3)):
        path = folder / "all" / f"p{index % 4}" / f"{index // 4}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    write_shards(folder / "all", folder / "shards", ShardConfig(64, aligned=True), progress=False)
    return folder / "shards"


def test_strangers_are_put_onto_photographs(portraits: Path) -> None:
    pool = shard_pool(portraits, people=4, count=12, size=64, seed=0)
    shown = (pool.triplets.target[:, None] == pool.sources[None]).flatten(2).all(2)
    assert shown.sum(1).eq(1).all()  # each target is one of the photographs
    target, source = shown.float().argmax(1) % 4, pool.triplets.source
    assert bool((source[:, 0] != target).all()) and torch.equal(source[:, 1], source[:, 0] + 4)
    assert len(set(source[:, 0].tolist())) > 2 and pool.codes.shape == (8, 0)
    covered = (pool.triplets.mask > 127).float()
    assert bool((covered[:, 0, 30:40, 25:39] == 1).all())  # the nose
    assert 0.1 < float(covered.mean()) < 0.6 and not bool(covered[:, 0, :4].any())
    again = shard_pool(portraits, people=4, count=12, size=64, seed=0)
    assert torch.equal(again.triplets.target, pool.triplets.target) and torch.equal(again.triplets.source, source)


def test_a_student_learns_from_photographs_what_its_teacher_makes_of_them(
    portraits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_WATCHED", 2)
    data = {"size": 64, "people": 4, "triplets": 6, "shards": str(portraits)}
    experiment = experiment_from_dict({**STUDENT, "data": data, "teacher": "warp"})
    pools = prepare.prepare(experiment, tmp_path)
    taught = pools.sampled
    changed = (taught.truth.float() - taught.target.float()).abs().mean((1, 2, 3))
    assert taught.alpha is not None and bool((changed > 1).all())  # the teacher's swaps, not the photographs
    trainer = Trainer(experiment, pools, tmp_path)
    before = [p.detach().clone() for p in trainer.parameters]
    assert np.isfinite(trainer.train_step()["total"])
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True))
    world = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, shards=""))
    with pytest.raises(ConfigError, match="other data settings"):
        prepare.prepare(world, tmp_path)


@pytest.mark.parametrize(
    ("values", "named"),
    [({}, "no exact swaps.*oracle"), ({"teacher": "none"}, "none"), ({"teacher": "warp", "code_steps": 1}, "codes")],
)
def test_what_photographs_cannot_teach_is_refused(values: dict[str, Any], named: str) -> None:
    network = {**STUDENT["network"], "code_dim": 8} if "code_steps" in values else STUDENT["network"]
    with pytest.raises(ConfigError, match=named):
        experiment_from_dict({**STUDENT, "network": network, "data": {"size": 64, "shards": "crops"}, **values})


def test_the_experiments_that_the_book_shows_are_some() -> None:
    page = PAGE.read_text("utf-8")
    teaching, learning = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    teacher, student = gan_experiment_from_dict(teaching), experiment_from_dict(learning)
    assert teacher.data.shards == student.data.shards and teacher.precision == student.precision == "bf16-mixed"
    picture = 3 * teacher.data.size**2
    assert np.isclose(2 * teacher.data.people * picture / 1e9, 75, atol=1)
    assert "75 GB for 250 000" in page.replace("\n", " ")
    assert student.data.size == teacher.data.size and student.steps >= 100
    described = 4 * 128 + 2 * 1024 * 7 * 7  # SFace's embedding and feature map
    stored = 2 * student.data.people * (picture + described) + student.data.triplets * (7 * picture // 3)
    assert np.isclose(stored / 1e9, 60, atol=2) and "60 GB" in page
