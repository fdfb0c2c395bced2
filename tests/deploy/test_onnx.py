"""The files: self-contained, checked, and the same function when executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mfs_lib.deploy.baking import bake
from mfs_lib.deploy.frame import LAYOUTS, OUTPUTS, Layout, OpenFrame, person_weights, weight_names
from mfs_lib.deploy.onnx import OPSET, frame_model, person_model, save_model, source_model
from mfs_lib.deploy.sessions import open_session, runner
from mfs_lib.errors import AssetError, InputError
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import StaticSwapper
from tests.deploy.conftest import lively_model, lively_static, picture
from tests.networks.conftest import random_identities


class Recogniser(torch.nn.Module):
    """Who a face is, from its mean colours alone."""

    def forward(self, face: torch.Tensor) -> IdentityFeatures:
        """(1,3,112,112) -> features of the small network's sizes."""
        colour = torch.nn.functional.avg_pool2d(face, 16)
        features = colour.repeat(1, 7, 1, 1)[:, :20]
        return IdentityFeatures(torch.nn.functional.normalize(features.flatten(1)[:, :16], dim=1), features)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_persons_file_is_the_network(static: StaticSwapper, layout: Layout, tmp_path: Path) -> None:
    model = person_model(static, size=64, layout=layout, outputs=OUTPUTS, notes={"system": "test"})
    path = save_model(model, tmp_path / "new" / "person.onnx")
    found = runner(open_session(path))({"target": picture().numpy()})
    with torch.no_grad():
        wanted = static(picture())
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name], getattr(wanted, name).numpy(), atol=1e-5)
    assert np.abs(found["result"] - picture().numpy()).mean() > 0.05


def test_files_hold_everything_and_tell_nothing_of_the_exporter(static: StaticSwapper) -> None:
    model = person_model(static, size=64, notes={"system": "test"})
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert not [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {p.key: p.value for p in model.metadata_props} == {"system": "test"}
    assert model.producer_name == "mfs_lib"
    text = model.SerializeToString()
    assert b".py" not in text
    assert b"torch" not in text
    assert set(person_weights(static)) - {"encoder_0_depthwise", "encoder_0_pointwise"} <= {
        t.name for t in person_model(static, size=64, layout="folded").graph.initializer
    } | {"encoder_0_pointwise"}


def test_source_and_frame_swap_as_the_model_does() -> None:
    model, recogniser = lively_model(), Recogniser()
    static = model.specialise(random_identities(1))
    source = runner(open_session(source_model(recogniser, model, names=OpenFrame(static, layout="folded").names)))
    frame = frame_model(static, size=64)
    opened = runner(open_session(frame))
    results = []
    for seed in (0, 1):
        coarse = torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(seed))
        face = torch.nn.functional.interpolate(coarse, size=(112, 112))
        weights = source({"face": face.numpy()})
        assert tuple(weights) == weight_names(5, 4)
        with torch.no_grad():
            wanted = model(picture(), recogniser(face))
        given = {"target": picture().numpy()}
        for found in (opened({**given, **weights}), runner(open_session(bake(frame, weights)))(given)):
            np.testing.assert_allclose(found["raw"], wanted.raw.numpy(), atol=1e-5)
            np.testing.assert_allclose(found["mask"], wanted.mask.numpy(), atol=1e-5)
        results.append(wanted.raw)
    assert (results[0] - results[1]).abs().mean() > 1e-3  # another face, another picture


@pytest.mark.parametrize("size", [0, 16, 100])
def test_sizes_that_no_network_takes_are_refused(static: StaticSwapper, size: int) -> None:
    with pytest.raises(InputError, match="multiple of 32"):
        person_model(static, size=size)
    with pytest.raises(InputError, match="multiple of 32"):
        frame_model(static, size=size)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(AssetError, match=r"broken\.onnx is no graph"):
        open_session(path)


def test_baking_checks_the_weights() -> None:
    static = lively_static()
    frame = frame_model(static, size=64)
    weights = {name: value.numpy() for name, value in person_weights(static).items()}
    first = next(iter(weights))
    with pytest.raises(AssetError, match="other weights"):
        bake(frame, {k: v for k, v in weights.items() if k != first})
    with pytest.raises(AssetError, match="of shape"):
        bake(frame, {**weights, first: weights[first][:-1]})
    with pytest.raises(AssetError, match="finite"):
        bake(frame, {**weights, first: weights[first] * np.nan})
    bake(frame, weights)
    assert len(frame.graph.input) == 1 + len(weights)
