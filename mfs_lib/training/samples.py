"""Contact sheets of a run: source, target, truth, student, one column a pair."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class _Pairs(Protocol):
    @property
    def sources(self) -> Tensor: ...
    @property
    def target(self) -> Tensor: ...
    @property
    def truth(self) -> Tensor: ...


def write_samples(path: Path, pairs: _Pairs, result: Tensor, columns: int = 12) -> None:
    """Write a PNG with rows source, target, truth, result of the first `columns` pairs."""
    rows = [torch.cat(list(x[:columns]), dim=2) for x in (pairs.sources, pairs.target, pairs.truth, result)]
    sheet = (torch.cat(rows, dim=1).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(sheet.numpy())).save(path)
