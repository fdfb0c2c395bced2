"""Pictures of a teacher's way: what some of its checkpoints made of the same few pairs, small enough to ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.reproduction.measure import swaps_of, teacher_system
from mfs_lib.reproduction.sampled_pairs import SampledPairs
from mfs_lib.training.sampled import to_uint8
from mfs_lib.training.teachers.trained import TrainedTeacher
from mfs_lib.weights.safe_io import load_weights, save_weights


@dataclass(frozen=True)
class Stages:
    """Pictures (N,3,S,S) uint8, those of K checkpoints (K,N,3,S,S), and the checkpoints' progress (K,)."""

    source: Tensor
    target: Tensor
    truth: Tensor
    pictures: Tensor
    progress: Tensor

    def columns(self) -> list[str]:
        """Names for a sheet: source, target, each checkpoint's share of the training, truth."""
        return ["source", "target", *(f"{100 * share:.0f} %" for share in self.progress.tolist()), "truth"]

    def rows(self, count: int) -> list[list[Tensor]]:
        """The first `count` pairs, a picture (3,S,S) in [0,1] for each of the columns."""
        parts = (self.source, self.target, *self.pictures, self.truth)
        return [[part[i].float() / 255 for part in parts] for i in range(min(count, len(self.source)))]


def spread(progress: Sequence[float], count: int) -> list[int]:
    """Indices of `count` checkpoints, first and last among them, each stage half or so of the next one's progress.

    What happens in a training happens early: even steps of the logarithm show more of it.
    """
    first, last = progress[0], progress[-1]
    wanted = [first * (last / first) ** (k / max(1, count - 1)) for k in range(count)]
    nearest = [min(range(len(progress)), key=lambda i: abs(progress[i] - share)) for share in wanted]
    return sorted(set(nearest))


def keep_stages(
    path: Path, teachers: Sequence[TrainedTeacher], pairs: SampledPairs, *, people: int = 6, count: int = 6
) -> Stages:
    """Write what some of a run's checkpoints make of the first pairs (atomically).

    Raises:
        OutputError: it can't be written.
    """
    chosen = [teachers[i] for i in spread([teacher.progress for teacher in teachers], count)]
    few = pairs.first(people)
    pictures = torch.stack([to_uint8(swaps_of(teacher_system(teacher), few)) for teacher in chosen])
    progress = torch.tensor([teacher.progress for teacher in chosen])
    found = Stages(to_uint8(few.source), to_uint8(few.target), to_uint8(few.truth), pictures, progress)
    save_weights(path, vars(found), {"holds": "pictures of a teacher's training"})
    return found


def load_stages(path: Path) -> Stages:
    """Read what `keep_stages` wrote.

    Raises:
        AssetError: the file is missing, damaged or holds something else.
    """
    state, _ = load_weights(path)
    try:
        return Stages(**state)
    except TypeError as error:
        raise AssetError(f"{path} does not hold the stages of a teacher's training") from error
