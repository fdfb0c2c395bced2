"""The two-file form: the pair is the network, whoever is swapped in, and the contract says what is in the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mfs_lib.deploy.parity import check, pair_parity, sampled_faces
from mfs_lib.deploy.two_file import BUNDLE_FILES, TWO_FILES, Parts, load_two_file, write_bundle, write_two_file
from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.faces.alignment import TEMPLATE, arcface_matrix
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig


class CoarseColours(nn.Module):
    """A recogniser of a few colours: small, and different for different faces."""

    def forward(self, face: Tensor) -> IdentityFeatures:
        coarse = nn.functional.avg_pool2d(face, 16)
        embedding = nn.functional.normalize(coarse.flatten(1)[:, :8] - 0.5, dim=1)
        return IdentityFeatures(embedding, coarse.repeat(1, 3, 1, 1)[:, :8])


@pytest.fixture(scope="module")
def parts() -> Parts:
    torch.manual_seed(0)
    config = MobileFaceSwapConfig(
        channels=(8, 8, 8, 8, 8), mask_channels=(8, 8, 4, 4, 2), embedding_dim=8, feature_channels=8, predictor_width=8,
        first_skip=True,
    )  # fmt: skip
    student = MobileFaceSwap(config).eval()
    return Parts(identity=CoarseColours(), student=student, size=64, points=TEMPLATE, face_from_crop=arcface_matrix(64))


@pytest.fixture(scope="module")
def people() -> Tensor:
    return sampled_faces(2, size=112, seed=1)


@pytest.fixture(scope="module")
def folder(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pair") / "two"
    files = write_two_file(made, parts, notes={"weights": "toy"})
    assert [file.name for file in files] == list(TWO_FILES)
    return made


def test_the_pair_is_the_network_of_each_person(parts: Parts, people: Tensor, folder: Path) -> None:
    faces = sampled_faces(3, size=64)
    for face in people.split(1):  # type: ignore[no-untyped-call]
        with torch.no_grad():
            static = parts.student.specialise(parts.identity(face))
        report = pair_parity(folder, face, static, faces, name="two-file", layout="folded")
        check(report, 1e-4)
    person = load_two_file(folder, 1)
    first, second = (person(face.numpy())(faces[:1].numpy())["raw"] for face in people.split(1))  # type: ignore[no-untyped-call]
    assert np.abs(first - second).max() > 1e-3  # the weights depend on the person


def test_the_contract_agrees_with_the_files(parts: Parts, folder: Path) -> None:
    contract = json.loads((folder / "contract.json").read_text("utf-8"))
    assert "synthetic" in contract["note"] and contract["weights"] and contract["crop"]["size"] == 64
    np.testing.assert_array_equal(contract["crop"]["points"], TEMPLATE)
    source, frame = (onnxruntime.InferenceSession(folder / contract[part]["file"]) for part in ("source", "frame"))
    named = {entry["name"]: entry["shape"] for entry in contract["weights"]}
    assert {output.name: output.shape for output in source.get_outputs()} == named
    inputs = {entry.name: entry.shape for entry in frame.get_inputs()}
    assert inputs == {"target": [1, 3, 64, 64], **named}
    assert [output.name for output in frame.get_outputs()] == ["raw", "mask"]


def test_a_bundle_has_the_detector_too(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "found.onnx").write_bytes(b"a detector")
    files = write_bundle(tmp_path / "bundle", parts, tmp_path / "found.onnx")
    assert sorted(file.name for file in files) == sorted(BUNDLE_FILES)
    assert (tmp_path / "bundle" / "detector.onnx").read_bytes() == b"a detector"
    assert sorted(file.name for file in (tmp_path / "bundle").iterdir()) == sorted(BUNDLE_FILES)


def test_what_cannot_be_read_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"source\.onnx is no graph that can be run"):
        load_two_file(tmp_path, 1)
    with pytest.raises(InputError, match="a target is"):
        load_two_file(folder, 1)(np.zeros((112, 112, 3), np.float32))


def test_the_released_layout_has_no_weights_as_inputs(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'folded' or 'packed'"):
        write_two_file(tmp_path, parts, layout="released")
    assert not list(tmp_path.iterdir())
