"""Time of a frame on this machine, measured side by side: systems take turns, so that a busy moment hits all alike.

Eager PyTorch with random float32 weights on one thread of the CPU: a comparison of networks, not of deployments.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from mfs_lib.errors import InputError
from mfs_lib.evaluation.complexity.system import System
from mfs_lib.threads import torch_threads

REFERENCE = "simswap-224"
"""The system whose frames per second are 1."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds for a frame: `median` and extremes over the rounds; `speed` is frames a second over the reference's."""

    median: float
    fastest: float
    slowest: float
    rounds: int
    speed: float | None


def measure_latency(systems: Sequence[System], *, rounds: int = 3, progress: bool = True) -> dict[str, Latency]:
    """Run every system's per-frame parts in turn, `rounds` times after a warm-up, on one thread.

    `speed` is None where the reference (`REFERENCE`) isn't among the systems. Raises InputError for less than a round.
    """
    if rounds < 1:
        raise InputError(f"at least one round is needed, got {rounds}")
    times: dict[str, list[float]] = {system.key: [] for system in systems}
    with torch_threads(1), torch.no_grad():
        frames = {system.key: _frame(system) for system in systems}
        turns = [(turn, key) for turn in range(-1, rounds) for key in frames]
        for turn, key in tqdm(turns, desc="timing", disable=not progress, leave=False):
            start = time.perf_counter()
            frames[key]()
            if turn >= 0:
                times[key].append(time.perf_counter() - start)
    medians = {key: statistics.median(values) for key, values in times.items()}
    reference = medians.get(REFERENCE)
    return {
        key: Latency(
            median=medians[key], fastest=min(values), slowest=max(values), rounds=rounds,
            speed=None if reference is None else reference / medians[key],
        )
        for key, values in times.items()
    }  # fmt: skip


def _frame(system: System) -> Callable[[], None]:
    runs: list[Callable[[], Any]] = [part.prepare(part.build().eval()) for part in system.frame]

    def frame() -> None:
        for run in runs:
            run()

    return frame
