"""A block that computes with a fixed number of threads leaves that of the machine as it was."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.threads import torch_threads


def test_threads_are_as_wanted_within_and_as_before_after() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), torch_threads(before + 2):
        raise KeyError
    assert torch.get_num_threads() == before
