"""Pose of the canonical mesh turned by known angles; Hopenet as a second backend, never mixed with the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mfs_lib.errors import InputError
from mfs_lib.evaluation.metrics.meshes import Meshes
from mfs_lib.evaluation.metrics.pose import (
    angle_differences,
    find_hopenet,
    hopenet_angles,
    mesh_angles,
    pose_metrics,
)
from mfs_lib.networks.hopenet import Hopenet
from mfs_lib.weights.models import default_mesh

SIZE = 128


def turned(yaw: float, pitch: float, roll: float) -> Meshes:
    """The canonical mesh in a crop as a camera of the fit's focal length sees it, head turned by these degrees."""
    model = default_mesh().canonical.numpy().astype(np.float64) * [1, -1, -1]
    y, p, r = np.radians([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = model @ (about_z @ about_y @ about_x).T + [0, 0, 100]
    flat = points[:, :2] / points[:, 2:] * 4 * SIZE + SIZE / 2
    return np.column_stack([flat, points[:, 2]])[None]


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (0, -15, 0), (0, 0, 30), (-20, 10, 5), (35, -20, -12)])
def test_known_angles_are_found(angles: tuple[float, float, float]) -> None:
    found = mesh_angles(turned(*angles), SIZE, default_mesh().canonical)[0]
    assert found.tolist() == pytest.approx(list(angles), abs=0.05)


def test_metrics_of_known_differences() -> None:
    canonical = default_mesh().canonical
    result = mesh_angles(np.concatenate([turned(20, 0, 0), turned(3, 4, 0)]), SIZE, canonical)
    target = mesh_angles(np.concatenate([turned(8, 5, 0), turned(0, 0, 0)]), SIZE, canonical)
    found = {m.name: m for m in pose_metrics(result, target)}
    assert set(found) == {"pose_error", "pose_l2", "pose_yaw", "pose_pitch", "pose_roll"}
    assert found["pose_yaw"].samples.tolist() == pytest.approx([12, 3], abs=0.1)
    assert found["pose_pitch"].samples.tolist() == pytest.approx([5, 4], abs=0.1)
    assert found["pose_l2"].samples.tolist() == pytest.approx([13, 5], abs=0.1)
    assert found["pose_error"].value == pytest.approx((17 + 7) / 6, abs=0.1)
    assert {(m.unit, m.backend) for m in found.values()} == {("degree", "mesh468-pnp")}


def test_differences_go_around_the_circle() -> None:
    found = angle_differences([[179.0, 0, -90]], [[-179.0, 0, 90]])
    assert found.tolist() == [[2, 0, 180]]
    with pytest.raises(InputError):
        angle_differences([[1.0, 2.0]], [[1.0, 2.0]])


def test_hopenet_has_names_of_its_own() -> None:
    torch.manual_seed(0)
    network = Hopenet(width=4).eval()
    crops = torch.rand(3, 3, 96, 96)
    with torch.no_grad():
        angles = hopenet_angles(crops, network)
        assert angles.shape == (3, 3)
        assert not np.allclose(angles[0], angles[1], atol=1e-6)
        network.fc_yaw.bias[50] += 1000
        biased = hopenet_angles((crops * 255).round().byte(), network)
    assert biased[:, 0].tolist() == pytest.approx([51.0] * 3)
    np.testing.assert_allclose(biased[:, 1:], angles[:, 1:], atol=0.05)
    found = pose_metrics(biased, angles, backend="hopenet")
    assert [m.name for m in found] == ["hopenet_error", "hopenet_l2", "hopenet_yaw", "hopenet_pitch", "hopenet_roll"]


def test_without_weights_there_is_no_hopenet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MFS_CACHE", str(tmp_path))
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    assert find_hopenet() is None
