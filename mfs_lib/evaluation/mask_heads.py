"""The released mask head beside the cheap one that the paper's count suggests, fitted to the same features.

Both heads read the deepest features of one trained student, which stays as it is, and learn the exact masks of the face
world: what differs between them is only where the mask grows.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import trange

from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.fusion import FusionMask, MaskUpsampling
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, composite
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.weights.models import load_sface
from mfs_lib.weights.safe_io import load_weights, save_weights
from mfs_lib.weights.shipped import SHIPPED_FOLDER, load_student, student_path

HEADS_FILE = SHIPPED_FOLDER / "mask_heads.safetensors"
_CHUNK = 16
_SCENE_SEED = 2_024


@dataclass(frozen=True)
class Scenes:
    """Targets (B,3,S,S) with what the student's encoder makes of them, exact masks (B,1,S,S) and exact swaps."""

    target: Tensor
    features: Tensor
    mask: Tensor
    truth: Tensor


@dataclass(frozen=True)
class HeadScore:
    """A head's `masks` for held-out scenes; `error` to the exact ones, and of the swap composed by them, both L1 means."""

    masks: Tensor
    error: float
    swap_error: float


@torch.no_grad()
def draw_scenes(
    world: MorphableWorld,
    student: MobileFaceSwap,
    identity: nn.Module,
    generator: torch.Generator,
    *,
    count: int,
    size: int,
) -> Scenes:
    """`count` sampled pairs of people at `size` pixels, and the student's deepest features of their targets."""
    source, target = (world.sample(count, generator, size=size) for _ in range(2))
    truth = world.swap(identity_of=source, attributes_of=target)
    weights = student.inject(identity(arcface_view(source.image)))
    chunks = [slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
    features = torch.cat([student.idn(target.image[rows], weights[rows])[1] for rows in chunks])
    return Scenes(target.image, features, torch.maximum(truth.face_mask, target.face_mask), truth.image)


def fit_head(scenes: Scenes, head: FusionMask, generator: torch.Generator, *, steps: int, progress: bool) -> None:
    """Teach `head` the exact masks by binary cross-entropy, half of the batches mirrored."""
    optimiser = torch.optim.Adam(head.train().parameters(), 3e-3)
    for step in trange(steps, desc=f"mask grows: {head.upsampling}", disable=not progress, leave=False):
        rows = torch.randint(len(scenes.mask), (_CHUNK,), generator=generator)
        features, mask = scenes.features[rows], scenes.mask[rows]
        if step % 2:
            features, mask = features.flip(3), mask.flip(3)
        optimiser.zero_grad()
        functional.binary_cross_entropy(head(features), mask).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    head.eval()


def fit_heads(scenes: Scenes, *, steps: int, seed: int = 0, progress: bool = True) -> dict[MaskUpsampling, FusionMask]:
    """Fit both heads to the same scenes from the same seed."""
    heads: dict[MaskUpsampling, FusionMask] = {}
    for upsampling in get_args(MaskUpsampling):
        torch.manual_seed(seed)
        head = FusionMask(inputs=scenes.features.shape[1], upsampling=upsampling, backend="matmul")
        fit_head(scenes, head, torch.Generator().manual_seed(seed), steps=steps, progress=progress)
        heads[upsampling] = head
    return heads


@torch.no_grad()
def judge_head(head: FusionMask, scenes: Scenes) -> HeadScore:
    """How well a head does on scenes that it was not fitted to."""
    masks: Tensor = head(scenes.features)
    swap = composite(scenes.truth, masks, scenes.target)
    return HeadScore(masks, float((masks - scenes.mask).abs().mean()), float((swap - scenes.truth).abs().mean()))


def load_heads(path: Path = HEADS_FILE) -> dict[MaskUpsampling, FusionMask]:
    """The two heads of the recorded comparison, in eval mode.

    Raises:
        AssetError: the file is missing or isn't whole.
    """
    state, _ = load_weights(path)
    heads: dict[MaskUpsampling, FusionMask] = {}
    for upsampling in get_args(MaskUpsampling):
        head = FusionMask(upsampling=upsampling, backend="matmul").eval()
        own = {name.removeprefix(f"{upsampling}."): value for name, value in state.items()}
        head.load_state_dict({name: own[name].to(value.dtype) for name, value in head.state_dict().items()})
        heads[upsampling] = head
    return heads


def _save_heads(heads: dict[MaskUpsampling, FusionMask], metadata: dict[str, str]) -> None:
    state = {f"{kind}.{name}": value for kind, head in heads.items() for name, value in head.state_dict().items()}
    half = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    save_weights(HEADS_FILE, half, metadata)


def _metrics(scores: list[dict[MaskUpsampling, HeadScore]], protocol: str) -> list[Metric]:
    out = []
    for kind in get_args(MaskUpsampling):
        for what in ("error", "swap_error"):
            values = torch.tensor([getattr(score[kind], what) for score in scores], dtype=torch.float64)
            for name, value in (("", values.mean()), ("_spread", values.max() - values.min())):
                text = f"{protocol}; mask grows: {kind}{'; largest minus smallest' if name else ''}"
                out.append(
                    Metric(
                        name=f"{kind}_{what}{name}", value=float(value), backend="pixels", protocol=text, n=len(values)
                    )
                )
    return out


def main() -> None:
    """Command line: `python -m mfs_lib.evaluation.mask_heads` fits, records and keeps the heads of the first seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=256, help="scenes to fit to")
    parser.add_argument("--held-out", type=int, default=96, help="scenes to judge by")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/mask_heads.jsonl"))
    options = parser.parse_args()
    begun, generator = time.time(), torch.Generator().manual_seed(_SCENE_SEED)
    world, student, identity = MorphableWorld.load(), load_student().network, load_sface()
    train, test = (
        draw_scenes(world, student, identity, generator, count=count, size=224)
        for count in (options.people, options.held_out)
    )
    scores = []
    for seed in range(options.seeds):
        heads = fit_heads(train, steps=options.steps, seed=seed)
        scores.append({kind: judge_head(head, test) for kind, head in heads.items()})
        if seed == 0:
            _save_heads(heads, {"command": "python -m mfs_lib.evaluation.mask_heads", "seed": "0"})
    protocol = (
        f"L1 mean over {options.held_out} held-out crops of 224; fitted to {options.people}, {options.steps} steps"
    )
    record = Record(
        experiment="mask_heads", profile="mini", seed=0, device="cpu", wall_seconds=time.time() - begun,
        data_digest=file_digest(student_path()), metrics=tuple(_metrics(scores, protocol)),
    )  # fmt: skip
    append_record(options.output, record)


if __name__ == "__main__":
    main()
