"""Counts and times as records, one for each system of one interleaved run."""

from __future__ import annotations

from pathlib import Path

import torch

from mfs_lib.evaluation.complexity.latency import REFERENCE
from mfs_lib.evaluation.complexity.table import Table
from mfs_lib.results import Metric, Record, append_record

EXPERIMENT = "complexity"


def record(table: Table, path: Path, *, wall_seconds: float) -> None:
    """Append a record `complexity/KEY` for each system to the JSON-lines file `path`."""
    for key in table.costs:
        append_record(
            path,
            Record(
                experiment=f"{EXPERIMENT}/{key}", profile="mini", seed=0, device="cpu", wall_seconds=wall_seconds,
                metrics=(*_counts(table, key), *_times(table, key)),
            ),
        )  # fmt: skip


def _counts(table: Table, key: str) -> tuple[Metric, ...]:
    cost = table.costs[key]
    counts = {
        "parameters": cost.video.declared,
        "mac": cost.video.operations.mac,
        "weight_bytes": cost.video.weight_bytes,
        "peak_activation_bytes": cost.memory.peak_activations,
    }
    protocol = "counted on meta tensors, per-frame parts, float32, one frame"
    return tuple(Metric(name=name, value=float(value), protocol=protocol, n=1) for name, value in counts.items())


def _times(table: Table, key: str) -> tuple[Metric, ...]:
    timed = table.latency.get(key)
    if timed is None:
        return ()
    backend = f"torch {torch.__version__}, eager, float32, one CPU thread"
    protocol = f"per-frame parts, {timed.rounds} rounds in which {len(table.latency)} systems take turns"
    values = {"median": timed.median, "fastest": timed.fastest, "slowest": timed.slowest}
    times = [
        Metric(name=f"frame_{name}", value=1e3 * value, unit="ms", backend=backend, protocol=protocol, n=timed.rounds)
        for name, value in values.items()
    ]
    if timed.speed is not None:
        speed = f"median time of {REFERENCE} over the system's own; {protocol}"
        times.append(Metric(name="speed", value=timed.speed, backend=backend, protocol=speed, n=timed.rounds))
    return tuple(times)
