"""Drawing by several processes: a small picture keeps one core busy, so two cores draw two at a time.

Work is cut into chunks, each with a seed of its own and drawn by one thread: how many processes there are changes the
time, never the pictures.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from mfs_lib.faces.morphable.world import MorphableWorld
from mfs_lib.threads import torch_threads

Arrays = tuple[np.ndarray, ...]
Task = TypeVar("Task")

_STREAMS = {"people": 0, "triplets": 1, "owners": 2, "speed": 3}


def chunk_generator(seed: int, stream: str, chunk: int) -> torch.Generator:
    """The generator of one chunk; chunks and streams of a seed never share one."""
    return torch.Generator().manual_seed((seed * len(_STREAMS) + _STREAMS[stream]) * 1_000_003 + chunk)


@cache
def process_world() -> MorphableWorld:
    """The world of this process."""
    return MorphableWorld.load()


def draw(work: Callable[[Task], Arrays], tasks: Sequence[Task], *, processes: int, label: str) -> list[np.ndarray]:
    """`work` of every task, which must be importable by name, joined column by column in the order of the tasks.

    Args:
        work: gives arrays whose first axis is that of the pictures.
        tasks: one or more; what they hold is sent to the processes.
        processes: how many; one draws in this process.
        label: of the progress bar.
    """

    def joined(results: Iterable[Arrays]) -> list[np.ndarray]:
        return [np.concatenate(c) for c in zip(*tqdm(results, total=len(tasks), desc=label), strict=True)]

    processes = min(processes, len(tasks))
    if processes == 1:
        with torch_threads(1):
            return joined(map(work, tasks))
    fresh = multiprocessing.get_context("spawn")  # a fork would inherit the locks of this process's threads
    with ProcessPoolExecutor(processes, fresh, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return joined(pool.map(work, tasks))
