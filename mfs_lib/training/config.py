"""Experiments as data: a YAML file becomes a checked, frozen configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from mfs_lib.errors import ConfigError
from mfs_lib.networks.mobilefaceswap import MobileFaceSwapConfig
from mfs_lib.training.settings import make_part, read_settings
from mfs_lib.training.taught import ReweightingConfig
from mfs_lib.training.teachers.loading import TeacherConfig, parse_teacher

Precision = Literal["32-true", "bf16-mixed"]
Perceptual = Literal["mobilenet-v2", "vgg19"]


@dataclass(frozen=True)
class DataConfig:
    """What the pools hold. `photos` names sets of the manifest; an empty list trains on sampled people alone.

    With a `seed` of their own, runs of many seeds learn from the same pools; without it, from the run's. With `shards`, a
    folder that `mfs_lib.faces.shards` wrote, photographs stand in the place of sampled people: its crops have `size`,
    and `people` counts pairs of them. Nobody knows their exact swaps, so that a teacher must make some.
    """

    size: int = 128
    people: int = 400
    triplets: int = 1000
    donors: int = 4
    photos: tuple[str, ...] = ()
    seed: int | None = None
    shards: str = ""


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
    per_squared: float = 0.0  # L_per as equation 3 has it
    full_mask: float = 0.0  # equation 6 over all pixels, which the paper compares its weak loss with


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
    backbone: str = ""  # the student, named like `start`, whose average person it begins as (see `training.backbone`)
    start: str = ""  # weights to begin from: a shipped student's name or a .safetensors file; without it, at random
    teacher: TeacherConfig = field(default_factory=TeacherConfig)  # whose swaps are learned; oracle: the exact ones
    reweighting: ReweightingConfig = field(default_factory=ReweightingConfig)  # α of equation 4; the oracle has none
    difference_gain: float = 6.0  # how much more of a reconstruction counts where truth and target differ; 0: all alike
    precision: str = "32-true"  # or bf16-mixed: what autocast computes in
    enlarge: int = 1  # targets are made so many times larger for the network, and its pictures reduced again
    code_steps: int = 0  # steps of `learn_code` before the first picture
    loss: LossConfig = field(default_factory=LossConfig)
    perceptual: Perceptual = "mobilenet-v2"  # whose features L_per compares; vgg19's weights must be there
    stages: tuple[StageConfig, ...] = (StageConfig(),)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    freeze_norms_at: int = 300  # step from which normalisation uses its running statistics: small batches differ
    ema: float = 0.998
    clip: float = 1.0

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def crop_size(self) -> int:
        """Of the crops that the network works on in the end."""
        return self.stages[-1].size * self.enlarge

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
    "reweighting": ReweightingConfig,
}  # fmt: skip


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
    if "teacher" in parts:
        parts["teacher"] = parse_teacher(parts["teacher"], where)
    if "stages" in parts:
        usual = parts.get("loss", LossConfig())
        parts["stages"] = tuple(_stage(s, usual, f"{where}: stages") for s in parts["stages"])
    result: StudentExperiment = make_part(StudentExperiment, parts, where)
    _check(result, where)
    return result


def _check(result: StudentExperiment, where: str) -> None:
    if result.steps < 1 or any(stage.steps < 1 for stage in result.stages):
        raise ConfigError(f"{where}: there must be a stage, and every stage needs steps")
    if any(stage.size < 32 or stage.size % 32 or result.data.size % stage.size for stage in result.stages):
        raise ConfigError(f"{where}: stage sizes must be multiples of 32 that divide the data's size")
    if result.enlarge < 1:
        raise ConfigError(f"{where}: enlarge must be 1 (targets as they are) or more, got {result.enlarge}")
    if result.start and result.backbone:
        raise ConfigError(
            f"{where}: a student can't begin from all weights of one and the backbone of another: drop one"
        )
    if result.code_steps and not result.network.code_dim:
        raise ConfigError(f"{where}: this network has no identity code to learn: set code_dim, or code_steps to 0")
    if result.data.shards and result.teacher.name in ("oracle", "none"):
        raise ConfigError(
            f"{where}: photographs in shards have no exact swaps to learn from (teacher: {result.teacher.name}): name a "
            "teacher that makes some"
        )
    if result.data.shards and (result.code_steps or result.data.people < 2):
        raise ConfigError(
            f"{where}: photographs in shards have no identity codes, and swaps need two people: check both"
        )
    if result.precision not in get_args(Precision):
        raise ConfigError(f"{where}: precision must be one of {get_args(Precision)}, got {result.precision!r}")
    if result.perceptual not in get_args(Perceptual):
        raise ConfigError(f"{where}: perceptual must be one of {get_args(Perceptual)}, got {result.perceptual!r}")
    if result.difference_gain < 0:
        raise ConfigError(f"{where}: difference_gain can't be negative, got {result.difference_gain}")


def load_experiment(path: Path) -> StudentExperiment:
    """Read an experiment file.

    Raises:
        ConfigError: no such file, or not a valid experiment.
    """
    return experiment_from_dict(read_settings(path), where=str(path))
