"""Experiments that train a teacher: a YAML file becomes a checked, frozen configuration.

Defaults are those of the systems' own training as far as it is known:

| setting        | SimSwap                                        | FaceShifter                                       |
|----------------|------------------------------------------------|---------------------------------------------------|
| loss           | id 10, rec 10, features 10, penalty 1e-5       | attributes 10, id 5, rec 10                       |
| pairs          | every other batch shows the same person twice  | one target in five is the source's own picture    |
| discriminators | two scales                                     | three scales                                      |
| optimiser      | Adam, 2e-4, β (0, .999)                        | Adam, 4e-4, β (0, .999)                           |

(SimSwap: the paper as its authors quote it in their issue 159; the options released with the 224 model say id 20 and
penalty 10. FaceShifter: section 3.1 and the open re-implementations, whose share of same pictures is 20 or 80 %.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mfs_lib.errors import ConfigError
from mfs_lib.networks.sface import SFace
from mfs_lib.training.devices import PRECISIONS
from mfs_lib.training.settings import make_part, read_settings
from mfs_lib.training.teachers.generators import (
    GeneratorConfig,
    Kind,
    SimSwapConfig,
    check_kind,
    fits_size,
    generator_config,
    identity_size,
)


@dataclass(frozen=True)
class FacesConfig:
    """People to learn from, two pictures each: sampled ones of the face world, or photographs in shards of crops."""

    size: int = 64
    people: int = 400
    shards: str = (
        ""  # folder that `mfs_lib.faces.shards` wrote; its crops have `size`, and `people` counts pairs of them
    )


@dataclass(frozen=True)
class DiscriminatorConfig:
    """One `PatchGAN` for each scale; see there for the fields."""

    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    strided: int = 4
    norm: str = "batch"
    spectral: bool = False
    scales: int = 2


@dataclass(frozen=True)
class GanLossConfig:
    """Weights of the losses. What has weight zero isn't computed."""

    adv: float = 1.0
    id: float = 10.0
    rec: float = 10.0
    features: float = 0.0  # weak feature matching
    attributes: float = 0.0  # FaceShifter's
    penalty: float = 0.0  # on the discriminators' gradient


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam for the generator and for the discriminators."""

    lr: float = 2e-4
    lr_discriminator: float = 2e-4
    betas: tuple[float, ...] = (0.0, 0.999)


@dataclass(frozen=True)
class GanExperiment:
    """One training run of a teacher."""

    teacher: Kind = "simswap"
    seed: int = 0
    network: GeneratorConfig = field(default_factory=SimSwapConfig)
    data: FacesConfig = field(default_factory=FacesConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: GanLossConfig = field(default_factory=GanLossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    same: float = 0.5  # share of batches (SimSwap) or of samples (FaceShifter) that must reconstruct the target
    match_from: int = 2  # first layer of the discriminators that feature matching compares
    batch: int = 8
    identity_samples: int = 8  # pictures of a batch that the identity loss sees
    warm_up: int = (
        0  # steps at first that only reconstruct: a short training can't find the picture beside the identity
    )
    # step from which the generator's batch normalisation uses its running statistics (0: never); small batches differ, and
    # without skips a generator can't know by how much its picture was shifted
    freeze_norms_at: int = 0
    ema: float = (
        0.0  # of the generator that is looked at and kept: a mean over about 1 / (1 - ema) steps; 0 keeps the last
    )
    steps: int = 1000
    checkpoints: int = 20  # generators kept along the way, evenly spaced, the last at the end
    precision: str = "32-true"  # or bf16-mixed: layers for which it is safe compute in bfloat16


_LOSSES: dict[Kind, GanLossConfig] = {
    "simswap": GanLossConfig(features=10.0, penalty=1e-5),
    "faceshifter": GanLossConfig(id=5.0, attributes=10.0),
}
_DEFAULTS: dict[Kind, dict[str, Any]] = {
    "simswap": {},
    "faceshifter": {
        "same": 0.2,
        "discriminator": DiscriminatorConfig(scales=3),
        "optimiser": OptimiserConfig(lr=4e-4, lr_discriminator=4e-4),
    },
}
_PARTS: dict[str, type] = {
    "data": FacesConfig, "discriminator": DiscriminatorConfig, "loss": GanLossConfig, "optimiser": OptimiserConfig,
}  # fmt: skip


def _part(name: str, usual: Any, values: object, where: str) -> Any:
    """A part of the experiment: what the file says, over what is usual for this teacher."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {name}: {values!r} is not a mapping of settings")
    return make_part(_PARTS[name], {**dataclasses.asdict(usual), **values}, f"{where}: {name}")


def gan_experiment_from_dict(values: Mapping[str, Any], where: str = "experiment") -> GanExperiment:
    """Check a mapping as read from YAML.

    Raises:
        ConfigError: an unknown key or a value that can't be.
    """
    parts = dict(values)
    kind = check_kind(parts.get("teacher", "simswap"), where)
    network = parts.pop("network", {})
    usual = {"loss": _LOSSES[kind], "network": generator_config(kind, network, f"{where}: network"), **_DEFAULTS[kind]}
    for name, part in _PARTS.items():
        usual.setdefault(name, part())
        if name in parts:
            parts[name] = _part(name, usual[name], parts[name], where)
    generator = usual.pop("network")
    made = cast(GanExperiment, make_part(GanExperiment, {**usual, **parts}, where))
    experiment = dataclasses.replace(made, network=generator)
    _check(experiment, where)
    return experiment


def _check(experiment: GanExperiment, where: str) -> None:
    data, discriminator = experiment.data, experiment.discriminator
    problems = {
        f"crops of {data.size} pixels don't fit the network": not fits_size(experiment.network, data.size),
        f"teachers are conditioned on SFace: its identities have {SFace.embedding_size} numbers, the network takes "
        f"{identity_size(experiment.network)}": identity_size(experiment.network) != SFace.embedding_size,
        "two people at least are needed": data.people < 2,
        "steps, batch and checkpoints must be positive": min(experiment.steps, experiment.batch, experiment.checkpoints)
        < 1,
        "there can't be more checkpoints than steps": experiment.checkpoints > experiment.steps,
        "identity_samples, warm_up and freeze_norms_at can't be negative": min(
            experiment.identity_samples, experiment.warm_up, experiment.freeze_norms_at
        )
        < 0,
        "a warm_up reconstructs: it must end before the last step, and rec needs a weight": experiment.warm_up > 0
        and (experiment.warm_up >= experiment.steps or not experiment.loss.rec),
        "same is a share between 0 and 1": not 0 <= experiment.same <= 1,
        "ema lies between 0 and 1": not 0 <= experiment.ema < 1,
        "there must be a discriminator at one scale at least": discriminator.scales < 1,
        f"match_from lies between 0 and {len(discriminator.channels) - 1}": not (
            0 <= experiment.match_from < len(discriminator.channels)
        ),
        f"precision is one of {', '.join(PRECISIONS)}": experiment.precision not in PRECISIONS,
        "betas are two numbers": len(experiment.optimiser.betas) != 2,
        "attributes is FaceShifter's loss": experiment.teacher != "faceshifter" and experiment.loss.attributes != 0,
    }
    if found := [text for text, wrong in problems.items() if wrong]:
        raise ConfigError(f"{where}: {'; '.join(found)}")


def load_gan_experiment(path: Path) -> GanExperiment:
    """Read an experiment file.

    Raises:
        ConfigError: no such file, or not a valid experiment.
    """
    return gan_experiment_from_dict(read_settings(path), where=str(path))
