"""Experiments of teachers: those that ship load, defaults are the systems' own, and what can't be is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfs_lib.errors import ConfigError
from mfs_lib.networks.faceshifter import AEINetConfig
from mfs_lib.training.gan_config import GanLossConfig, gan_experiment_from_dict, load_gan_experiment
from mfs_lib.training.teachers.generators import SimSwapConfig

FILES = sorted((Path(__file__).resolve().parents[2] / "experiments/teachers").glob("*.yaml"))
SIMSWAP: dict[str, Any] = {"network": {"embedding_dim": 128}}
SHIFTER: dict[str, Any] = {
    "teacher": "faceshifter",
    "data": {"size": 32},
    "network": {"aad": {"id_dim": 128}, "encoder_channels": [4] * 4, "hidden_channels": [4] * 5},
}


def test_there_is_one_of_each() -> None:
    assert {load_gan_experiment(path).teacher for path in FILES} == {"simswap", "faceshifter"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_shipped_experiment_loads(path: Path) -> None:
    experiment = load_gan_experiment(path)
    assert path.stem == f"{experiment.teacher}_{experiment.data.size}"
    assert experiment.checkpoints >= 10 and experiment.steps % experiment.checkpoints == 0


def test_defaults_are_each_systems_own() -> None:
    simswap, shifter = gan_experiment_from_dict(SIMSWAP), gan_experiment_from_dict(SHIFTER)
    assert simswap.loss == GanLossConfig(adv=1, id=10, rec=10, features=10, attributes=0, penalty=1e-5)
    assert (simswap.same, simswap.discriminator.scales, simswap.optimiser.lr) == (0.5, 2, 2e-4)
    assert simswap.network == SimSwapConfig(embedding_dim=128)
    assert shifter.loss == GanLossConfig(adv=1, id=5, rec=10, features=0, attributes=10, penalty=0)
    assert (shifter.same, shifter.discriminator.scales, shifter.optimiser.lr) == (0.2, 3, 4e-4)
    assert isinstance(shifter.network, AEINetConfig) and shifter.network.size == 32
    changed = gan_experiment_from_dict({**SHIFTER, "loss": {"id": 7.0}, "optimiser": {"lr": 1e-3}, "same": 0.8})
    assert changed.loss == GanLossConfig(adv=1, id=7, rec=10, features=0, attributes=10, penalty=0)
    assert (changed.optimiser.lr, changed.optimiser.lr_discriminator, changed.same) == (1e-3, 4e-4, 0.8)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"teacher": "hififace"}, "teacher.*hififace"),
        ({"teacher": ["simswap"]}, "teacher"),
        ({**SIMSWAP, "epochs": 3}, "epochs"),
        ({**SIMSWAP, "precision": "16-mixed"}, "32-true, bf16-mixed"),
        ({"network": {"embedding_dim": 128, "depth": 3}}, "network.*depth"),
        ({"network": {}}, "conditioned on SFace.*512"),
        ({"network": 3}, "network.*mapping"),
        ({**SIMSWAP, "loss": {"perceptual": 1.0}}, "loss.*perceptual"),
        ({**SIMSWAP, "loss": {"attributes": 1.0}}, "FaceShifter's"),
        ({**SIMSWAP, "loss": 3}, "loss.*mapping"),
        ({**SIMSWAP, "loss": {"penalty": "1e-5"}}, "penalty.*1e-5"),  # YAML takes 1e-5, without a point, for text
        ({**SIMSWAP, "data": {"size": 60}}, "60 pixels"),
        ({**SHIFTER, "data": {"size": 64}}, "64 pixels"),
        ({**SHIFTER, "network": {"aad": {"heads": 3}}}, "aad.*heads"),
        ({**SIMSWAP, "data": {"people": 1}}, "people"),
        ({**SIMSWAP, "discriminator": {"layers": 3}}, "discriminator.*layers"),
        ({**SIMSWAP, "discriminator": {"scales": 0}}, "scale"),
        ({**SIMSWAP, "match_from": 5}, "match_from"),
        ({**SIMSWAP, "same": 1.5}, "same"),
        ({**SIMSWAP, "steps": 3}, "checkpoints"),
        ({**SIMSWAP, "batch": 0}, "positive"),
        ({**SIMSWAP, "identity_samples": -1}, "identity_samples"),
        ({**SIMSWAP, "warm_up": 1000}, "warm_up"),
        ({**SIMSWAP, "freeze_norms_at": -1}, "freeze_norms_at"),
        ({**SIMSWAP, "warm_up": 5, "loss": {"rec": 0.0}}, "rec needs a weight"),
        ({**SIMSWAP, "optimiser": {"betas": [0.5]}}, "betas"),
        ({**SIMSWAP, "seed": True}, "seed"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        gan_experiment_from_dict(values)


def test_files_that_are_no_experiments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no experiment"):
        load_gan_experiment(tmp_path / "missing.yaml")
    for content, named in (("- 1\n", "mapping"), ("a: [1\n", "not YAML")):
        path = tmp_path / "wrong.yaml"
        path.write_text(content)
        with pytest.raises(ConfigError, match=named):
            load_gan_experiment(path)
