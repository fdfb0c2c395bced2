"""Measures a student on sampled people with exact truth, and on photographs of people it never saw.

`python -m mfs_lib.evaluation.student_report` appends records to `results/first_student.jsonl`: `first_student/world`
always, `first_student/london` and `first_student/sfhq` where the data is there.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.evaluation.identity_metrics import IdentityScores, embed, identity_scores
from mfs_lib.evaluation.pose import pose_errors
from mfs_lib.faces.alignment import arcface_view
from mfs_lib.faces.folders import load_photo_set
from mfs_lib.faces.manifests import available
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.weights.models import load_judge, load_mesh, load_sface
from mfs_lib.weights.shipped import load_student, student_path

JUDGE = "mobilefacenet"
WORLD_SEED = 20_261
_BATCH = 25


@dataclass(frozen=True)
class Pairs:
    """Crops (N, 3, S, S) in [0, 1]: what goes in and what comes out."""

    gallery: Tensor
    owner: Tensor  # (N,) index of each pair's source in the gallery
    target: Tensor
    result: Tensor
    truth: Tensor | None = None


@torch.no_grad()
def identity_of(crops: Tensor) -> IdentityFeatures:
    """SFace's features of aligned crops (N, 3, S, S) in [0, 1]."""
    sface = load_sface()
    parts = [sface(arcface_view(part)) for part in crops.split(_BATCH)]  # type: ignore[no-untyped-call]
    return IdentityFeatures(torch.cat([p.embedding for p in parts]), torch.cat([p.feature_map for p in parts]))


@torch.no_grad()
def swap_all(student: MobileFaceSwap, target: Tensor, identity: IdentityFeatures, owner: Tensor) -> Tensor:
    """Results (N, 3, S, S) of swapping identity `owner[i]` onto target i."""
    rows = []
    for index in tqdm(torch.arange(len(target)).split(_BATCH), desc="swaps"):  # type: ignore[no-untyped-call]
        who = IdentityFeatures(identity.embedding[owner[index]], identity.feature_map[owner[index]])
        rows.append(student(target[index], who).result)
    return torch.cat(rows)


def world_pairs(student: MobileFaceSwap, count: int, size: int, seed: int = WORLD_SEED) -> Pairs:
    """`count` sampled people onto as many others, with the truth."""
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(seed)
    sources, targets, truths = [], [], []
    for _ in tqdm(range(0, count, _BATCH), desc="sampled pairs"):
        source, target = world.sample(_BATCH, generator, size=size), world.sample(_BATCH, generator, size=size)
        truths.append(world.swap(identity_of=source, attributes_of=target).image)
        sources.append(source.image)
        targets.append(target.image)
    gallery, onto, owner = torch.cat(sources), torch.cat(targets), torch.arange(len(targets) * _BATCH)
    return Pairs(gallery, owner, onto, swap_all(student, onto, identity_of(gallery), owner), torch.cat(truths))


def photo_pairs(student: MobileFaceSwap, name: str, size: int, limit: int = 700) -> Pairs:
    """Held-out photographs: every person's neutral (or only) picture onto another's smiling (or only) one."""
    photos = load_photo_set(name, "test", size)
    first = [i for i, e in enumerate(photos.expressions) if e != "smiling"]
    second = [i for i, e in enumerate(photos.expressions) if e != "neutral"]
    pairs = [(a, b) for a in range(len(first)) for b in second if photos.people[first[a]] != photos.people[b]]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:limit]
    owner = torch.tensor([pairs[i][0] for i in chosen])
    gallery, target = photos.pictures(first), photos.pictures(pairs[i][1] for i in chosen)
    return Pairs(gallery, owner, target, swap_all(student, target, identity_of(gallery), owner))


def _share(name: str, value: Tensor | float, n: int, protocol: str, backend: str = JUDGE) -> Metric:
    number = float(value.float().mean()) if isinstance(value, Tensor) else value
    return Metric(name=name, value=100 * number, unit="percent", backend=backend, protocol=protocol, n=n)


def _mean(name: str, value: Tensor, protocol: str, *, unit: str = "1", backend: str = JUDGE) -> Metric:
    return Metric(
        name=name, value=float(value.mean()), unit=unit, backend=backend, protocol=protocol, n=int(value.shape[0])
    )


def _identity_metrics(scores: IdentityScores, gallery: int) -> list[Metric]:
    n = len(scores.to_source)
    return [
        _share("retrieval", scores.retrieved, n, f"the source is the nearest of {gallery} source pictures by cosine"),
        _mean("cos_source", scores.to_source, "cosine of result and source"),
        _mean("cos_target", scores.to_target, "cosine of result and target"),
        _mean("cos_before", scores.before, "cosine of target and source: what doing nothing gives"),
        _share("nearer_than_target", scores.nearer_than_target, n, "result nearer to the source than the target was"),
        _share("nearer_to_source", scores.nearer_to_source, n, "result nearer to the source than to the target"),
    ]


def _pose_metrics(pairs: Pairs, limit: int = 150) -> list[Metric]:
    errors = torch.from_numpy(pose_errors(pairs.result[:limit], pairs.target[:limit], load_mesh()))
    backend = "mesh468-pnp"
    names = ("yaw", "pitch", "roll")
    out = [
        _mean(f"pose_{name}", errors[:, k], "mean absolute angle between result and target", unit="degree",
              backend=backend)
        for k, name in enumerate(names)
    ]  # fmt: skip
    kept = (errors.max(1).values <= 3).float()
    everything = _mean("pose_error", errors.mean(1), "mean of the three angles", unit="degree", backend=backend)
    return [everything, *out, _share("pose_within_3", kept, len(kept), "all three angles within 3 degrees", backend)]


def measure(pairs: Pairs) -> list[Metric]:
    """All metrics of pairs; those against the truth where there is one."""
    judge = load_judge(JUDGE)
    gallery, target, result = (embed(judge, x) for x in (pairs.gallery, pairs.target, pairs.result))
    scores = identity_scores(result, target, gallery, pairs.owner)
    metrics = _identity_metrics(scores, len(gallery)) + _pose_metrics(pairs)
    if pairs.truth is not None:
        ideal = identity_scores(embed(judge, pairs.truth), target, gallery, pairs.owner)
        metrics += _truth_metrics(pairs, pairs.truth, scores, ideal)
    return metrics


def _truth_metrics(pairs: Pairs, truth: Tensor, scores: IdentityScores, ideal: IdentityScores) -> list[Metric]:
    n = len(truth)
    error = (pairs.result - truth).abs().mean((1, 2, 3)) * 255
    nothing = (pairs.target - truth).abs().mean((1, 2, 3)) * 255
    given = scores.retrieved[ideal.retrieved]
    return [
        _share("retrieval_of_truth", ideal.retrieved, n, "the same retrieval for the exact truth"),
        _share("retrieval_given_truth", given, len(given), "retrieval where the truth's succeeds"),
        _mean("error", error, "mean absolute error to the truth, grey levels", backend="pixels"),
        _mean("error_of_target", nothing, "the same for the untouched target", backend="pixels"),
        Metric(
            name="error_ratio", value=float(error.mean() / nothing.mean()), backend="pixels",
            protocol="error to the truth over the target's own", n=n,
        ),
    ]  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="default", help="shipped name or .safetensors file")
    parser.add_argument("--pairs", type=int, default=500, help="sampled pairs")
    parser.add_argument("--output", type=Path, default=Path("results/first_student.jsonl"))
    parser.add_argument("--only", choices=["world", "london", "sfhq"], help="measure on one of them")
    arguments = parser.parse_args()
    student = load_student(arguments.student)
    student.network.use_backend("matmul")
    sets = [arguments.only] if arguments.only else ["world", "london", "sfhq"]
    for name in sets:
        if name != "world" and not available("london_neutral" if name == "london" else name):
            continue
        begun = time.time()
        if name == "world":
            pairs = world_pairs(student.network, arguments.pairs, student.crop_size)
        else:
            pairs = photo_pairs(student.network, name, student.crop_size)
        record = Record(
            experiment=f"first_student/{name}", profile="mini", seed=WORLD_SEED if name == "world" else 0,
            metrics=tuple(measure(pairs)), device="cpu", wall_seconds=time.time() - begun,
            data_digest=file_digest(student_path(arguments.student)),
        )  # fmt: skip
        append_record(arguments.output, record)


if __name__ == "__main__":
    main()
