"""Cosines by hand, and which picture plays which part."""

from __future__ import annotations

import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.identity import identity_metrics

SOURCE = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
TARGET = torch.tensor([[0.0, 1.0], [0.6, 0.8]])
RESULT = torch.tensor([[0.8, 0.6], [0.0, 1.0]])


def test_values_by_hand() -> None:
    found = {m.name: m for m in identity_metrics(RESULT, TARGET, SOURCE, backend="x")}
    assert found["cos_source"].samples.tolist() == pytest.approx([0.8, 0.0])
    assert found["cos_target"].samples.tolist() == pytest.approx([0.6, 0.8])
    assert found["cos_before"].value == pytest.approx(0.3)
    assert found["nearer_than_target"].value == 50
    assert found["nearer_to_source"].value == 50
    assert {m.backend for m in found.values()} == {"x"}


def test_unequal_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="equally many"):
        identity_metrics(RESULT, TARGET[:1], SOURCE, backend="x")
