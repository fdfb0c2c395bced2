"""The model's file: what is written is read back, and a file that isn't whole is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from mfs_lib.errors import AssetError
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.faces.morphable.model import load_model, principal_components, save_model


def test_a_saved_model_is_read_back(world: MorphableWorld, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save_model(world.model, path)
    read = load_model(path)
    for field in fields(read):
        ours, theirs = getattr(world.model, field.name), getattr(read, field.name)
        assert ours.dtype == theirs.dtype, field.name
        torch.testing.assert_close(theirs, ours, atol=1e-6, rtol=1e-6, msg=field.name)  # it was quantised before
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


def test_quantisation_is_finer_than_a_grey_level(world: MorphableWorld, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    generator = torch.Generator().manual_seed(0)
    moved = {
        f.name: value + (torch.rand(value.shape, generator=generator) - 0.5) * 1e-3
        for f in fields(world.model)
        if (value := getattr(world.model, f.name)).is_floating_point()
    }
    save_model(type(world.model)(**moved, group=world.model.group), path)
    read = load_model(path)
    assert (read.texture_basis - moved["texture_basis"]).abs().max() <= 0.351 / 255
    assert (read.surround_basis - moved["surround_basis"]).abs().max() <= 0.501 / 255
    assert (read.shape_basis - moved["shape_basis"]).abs().max() <= 1.01e-5
    assert (read.texture_mean - moved["texture_mean"]).abs().max() <= 0.5 / 255
    assert torch.equal(read.landmarks, moved["landmarks"])


def test_a_missing_or_incomplete_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="make world"):
        load_model(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "part.npz", depth=np.zeros((2, 2)))
    with pytest.raises(AssetError, match="shape_mean"):
        load_model(tmp_path / "part.npz")


def test_principal_components_rebuild_their_data() -> None:
    generator = np.random.default_rng(0)
    data = generator.normal(size=(6, 2, 5)).astype(np.float32)
    mean, basis, codes = principal_components(data, 99)
    assert basis.shape == (5, 2, 5)  # six samples span five directions
    np.testing.assert_allclose(mean + np.einsum("nk,kij->nij", codes, basis), data, atol=1e-5)
    np.testing.assert_allclose(codes.T @ codes / 5, np.eye(5), atol=1e-5)  # uncorrelated, of unit variance


def test_the_regions_share_the_face_among_them(world: MorphableWorld) -> None:
    torch.testing.assert_close(world.model.regions.sum(0), torch.ones_like(world.model.regions[0]), atol=2e-3, rtol=0)
    assert set(world.model.group.tolist()) == {0, 1}
