"""A bundle made from a student computes what the student does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mfs_lib.errors import AssetError, ConfigError
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap
from mfs_lib.swapping import bundle as bundle_module
from mfs_lib.swapping.bundle import default_bundle, make_bundle
from mfs_lib.swapping.parts import Networks
from mfs_lib.swapping.pipeline import Swapper
from mfs_lib.swapping.portable import BUNDLE_FILES, PortableSwapper
from mfs_lib.swapping.recipe import OFFICIAL_TEMPLATE, OUR_TEMPLATE
from tests.swapping.conftest import MeanColourIdentity

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def networks(small_student: MobileFaceSwap, monkeypatch: pytest.MonkeyPatch) -> Networks:
    """A small student in place of whatever is asked for."""
    made = Networks(
        student=small_student, identity=MeanColourIdentity(), crop_size=64, name="small", template=OUR_TEMPLATE
    )
    monkeypatch.setattr(bundle_module, "load_networks", lambda weights: made)
    return made


def test_the_graphs_are_the_student(networks: Networks, astronaut: Pixels, tmp_path: Path) -> None:
    make_bundle(tmp_path / "made" / "bundle")
    assert set(BUNDLE_FILES) <= {path.name for path in (tmp_path / "made" / "bundle").iterdir()}
    assert len(list((tmp_path / "made").iterdir())) == 1  # no draft is left
    light = PortableSwapper.load(tmp_path / "made" / "bundle")
    swapper = Swapper(
        detector=light.detector, identity=networks.identity, student=networks.student, crop_size=networks.crop_size
    )
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    _, raw, mask = light.prepare(astronaut).swap_crop(crop)
    with torch.no_grad():
        batch = torch.from_numpy(crop).permute(2, 0, 1)[None].float().div(255)
        wanted = swapper.prepare(astronaut).network(batch)
    np.testing.assert_allclose(raw, wanted.raw[0].permute(1, 2, 0).numpy(), atol=2e-3)
    np.testing.assert_allclose(mask, wanted.mask[0, 0].numpy(), atol=2e-3)
    assert np.abs(raw - crop / 255).mean() > 0.05


def test_other_kinds_of_weights_are_refused(
    networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = replace(networks, template=OFFICIAL_TEMPLATE)
    monkeypatch.setattr(bundle_module, "load_networks", lambda weights: foreign)
    with pytest.raises(ConfigError, match="have a bundle"):
        make_bundle(tmp_path / "bundle")
    with pytest.raises(AssetError, match="no student is called"):
        default_bundle("nothing")
    assert not list(tmp_path.iterdir())
