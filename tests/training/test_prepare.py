"""What a student learns from is the same to the last bit, however many threads the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfs_lib.threads import torch_threads
from mfs_lib.training import prepare
from mfs_lib.training.config import experiment_from_dict


def test_pools_do_not_depend_on_the_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_WATCHED", 2)
    values = {"data": {"size": 64, "people": 16, "triplets": 25}, "teacher": "faceshifter_64", "stages": [{"size": 64}]}
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            found.append(prepare.prepare(experiment_from_dict(values), tmp_path / str(threads)))
            assert torch.get_num_threads() == threads
    one, three = found
    assert torch.equal(one.bank.embedding, three.bank.embedding)
    assert torch.equal(one.watch.source.embedding, three.watch.source.embedding)
    assert one.sampled.alpha is not None and three.sampled.alpha is not None
    assert torch.equal(one.sampled.alpha, three.sampled.alpha) and torch.equal(one.sampled.truth, three.sampled.truth)
