"""Runs of a table: their settings, when a record is theirs, and what makes them other runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.reproduction.runs import data_digest, missing, named_files, pools_folder, row_settings, runs_of
from mfs_lib.training.config import load_experiment
from mfs_lib.weights.safe_io import save_weights
from tests.reproduction.toys import BASE, record, toy_table


def test_runs_go_seed_by_seed_and_what_is_not_trained_runs_once(tmp_path: Path) -> None:
    runs = runs_of(toy_table(tmp_path))
    assert [(run.row.key, run.seed) for run in runs] == [
        ("plain", 0), ("ours", 0), ("unlisted", 0), ("teacher", 0), ("plain", 1), ("ours", 1), ("unlisted", 1),
    ]  # fmt: skip
    assert [run.experiment.seed for run in runs if run.row.trained] == [0, 0, 0, 1, 1, 1]
    assert {run.name for run in runs if run.row.key == "ours"} == {"toy/ours"}
    assert [run.steps for run in runs][:4] == [4, 4, 4, 0]
    chosen = runs_of(toy_table(tmp_path / "again"), seeds=[7, 3, 7], only=["teacher", "ours"])
    assert [(run.row.key, run.seed) for run in chosen] == [("ours", 7), ("teacher", 0), ("ours", 3)]


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    with pytest.raises(InputError, match="from 0"):
        runs_of(table, seeds=[-1])
    with pytest.raises(InputError, match="no row"):
        runs_of(table, only=["nothing"])
    with pytest.raises(InputError, match="no profile"):
        runs_of(table, "paper")
    (tmp_path / "experiments/base.yaml").write_text(yaml.safe_dump({**BASE, "data": {"size": 64}}))
    with pytest.raises(ConfigError, match="seed of its own"):
        runs_of(table)


def test_a_run_has_the_settings_of_its_file(tmp_path: Path) -> None:
    (plain,) = runs_of(toy_table(tmp_path), only=["plain"], seeds=[0])
    assert plain.experiment == load_experiment(plain.row.file)
    assert plain.experiment.network.pointwise == "plain" and plain.experiment.loss.id == 3.0


def test_a_profile_goes_between_the_base_and_the_row(tmp_path: Path) -> None:
    runs = {run.row.key: run for run in runs_of(toy_table(tmp_path), "smoke")}
    assert runs["ours"].experiment.loss.id == 7.0  # the profile's, over the base's 3
    assert runs["unlisted"].experiment.loss.id == 0.0  # the row's own
    assert runs["ours"].experiment.ema == 0.5 and runs["ours"].pairs == 4
    alone = tmp_path / "alone.yaml"
    alone.write_text("ema: 0.9\n")
    assert row_settings(alone, {"ema": 0.5, "clip": 2.0}) == {"ema": 0.9, "clip": 2.0}


def test_the_digest_is_of_everything_but_the_seed(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    before = {(run.row.key, run.seed): run for run in runs_of(table)}
    assert before["ours", 0].digest == before["ours", 1].digest != before["plain", 0].digest
    assert before["ours", 0].folder(tmp_path) != before["ours", 1].folder(tmp_path)
    smoke = {run.row.key: run for run in runs_of(table, "smoke")}
    assert smoke["ours"].digest != before["ours", 0].digest
    base = tmp_path / "experiments/base.yaml"
    base.write_text(yaml.safe_dump({**BASE, "seed": 9}))
    assert runs_of(table)[1].digest == before["ours", 0].digest and runs_of(table)[1].experiment.seed == 0
    base.write_text(yaml.safe_dump({**BASE, "clip": 3.0}))
    after = {run.row.key: run for run in runs_of(table)}
    assert after["ours"].digest != before["ours", 0].digest
    assert after["teacher"].digest == before["teacher", 0].digest  # no training, no gradient to clip


def test_a_record_counts_only_for_the_run_that_made_it(tmp_path: Path) -> None:
    (run,) = runs_of(toy_table(tmp_path), only=["ours"], seeds=[1])
    made = record("toy/ours", 1, {"retrieval": 1.0}, digest=run.digest)
    others = [
        replace(made, seed=0), replace(made, profile="smoke"), replace(made, experiment="toy/plain"),
        replace(made, experiment_digest="b" * 64), replace(made, experiment_digest=None),
    ]  # fmt: skip
    assert missing([run], [made]) == []
    assert missing([run], others) == [run]


def test_networks_that_are_named_count_by_their_bytes(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    teacher, base = tmp_path / "t.safetensors", tmp_path / "experiments/base.yaml"
    base.write_text(yaml.safe_dump({**BASE, "teacher": str(teacher)}))
    with pytest.raises(AssetError, match="no teacher"):
        runs_of(table, only=["ours"])
    digests = []
    for value in (0.0, 1.0):
        save_weights(teacher, {"a": torch.tensor([value])}, {})
        (run,) = runs_of(table, only=["ours"], seeds=[0])
        assert named_files(run.experiment) == {"teacher": teacher}
        digests.append(run.digest)
    assert digests[0] != digests[1]


def test_runs_on_the_same_pictures_share_their_pools(tmp_path: Path) -> None:
    table = toy_table(tmp_path)
    plain, ours = runs_of(table, only=["plain", "ours"], seeds=[0])
    assert pools_folder(plain, tmp_path) == pools_folder(ours, tmp_path)
    other = replace(ours, experiment=replace(ours.experiment, data=replace(ours.experiment.data, people=5)))
    assert data_digest(other) != data_digest(ours) and len(data_digest(ours)) == 64
    assert pools_folder(other, tmp_path) != pools_folder(ours, tmp_path)
