"""Teachers that were trained here, in one safetensors file each, and SimSwap's own weights in the same class.

Header of our files, as text: ``teacher`` (simswap or faceshifter), ``config`` (JSON of its network), ``crop_size`` (side
in pixels that it was trained on), ``progress`` (share of the training that was done, 0..1: what the quality scorer learns
to tell), and what the trainer adds (steps, seed, data digest).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.sface import SFace
from mfs_lib.training.teachers.generators import (
    GeneratorConfig,
    build_generator,
    check_kind,
    fits_size,
    generator_config,
    identity_size,
    kind_of,
    plain_config,
    render,
)
from mfs_lib.training.teachers.interface import Need, check_target, finished, required_source
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import load_weights, save_weights


@dataclass(eq=False)
class TrainedTeacher:
    """SimSwap or FaceShifter as ``mfs_lib.training.gan`` trains them, conditioned on SFace.

    Attributes:
        network: in eval mode, frozen.
        config: of the network.
        crop_size: side of the crops that it was trained on; others are resized to it and back.
        progress: share of its training that was done.
        name: as in the experiment.
        metadata: the whole header of its file.
    """

    network: nn.Module
    config: GeneratorConfig
    crop_size: int
    progress: float
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    need: Need = "source_face or embedding"

    @cached_property
    def _sface(self) -> SFace:
        """Loaded when a source comes without its embedding."""
        return load_sface(device=next(self.network.parameters()).device)

    @torch.no_grad()
    def swap(
        self,
        source_face: Tensor | None,
        target: Tensor,
        *,
        truth: Tensor | None = None,
        embedding: Tensor | None = None,
        meshes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """See `Teacher.swap`; reads `source_face` only where no `embedding` is given."""
        del truth, meshes
        check_target(target)
        if embedding is None:
            embedding = self._sface(arcface_view(required_source(source_face, target, name=self.name))).embedding
        if embedding.shape != (len(target), identity_size(self.config)):
            raise InputError(
                f"the teacher {self.name} takes identities ({len(target)},{identity_size(self.config)}), got "
                f"{tuple(embedding.shape)}"
            )
        return finished(render(self.network, resized(target, self.crop_size), embedding), target)


def save_teacher(
    path: Path,
    network: nn.Module,
    config: GeneratorConfig,
    *,
    crop_size: int,
    progress: float,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a teacher so that `load_trained` finds everything in the one file (atomically).

    Raises:
        OutputError: it can't be written.
    """
    header = {
        "teacher": kind_of(config), "config": json.dumps(plain_config(config)), "crop_size": str(crop_size),
        "progress": repr(progress),
    }  # fmt: skip
    save_weights(path, network.state_dict(), {**(metadata or {}), **header})


def load_trained(path: Path, *, device: torch.device | str = "cpu") -> TrainedTeacher:
    """A teacher from its file.

    Raises:
        AssetError: the file is missing or damaged, or isn't a teacher of this version.
    """
    if not path.is_file():
        raise AssetError(
            f"there is no teacher {path}: train one ('python -m mfs_lib.training.gan experiments/teachers/simswap_64.yaml "
            "--run DIR') or check the name"
        )
    state, metadata = load_weights(path)
    try:
        config = generator_config(check_kind(metadata["teacher"]), json.loads(metadata["config"]))
        crop_size, progress = int(metadata["crop_size"]), float(metadata["progress"])
        network = build_generator(config)
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AssetError(f"{path} does not hold a teacher of this version ({reason})") from error
    if not fits_size(config, crop_size) or not (math.isfinite(progress) and 0 <= progress <= 1):
        raise AssetError(f"{path} states crops of {crop_size} pixels and a progress of {progress}, which can't be")
    network.eval().requires_grad_(False).to(device)
    return TrainedTeacher(network, config, crop_size, progress, str(path), metadata)
