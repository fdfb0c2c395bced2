"""Chunks drawn by processes: the order kept, the thread count given back, no generator shared."""

from __future__ import annotations

import numpy as np
import torch

from mfs_lib.faces.morphable import parallel
from mfs_lib.faces.morphable.parallel import chunk_generator, draw


def _double(task: int) -> tuple[np.ndarray, ...]:
    return np.array([task]), np.array([2 * task, torch.get_num_threads()])


def test_results_keep_the_order_of_their_tasks() -> None:
    for processes in (1, 2):
        first, second = draw(_double, [3, 1, 2], processes=processes, label="")
        assert first.tolist() == [3, 1, 2] and second.tolist() == [6, 1, 2, 1, 4, 1]  # one thread draws a chunk


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    draw(_double, [1], processes=4, label="")
    assert torch.get_num_threads() == before


def test_chunks_and_streams_have_their_own_generators() -> None:
    seeds = [chunk_generator(s, n, c).initial_seed() for s in (0, 1, 7) for n in parallel._STREAMS for c in (0, 1, 999)]
    assert len(set(seeds)) == len(seeds)
