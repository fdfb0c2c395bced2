"""How strong the face world's exact swap is, and how fast it renders: `python -m mfs_lib.evaluation.world_report`."""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mfs_lib.evaluation.identity_metrics import embed, identity_scores
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.model import MODEL_FILE
from mfs_lib.faces.morphable.parallel import Arrays, chunk_generator, draw, process_world
from mfs_lib.results import Metric, Record, append_record
from mfs_lib.runinfo import file_digest
from mfs_lib.weights.models import load_judge

_SEED, _BATCH = 31_415, 25


def truth_strength(world: MorphableWorld, people: int, size: int = 128) -> tuple[Metric, ...]:
    """Does an independent recogniser find the source in the truth as often as in another picture of the same person?"""
    judge, generator = load_judge(), torch.Generator().manual_seed(_SEED)
    found: dict[str, list[Tensor]] = {"source": [], "target": [], "truth": [], "again": []}
    for _ in tqdm(range(0, people, _BATCH), desc="people"):
        source, target = world.sample(_BATCH, generator, size=size), world.sample(_BATCH, generator, size=size)
        other = world.sample_attributes(_BATCH, generator, wearers=source.identity)
        pictures = {
            "source": source, "target": target, "again": world.render(source.identity, other, size=size),
            "truth": world.swap(identity_of=source, attributes_of=target),
        }  # fmt: skip
        for name, picture in pictures.items():
            found[name].append(embed(judge, picture.image))
    stacked = {name: torch.cat(parts) for name, parts in found.items()}
    owner = torch.arange(len(stacked["source"]))
    out = []
    for name in ("truth", "again", "target"):
        scores = identity_scores(stacked[name], stacked["target"], stacked["source"], owner)
        n, protocol = len(owner), f"nearest of {len(owner)} sources by cosine, {size} px; picture: {name}"
        share = 100 * float(scores.retrieved.float().mean())
        out.append(Metric(name=f"retrieval_{name}", value=share, unit="percent", backend="mobilefacenet",
                          protocol=protocol, n=n))  # fmt: skip
        out.append(Metric(name=f"cos_{name}", value=float(scores.to_source.mean()), backend="mobilefacenet",
                          protocol=f"cosine to the source; picture: {name}", n=n))  # fmt: skip
    return tuple(out)


def _drawing_seconds(chunk: int, *, size: int, batch: int, rounds: int) -> Arrays:
    """When one process began and ended drawing; what it costs to start is left out."""
    world, generator = process_world(), chunk_generator(_SEED, "speed", chunk)
    world.sample(batch, generator, size=size)
    begun = time.time()
    for _ in range(rounds):
        world.sample(batch, generator, size=size)
    return (np.array([[begun, time.time()]]),)


def rendering_speed(size: int, rounds: int = 40, batch: int = 16) -> Metric:
    """Pictures a second, sampling included, on this machine's CPU with a process for each core."""
    processes = os.cpu_count() or 1
    work = partial(_drawing_seconds, size=size, batch=batch, rounds=rounds)
    (spans,) = draw(work, range(processes), processes=processes, label=f"speed at {size}")
    count = processes * rounds * batch
    rate = count / float(spans[:, 1].max() - spans[:, 0].min())
    protocol = f"sample() in batches of {batch}, {processes} processes of one thread"
    return Metric(name=f"speed_{size}", value=rate, unit="images/s", protocol=protocol, n=count)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--output", type=Path, default=Path("results/world.jsonl"))
    arguments = parser.parse_args()
    world = MorphableWorld.load()
    digest, begun = file_digest(MODEL_FILE), time.time()
    metrics = {
        "world/truth_strength": truth_strength(world, arguments.people),
        "world/speed": tuple(rendering_speed(size) for size in (64, 128, 224)),
    }
    for experiment, values in metrics.items():
        record = Record(
            experiment=experiment, profile="mini", seed=_SEED, metrics=values, device="cpu",
            wall_seconds=time.time() - begun, data_digest=digest,
        )  # fmt: skip
        append_record(arguments.output, record)


if __name__ == "__main__":
    main()
