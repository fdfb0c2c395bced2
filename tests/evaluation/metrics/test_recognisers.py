"""CosFace sees the middle of the crop; unknown judges are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfs_lib.errors import AssetError, ConfigError
from mfs_lib.evaluation.metrics.recognisers import CosFaceView, load_recogniser
from mfs_lib.networks.sphereface import SphereFace


def test_cosface_reads_the_middle_columns() -> None:
    torch.manual_seed(0)
    network = SphereFace(width=4).eval()
    faces = torch.rand(2, 3, 112, 112)
    seen = CosFaceView(network=network)(faces)
    assert torch.equal(seen, network(faces[:, :, :, 8:104]))
    outside = faces.clone()
    outside[..., :8] = 0
    assert torch.equal(CosFaceView(network=network)(outside), seen)


def test_unknown_and_missing_judges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        load_recogniser("nobody")
    monkeypatch.setenv("MFS_CACHE", str(tmp_path))
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    monkeypatch.setenv("MFS_OFFLINE", "1")
    with pytest.raises(AssetError, match="cosface"):
        load_recogniser("cosface")
