"""The systems of the regenerated figures: which of them are there, how they swap, and what a frame of theirs costs.

| key                     | what                                                                    | crop  |
|-------------------------|-------------------------------------------------------------------------|-------|
| warp                    | the landmark warp, no network of its own                                | any   |
| simswap_64, faceshifter_64 | the teachers that were trained here                                  | 64    |
| a row of Table 2        | its student of seed 0, `STUDENTS`/ROW_0.safetensors                     | 64    |
| default                 | the package's student                                                   | 128   |
| truth                   | the exact swap, where it is known                                       | any   |

Weights that aren't there are no error here: `find` returns what there is, and `left_out` puts the rest in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError, InputError
from mfs_lib.evaluation.complexity.system import Part, SystemCost, cost_of
from mfs_lib.evaluation.complexity.system import System as CountedSystem
from mfs_lib.faces.resizing import resized
from mfs_lib.networks.faceshifter import AEINet
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, StaticSwapper
from mfs_lib.networks.sface import SFace
from mfs_lib.networks.simswap import SimSwapGenerator, style_layers
from mfs_lib.reproduction.paper_pairs import Deck, ShownPairs
from mfs_lib.training.config import load_experiment
from mfs_lib.training.enlarging import swap_enlarged
from mfs_lib.training.teachers import Teacher
from mfs_lib.training.teachers.generators import build_generator, identity_size
from mfs_lib.training.teachers.landmark_warp import LandmarkWarp
from mfs_lib.training.teachers.loading import load_teacher
from mfs_lib.training.teachers.shipped import is_shipped
from mfs_lib.training.teachers.trained import TrainedTeacher
from mfs_lib.weights.shipped import SHIPPED_STUDENTS, Student, load_student

STUDENTS = Path("results/students")
"""Where the students of the rows of Table 2 lie, as `mfs results --keep-weights` writes them."""

EXPERIMENTS = Path("experiments/table2")

TEACHERS = {"simswap_64": "SimSwap-64", "faceshifter_64": "FaceShifter-64"}

ARCHITECTURE = {
    "no_weights_prediction": "without weights\nprediction",
    "adain": "AdaIN",
    "no_modulation": "without\nmodulation",
    "autoencoder": "autoencoder",
    "no_fusion": "without fusion",
    "ours": "ours",
}
"""Rows of the paper's Figure 8, and how they are called in ours."""

OBJECTIVES = {
    "no_distillation": "without\ndistillation",
    "no_identity_reweighting": "without identity\nreweighting",
    "no_quality_reweighting": "without quality\nreweighting",
    "no_identity_loss": "without\nidentity loss",
    "full_mask": "full mask\nsupervision",
    "ours": "ours",
}
"""Rows of the paper's Figure 9."""

_BATCH = 25


@dataclass(frozen=True)
class Shown:
    """A system in a figure.

    Attributes:
        key, title: for the code, for people.
        size: of the crops that it was trained on; None for what works at any size.
        swap: pairs of that size -> swaps (N,3,S,S) in [0,1].
        count: counts what it costs; None for what is no network.
        needs_truth: it can't be shown on photographs.
    """

    key: str
    title: str
    size: int | None
    swap: Callable[[ShownPairs], Tensor]
    count: Callable[[], SystemCost] | None = None
    needs_truth: bool = False


def _truth(pairs: ShownPairs) -> Tensor:
    if pairs.truth is None:
        raise InputError("no exact swap is known of these pairs")
    return pairs.truth


TRUTH = Shown("truth", "exact swap", None, _truth, needs_truth=True)


def teacher_system(teacher: Teacher, title: str) -> Shown:
    """A teacher as it swaps; what a trained one costs is counted from its network."""

    def swap(pairs: ShownPairs) -> Tensor:
        return teacher.swap(pairs.source, pairs.target, truth=pairs.truth, embedding=pairs.identity.embedding)

    if isinstance(teacher, TrainedTeacher):
        return Shown(teacher.name, title, teacher.crop_size, swap, lambda: teacher_cost(teacher, title))
    return Shown(teacher.name, title, None, swap)


def student_system(student: Student, title: str) -> Shown:
    """A student as it swaps: pictures of the size that it learned from, enlarged if it learned so."""
    student.network.use_backend("matmul")

    def swap(pairs: ShownPairs) -> Tensor:
        return swap_enlarged(student.network, pairs.target, pairs.identity, student.crop_size).result

    size = int(student.metadata.get("pictures", student.crop_size))
    return Shown(student.name, title, size, swap, lambda: student_cost(student, title))


def find(keys: Iterable[str], *, folder: Path = STUDENTS, titles: dict[str, str] | None = None) -> list[Shown]:
    """The systems of these keys that are there, in their order.

    Args:
        keys: see the table above.
        folder: of the rows' students.
        titles: instead of the usual ones.
    """
    found = (_find(key, folder, {**TEACHERS, **ARCHITECTURE, **OBJECTIVES, **(titles or {})}) for key in keys)
    return [system for system in found if system is not None]


def _find(key: str, folder: Path, titles: dict[str, str]) -> Shown | None:
    title = titles.get(key, key.replace("_", " "))
    if key == "truth":
        return TRUTH
    if key == "warp":
        return teacher_system(LandmarkWarp(), titles.get(key, "landmark warp"))
    if key in TEACHERS:
        return teacher_system(load_teacher(key), title) if is_shipped(key) else None
    if key in SHIPPED_STUDENTS:
        return student_system(load_student(key), title)
    path = folder / f"{key}_0.safetensors"
    return replace(student_system(load_student(path), title), key=key) if path.is_file() else None


def left_out(wanted: dict[str, str], found: Sequence[Shown]) -> str:
    """A sentence about those of the wanted systems (key to title) that weren't found; empty if all were."""
    there = {system.key for system in found}
    missing = [" ".join(title.split()) for key, title in wanted.items() if key not in there]
    if not missing:
        return ""
    return f"Left out, since their weights are not here: {', '.join(missing)}."


def taught_by(teacher: str, *, experiments: Path = EXPERIMENTS) -> str | None:
    """Row of Table 2 whose student learned by the full method from this teacher, as its experiment says; None without one."""
    for path in sorted(experiments.glob("ours*.yaml")):
        try:
            if load_experiment(path).teacher.name == teacher:
                return path.stem
        except ConfigError:
            continue  # an experiment that can't be read has no student to show
    return None


@torch.no_grad()
def swaps_of(system: Shown, deck: Deck, size: int) -> Tensor:
    """A system's swaps (N,3,S,S) of a deck, made at its own size and shown at `size`."""
    pairs = deck.deal(system.size or size)
    rows = torch.arange(len(pairs)).split(_BATCH)  # type: ignore[no-untyped-call]
    swaps = torch.cat([system.swap(pairs.select(index.tolist())) for index in rows])
    return resized(swaps, size).clamp(0, 1)


def _recognise(network: nn.Module) -> Callable[[], Any]:
    picture = torch.zeros(1, 3, SFace.input_size, SFace.input_size)
    return lambda: network(picture)


_RECOGNISER = Part(name="SFace", build=SFace, prepare=_recognise)


def teacher_cost(teacher: TrainedTeacher, title: str) -> SystemCost:
    """What a trained teacher costs for a person and for a frame."""
    side, length = teacher.crop_size, identity_size(teacher.config)

    def build() -> nn.Module:
        return build_generator(teacher.config)

    def styles(network: Any) -> Callable[[], Any]:
        return lambda: network.styles(torch.zeros(1, length))

    def frame(network: Any) -> Callable[[], Any]:
        target, given = torch.zeros(1, 3, side, side), network.styles(torch.zeros(1, length))
        render = network.render if isinstance(network, SimSwapGenerator) else network
        return lambda: render(target, given)

    def layers(network: Any) -> Sequence[nn.Module]:
        return style_layers(network) if isinstance(network, SimSwapGenerator) else AEINet.identity_layers(network)

    once = (_RECOGNISER, Part(name="styles", build=build, prepare=styles, only=layers))
    part = Part(name="generator", build=build, prepare=frame, without=layers)
    return cost_of(
        CountedSystem(key=teacher.name, title=title, size=side, once=once, frame=(part,), facts="trained here")
    )


def student_cost(student: Student, title: str) -> SystemCost:
    """What a student costs for a person and for a frame."""
    config, side = student.network.config, student.crop_size

    def inject(network: nn.Module) -> Callable[[], Any]:
        feature_map = torch.zeros(1, config.feature_channels, config.feature_size, config.feature_size)
        who = IdentityFeatures(torch.zeros(1, config.embedding_dim), feature_map)
        return lambda: network(who)

    def frame(network: nn.Module) -> Callable[[], Any]:
        target = torch.zeros(1, 3, side, side)
        return lambda: network(target)

    def static() -> StaticSwapper:
        return StaticSwapper(
            channels=config.channels, mask_channels=config.mask_channels, mask_upsampling=config.mask_upsampling,
            first_skip=config.first_skip, pointwise=config.pointwise, architecture=config.architecture,
            fusion_mask=config.fusion_mask,
        )  # fmt: skip

    def written(network: StaticSwapper) -> Sequence[nn.Module]:
        return [*network.idn.encoder, *network.idn.decoder]

    injection = Part(name="injection network", build=lambda: MobileFaceSwap(config).iin, prepare=inject)
    mobile = Part(name="mobile network and mask", build=static, prepare=frame, written=written)
    return cost_of(
        CountedSystem(
            key=student.name,
            title=title,
            size=side,
            once=(_RECOGNISER, injection),
            frame=(mobile,),
            facts="trained here",
        )
    )
