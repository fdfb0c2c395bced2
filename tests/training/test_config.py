"""Experiment files: those that ship load, and what can't be is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfs_lib.errors import ConfigError
from mfs_lib.faces import manifests
from mfs_lib.faces.folders import GROUPS
from mfs_lib.training.config import StudentExperiment, experiment_from_dict, load_experiment

FOLDER = Path(__file__).resolve().parents[2] / "experiments"
#: What a student learns by; `table2.yaml` says something of the files in the folder `table2`, and is no experiment itself.
FILES = sorted(f for f in [*FOLDER.glob("*.yaml"), *FOLDER.glob("table2/*.yaml")] if not f.with_suffix("").is_dir())


def test_there_are_experiments() -> None:
    assert {"first_student.yaml", "base.yaml", "ours.yaml", "no_fusion.yaml"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_shipped_experiment_loads(path: Path) -> None:
    experiment = load_experiment(path)
    assert experiment.steps >= 100
    assert experiment.stages[-1].size == experiment.data.size
    assert set(experiment.data.photos) <= {*GROUPS, *manifests.names()}
    assert experiment.batch.sampled + experiment.batch.reverse + experiment.batch.free > 1


def test_defaults_and_settings() -> None:
    assert experiment_from_dict({}) == StudentExperiment()
    made = experiment_from_dict(
        {"seed": 5, "network": {"predictor_width": 8}, "data": {"photos": ["london"]}, "stages": [{"size": 64}] * 3}
    )
    assert (made.seed, made.network.predictor_width, made.data.photos, made.steps) == (5, 8, ("london",), 300)


def test_features_of_the_perceptual_loss_are_chosen() -> None:
    assert StudentExperiment().perceptual == "mobilenet-v2"
    assert experiment_from_dict({"perceptual": "vgg19"}).perceptual == "vgg19"


def test_a_stage_changes_the_weights_that_it_names() -> None:
    made = experiment_from_dict({"loss": {"id": 7.0}, "stages": [{"steps": 1}, {"loss": {"per": 4.0}}]})
    first, second = made.stages
    assert first.loss is None and made.loss.per == 0
    assert second.loss is not None and (second.loss.id, second.loss.per) == (7.0, 4.0)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"sead": 1}, "sead"),
        ({"data": {"pepole": 3}}, "data.*pepole"),
        ({"batch": {"size": 8}}, "batch.*size"),
        ({"loss": {"ssim": 1.0}}, "loss.*ssim"),
        ({"stages": [{"loss": {"ssim": 1.0}}]}, "stages: loss.*ssim"),
        ({"stages": [{"loss": 3}]}, "stages: loss.*mapping"),
        ({"schedule": {"warmup": 1}}, "schedule.*warmup"),
        ({"stages": [{"epochs": 1}]}, "stages.*epochs"),
        ({"network": {"depth": 3}}, "depth"),
        ({"network": {"predictor_width": 0}}, "predictor_width"),
        ({"stages": [{"size": 48}]}, "multiples of 32"),
        ({"stages": [{"size": 0}]}, "multiples of 32"),
        ({"data": {"size": 128}, "stages": [{"size": 96}]}, "divide"),
        ({"stages": []}, "stage"),
        ({"stages": [{"steps": 0}]}, "steps"),
        ({"data": None}, "data.*mapping"),
        ({"stages": [3]}, "stages.*mapping"),
        ({"stages": [{"lr": "2e-3"}]}, "lr.*2e-3"),  # YAML takes 2e-3, without a point, for text
        ({"data": {"photos": "london"}}, "photos"),
        ({"seed": True}, "seed"),
        ({"batch": {"sampled": 2.5}}, "sampled"),
        ({"code_steps": 9}, "code_dim"),
        ({"perceptual": "vgg16"}, "perceptual.*vgg19.*vgg16"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        experiment_from_dict(values)


def test_files_that_are_no_experiments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no experiment"):
        load_experiment(tmp_path / "missing.yaml")
    for content, named in (("- 1\n- 2\n", "mapping"), ("a: [1\n", "not YAML"), ("", "mapping")):
        path = tmp_path / "wrong.yaml"
        path.write_text(content)
        with pytest.raises(ConfigError, match=named):
            load_experiment(path)
