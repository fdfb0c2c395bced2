"""Experiments as data: a YAML file becomes a checked, frozen configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mfs_lib.errors import ConfigError
from mfs_lib.networks.mobilefaceswap import MobileFaceSwapConfig


@dataclass(frozen=True)
class DataConfig:
    """What the pools hold. `photos` names sets of the manifest; an empty list trains on sampled people alone."""

    size: int = 128
    people: int = 400
    triplets: int = 1000
    donors: int = 4
    photos: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchConfig:
    """Pictures of each kind in a batch."""

    sampled: int = 8
    reverse: int = 0
    free: int = 0


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses. What has weight zero isn't computed, for those that cost time."""

    rec: float = 30.0
    raw: float = 10.0
    laplacian: float = 20.0
    id: float = 2.0
    mask: float = 10.0
    cover: float = 0.5
    tone: float = 10.0
    background: float = 10.0
    multiscale: float = 0.0
    per: float = 0.0
    adv: float = 0.0


@dataclass(frozen=True)
class StageConfig:
    """Part of a run at one resolution; what is given of `batch`, `loss` and `identity_samples` replaces the experiment's.

    In a file, `loss` names only the weights that change.
    """

    size: int = 64
    steps: int = 100
    lr: float = 2e-3
    batch: BatchConfig | None = None
    identity_samples: int | None = None
    loss: LossConfig | None = None
    restart: bool = False  # the learning rate's cosine begins anew here: a run can be lengthened without changing it


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate: linear warm-up in each stage, cosine to `final_lr` from one restart (or the start) to the next."""

    warm_up: int = 50
    final_lr: float = 5e-5


@dataclass(frozen=True)
class StudentExperiment:
    """One training run."""

    seed: int = 0
    network: MobileFaceSwapConfig = field(default_factory=MobileFaceSwapConfig)
    data: DataConfig = field(default_factory=DataConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    identity_samples: int = 4  # pictures of a batch that the identity loss sees; 0 trains without that loss
    start: str = ""  # weights to begin from: a shipped student's name or a .safetensors file; without it, at random
    code_steps: int = 0  # steps of `learn_code` before the first picture
    loss: LossConfig = field(default_factory=LossConfig)
    stages: tuple[StageConfig, ...] = (StageConfig(),)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    freeze_norms_at: int = 300  # step from which normalisation uses its running statistics: small batches differ
    ema: float = 0.998
    clip: float = 1.0

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def cycle(self, step: int) -> tuple[int, int]:
        """First and last step (exclusive) of the learning rate's cosine that a step belongs to."""
        bounds, done = [0], 0
        for stage in self.stages:
            if stage.restart and done:
                bounds.append(done)
            done += stage.steps
        begun = max(b for b in bounds if b <= step)
        return begun, min([b for b in bounds if b > step], default=done)


_PARTS: dict[str, type] = {
    "data": DataConfig, "batch": BatchConfig, "loss": LossConfig, "schedule": ScheduleConfig,
}  # fmt: skip


def _fits(value: object, default: object) -> bool:
    """True where a value is of its default's kind; whole numbers do for fractions, truth values for neither."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if default is None:
        return isinstance(value, int | BatchConfig | LossConfig) and not isinstance(value, bool)
    if isinstance(default, float | int):
        kinds = int | float if isinstance(default, float) else int
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, list | tuple) if isinstance(default, tuple) else isinstance(value, type(default))


def make_part(kind: type, values: object, where: str) -> Any:
    """A frozen dataclass from a mapping, checked; `where` begins the message.

    Raises:
        ConfigError: no mapping, an unknown key, or a value of another kind than its default.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {values!r} is not a mapping of settings")
    defaults = {f.name: getattr(kind(), f.name) for f in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(defaults)):
        raise ConfigError(f"{where}: unknown keys {unknown}; known are {sorted(defaults)}")
    for key, value in values.items():
        if not _fits(value, defaults[key]):
            raise ConfigError(f"{where}: {key} can't be {value!r}; {defaults[key]!r} is its default")
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def _stage(values: Any, usual: LossConfig, where: str) -> StageConfig:
    if isinstance(values, Mapping) and "batch" in values:
        values = {**values, "batch": make_part(BatchConfig, values["batch"], f"{where}: batch")}
    if isinstance(values, Mapping) and "loss" in values:
        changed = values["loss"]
        if isinstance(changed, Mapping):
            changed = {**dataclasses.asdict(usual), **changed}
        values = {**values, "loss": make_part(LossConfig, changed, f"{where}: loss")}
    stage: StageConfig = make_part(StageConfig, values, where)
    return stage


def experiment_from_dict(values: Mapping[str, Any], where: str = "experiment") -> StudentExperiment:
    """Check a mapping as read from YAML.

    Raises:
        ConfigError: an unknown key or a value that can't be.
    """
    parts = dict(values)
    for name, kind in _PARTS.items():
        if name in parts:
            parts[name] = make_part(kind, parts[name], f"{where}: {name}")
    if "network" in parts:
        parts["network"] = MobileFaceSwapConfig.from_dict(parts["network"])
    if "stages" in parts:
        usual = parts.get("loss", LossConfig())
        parts["stages"] = tuple(_stage(s, usual, f"{where}: stages") for s in parts["stages"])
    result: StudentExperiment = make_part(StudentExperiment, parts, where)
    if result.steps < 1 or any(stage.steps < 1 for stage in result.stages):
        raise ConfigError(f"{where}: there must be a stage, and every stage needs steps")
    if any(stage.size < 32 or stage.size % 32 or result.data.size % stage.size for stage in result.stages):
        raise ConfigError(f"{where}: stage sizes must be multiples of 32 that divide the data's size")
    if result.code_steps and not result.network.code_dim:
        raise ConfigError(f"{where}: this network has no identity code to learn: set code_dim, or code_steps to 0")
    return result


def read_settings(path: Path) -> dict[str, Any]:
    """The mapping of settings in an experiment's file.

    Raises:
        ConfigError: no such file, or no such mapping in it.
    """
    if not path.is_file():
        raise ConfigError(f"there is no experiment {path}")
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a mapping of settings")
    return values


def load_experiment(path: Path) -> StudentExperiment:
    """Read an experiment file.

    Raises:
        ConfigError: no such file, or not a valid experiment.
    """
    return experiment_from_dict(read_settings(path), where=str(path))
