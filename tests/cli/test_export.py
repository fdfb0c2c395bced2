"""`mfs export`: files that are the network, one line out, and no half-done work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from PIL import Image

from mfs_lib import cli
from mfs_lib.deploy.formats import FORMATS, format_named
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.swapping import Swapper
from mfs_lib.weights.shipped import save_student

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained student of the shipped one's interface."""
    torch.manual_seed(0)
    config = MobileFaceSwapConfig(
        channels=(8, 8, 8, 8, 8), embedding_dim=128, feature_channels=1024, predictor_width=16
    )
    path = tmp_path_factory.mktemp("student") / "random.safetensors"
    save_student(path, MobileFaceSwap(config), crop_size=128)
    return path


def export(*words: str | Path) -> int:
    return cli.main(["export", *map(str, words)])


def error_of(capsys: Capture) -> str:
    """The one line on standard error."""
    captured = capsys.readouterr()
    assert captured.err.startswith("mfs: error: ") and captured.err.count("\n") == 1
    return captured.err


def test_one_person_in_onnx_with_parity(photo: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "person.onnx"
    assert export("--identity", photo, "-f", "onnx", "-o", path, "--parity", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["layout"] == "packed" and report["size"] == 128 and report["bytes"] == path.stat().st_size
    assert report["parity"]["faces"] == 50 and report["parity"]["change"]["mean"] > 1 / 255
    assert report["parity"]["difference"]["result"]["max"] < 1e-4
    target = np.random.default_rng(0).random((1, 3, 128, 128), dtype=np.float32)
    outputs = format_named("onnx").load(path, 1)(target)
    with torch.no_grad():
        expected = Swapper.load().prepare(photo).network(torch.from_numpy(target))
    np.testing.assert_allclose(outputs["raw"], expected.raw.numpy(), atol=1e-4)
    assert np.abs(outputs["raw"] - target).mean() > 0.05


def test_one_line_for_people_and_the_chosen_means(photo: Path, student: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "person.onnx"
    words = ("--identity", photo, "-f", "onnx", "-o", path, "--weights", student)
    assert export(*words, "--layout", "released", "--size", "64", "--outputs", "result") == 0
    line = capsys.readouterr().out
    assert line.startswith(f"wrote {path} (ONNX (opset 18), layout released, 64 px, ") and line.count("\n") == 1
    (output,) = onnxruntime.InferenceSession(path).get_outputs()
    assert output.name == "result" and output.shape == [1, 3, 64, 64]
    before = path.read_bytes()
    assert export(*words) == 1
    assert "exists already" in error_of(capsys) and path.read_bytes() == before
    assert export(*words, "--force") == 0
    assert path.read_bytes() != before


def test_two_files_and_a_bundle(student: Path, tmp_path: Path, capsys: Capture) -> None:
    assert export("-f", "two-file", "-o", tmp_path / "two", "--weights", student, "--parity", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parity"]["difference"]["result"]["max"] < 1e-4
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["contract.json", "frame.onnx", "source.onnx"]
    assert export("-f", "bundle", "-o", tmp_path / "bundle", "--weights", student) == 0
    names = ["bundle.json", "detector.onnx", "frame.onnx", "source.onnx"]
    assert sorted(p.name for p in (tmp_path / "bundle").iterdir()) == names
    capsys.readouterr()
    assert export("-f", "bundle", "-o", tmp_path / "bundle", "--weights", student) == 1
    assert "exists already" in error_of(capsys)


def test_the_list_names_every_format_and_its_command(capsys: Capture) -> None:
    assert export("--list") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*FORMATS, "two-file", "bundle"))
    assert export("--list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["formats"]
    assert {row["format"] for row in rows} == set(FORMATS)
    assert next(row for row in rows if row["format"] == "mnn")["install"] == "pip install MNN==3.6.1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-f", "tensorflow", "-o", "a.onnx", "-i", "p.png"], "no format is called 'tensorflow'"),
        (["-f", "onnx", "-o", "a.bin", "-i", "p.png"], r"ends in .onnx"),
        (["-f", "two-file", "-o", "a", "-i", "p.png"], "leave --identity out"),
        (["-f", "bundle", "-o", "a", "--outputs", "raw"], "leave --outputs out"),
        (["-f", "onnx", "-o", "a.onnx", "-i", "missing.png"], "missing.png"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(*words) == 1
    assert message in error_of(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("size", "outputs"), [("100", "raw,mask"), ("64", "raw,alpha")])
def test_bad_means_leave_nothing(
    photo: Path, student: Path, tmp_path: Path, capsys: Capture, size: str, outputs: str
) -> None:
    words = ("-i", photo, "-f", "onnx", "-o", tmp_path / "p.onnx", "--weights", student, "--size", size)
    assert export(*words, "--outputs", outputs) == 1
    assert "multiple of 32" in (line := error_of(capsys)) or "outputs must be some of" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [[], ["-f", "onnx"], ["-f", "onnx", "-o", "a.onnx"]])
def test_wrong_usage_exits_with_two(words: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        export(*words)
    assert stopped.value.code == 2


def test_a_missing_runtime_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    assert export("-i", tmp_path / "p.png", "-f", "mnn", "-o", tmp_path / "p.mnn") == 1
    assert "pip install MNN==3.6.1" in error_of(capsys)
