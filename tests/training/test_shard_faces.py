"""Photographs in shards become what a teacher learns from: pairs of the same person, once, from finished shards only."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.faces.shards import ShardConfig, write_shards
from mfs_lib.training import gan_data
from mfs_lib.training.gan import GanTrainer
from mfs_lib.training.gan_config import gan_experiment_from_dict
from mfs_lib.training.gan_data import prepare_faces
from mfs_lib.training.shard_faces import pairs_from_shards

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


def test_the_experiment_that_the_book_shows_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    experiment = gan_experiment_from_dict(yaml.safe_load(block))
    assert experiment.data.shards and experiment.precision == "bf16-mixed"
    gigabytes = 2 * experiment.data.people * 3 * experiment.data.size**2 / 1e9
    assert np.isclose(gigabytes, 75, atol=1) and "75 GB for 250 000" in PAGE.read_text("utf-8").replace("\n", " ")
