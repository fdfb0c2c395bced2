"""Measures a student on sampled people with exact truth, and on photographs of people it never saw.

`python -m mfs_lib.reproduction.student_report` appends records of the whole evaluation suite to `results/first_student.jsonl`:
`first_student/world` always, `first_student/london` and `first_student/sfhq` where the data is there. Another student gets
another `--name`, and with it another file.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.evaluation.evaluate import Backends, evaluate
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.faces.folders import load_photo_set
from mfs_lib.faces.identity import identity_of
from mfs_lib.faces.manifests import available
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.reproduction.measure import student_system, swaps_of
from mfs_lib.reproduction.sampled_pairs import draw_pairs
from mfs_lib.results import append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.weights.shipped import Student, load_student, student_path

WORLD_SEED = 20_261
"""Of the sampled pairs that students are measured on."""

SETS = ("world", "london", "sfhq")
_FILES = {"london": "london_neutral", "sfhq": "sfhq"}
_BATCH = 25


def world_swaps(student: Student, count: int, seed: int = WORLD_SEED) -> SwapSet:
    """What a student makes of `count` sampled people and as many others, with the exact swaps."""
    pairs = draw_pairs(count, student.crop_size, seed)
    swaps = swaps_of(student_system(student.network, student.crop_size), pairs)
    return SwapSet.of_pairs(swaps, pairs.source, pairs.target, pairs.truth)


def photo_swaps(student: Student, name: str, limit: int = 700) -> SwapSet:
    """Held-out photographs: every person's neutral (or only) picture onto another's smiling (or only) one.

    Raises:
        AssetError: the photographs aren't there.
    """
    photos = load_photo_set(name, "test", student.crop_size)
    sources = [i for i, e in enumerate(photos.expressions) if e != "smiling"]
    targets = [i for i, e in enumerate(photos.expressions) if e != "neutral"]
    people = photos.people
    pairs = [(a, b) for a, s in enumerate(sources) for b, t in enumerate(targets) if people[s] != people[t]]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:limit]
    source_of, target_of = torch.tensor([pairs[i] for i in chosen]).unbind(1)
    source, target = photos.pictures(sources), photos.pictures(targets)
    return SwapSet(
        source=source, target=target, swap=_swap(student, source, target, source_of, target_of), source_of=source_of,
        target_of=target_of, people=tuple(people[i] for i in sources), names=tuple(str(i) for i in chosen),
    )  # fmt: skip


@torch.no_grad()
def _swap(student: Student, source: Tensor, target: Tensor, source_of: Tensor, target_of: Tensor) -> Tensor:
    identity, swaps = identity_of(source), []
    rows = torch.arange(len(source_of)).split(_BATCH)  # type: ignore[no-untyped-call]
    for row in tqdm(rows, desc="swaps"):
        owner = source_of[row]
        who = IdentityFeatures(identity.embedding[owner], identity.feature_map[owner])
        swaps.append(student.network(target[target_of[row]], who).result)
    return torch.cat(swaps)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="default", help="shipped name or .safetensors file")
    parser.add_argument("--pairs", type=int, default=500, help="sampled pairs")
    parser.add_argument("--name", default="first_student", help="of the student in its records, NAME/world and so on")
    parser.add_argument("--output", type=Path, help="file of the records (default: results/NAME.jsonl)")
    parser.add_argument("--only", choices=SETS, help="measure on one of them")
    arguments = parser.parse_args()
    output = arguments.output or Path("results") / f"{arguments.name}.jsonl"
    student, backends = load_student(arguments.student), Backends.load()
    student.network.use_backend("matmul")
    for name in [arguments.only] if arguments.only else SETS:
        if name != "world" and not available(_FILES[name]):
            tqdm.write(f"{name} is left out: its photographs are not here")
            continue
        begun = time.perf_counter()
        swaps = world_swaps(student, arguments.pairs) if name == "world" else photo_swaps(student, name)
        found = evaluate(swaps, backends=backends)
        record = found.record(
            f"{arguments.name}/{name}", wall_seconds=time.perf_counter() - begun,
            seed=WORLD_SEED if name == "world" else 0, data_digest=file_digest(student_path(arguments.student)),
        )  # fmt: skip
        append_record(output, record)


if __name__ == "__main__":
    main()
