"""`mfs fetch` and `mfs convert` with the field's own weights: terms, sizes, and what the user has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mfs_lib import cli
from mfs_lib.networks.hopenet import Hopenet
from mfs_lib.weights.registry import entries
from mfs_lib.weights.safe_io import load_weights

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty mirror folder and an empty cache; no network."""
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MFS_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("MFS_OFFLINE", "1")
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def test_terms_are_asked_for_and_remembered(mirror: Path, capsys: Capture) -> None:
    (mirror / "arcface_checkpoint.tar").write_bytes(b"weights")
    assert cli.main(["fetch", "simswap-arcface"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in ("CC-BY-NC-4.0", "non-commercial", "mfs fetch simswap-arcface --agree"):
        assert part in said
    assert cli.main(["fetch", "simswap-arcface", "--agree", "--json"]) == 0
    (path,) = json.loads(capsys.readouterr().out)["paths"]["simswap-arcface"]
    assert Path(path).read_bytes() == b"weights"
    assert cli.main(["fetch", "simswap-arcface"]) == 0
    Path(path).write_bytes(b"other weights")
    capsys.readouterr()
    assert cli.main(["fetch", "simswap-arcface"]) == 1
    assert "first used under this name" in capsys.readouterr().err


def test_the_list_shows_licence_size_and_what_needs_agreement(mirror: Path, capsys: Capture) -> None:
    assert cli.main(["fetch", "--list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "size unknown" in lines["simswap-224"] and "CC-BY-NC-4.0" in lines["simswap-224"]
    assert lines["simswap-224"].endswith("[needs --agree]")
    assert "95.92 MB" in lines["hopenet"] and "agree" not in lines["hopenet"]
    assert "agree" not in lines["yunet"]
    (mirror / "latest_net_G.pth").write_bytes(b"weights")
    assert cli.main(["fetch", "simswap-224", "--agree"]) == 0
    capsys.readouterr()
    assert cli.main(["fetch", "--list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["simswap-arcface"].endswith("[agreed]")  # the same words
    assert lines["bisenet"].endswith("[needs --agree]")
    assert cli.main(["fetch", "--list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["files"]}
    assert rows["simswap-224"]["bytes"] is None
    assert {one.name for one in entries()} <= set(rows)
    assert {name for name, row in rows.items() if row["default"]} == {one.name for one in entries() if one.default}


def test_convert_says_what_it_wrote(tmp_path: Path, capsys: Capture) -> None:
    with torch.device("meta"):
        shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in Hopenet().state_dict().items()}
    state = {name: torch.full(shape, 0.25).to(dtype) for name, (shape, dtype) in shapes.items()}
    source, output = tmp_path / "hopenet.pkl", tmp_path / "hopenet.safetensors"
    torch.save(state, source)
    assert cli.main(["convert", "hopenet", str(source), str(output)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("converted hopenet.pkl (hopenet): wrote ") and "326 tensors" in said
    assert load_weights(output)[0]["conv1.weight"].unique().item() == 0.25
    assert cli.main(["convert", "bisenet", str(source), str(tmp_path / "b.safetensors")]) == 1
    assert "BiSeNet" in capsys.readouterr().err
    assert cli.main(["convert", "hopenet", str(source), str(tmp_path / "b.bin"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "OutputError"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hopenet.pkl", "hopenet.safetensors"]


def test_a_malicious_file_is_one_line_of_error(tmp_path: Path, capsys: Capture) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "evil.pdparams").write_bytes(f"cos\nmkdir\n(V{mark}\ntR.".encode())
    assert (
        cli.main(["convert", "mobilefaceswap", str(tmp_path / "evil.pdparams"), str(tmp_path / "o.safetensors")]) == 1
    )
    assert "asks for 'os.mkdir'" in capsys.readouterr().err
    assert not mark.exists()
    np.save(tmp_path / "array.npy", np.zeros(3))
    assert cli.main(["convert", "mobilefaceswap", str(tmp_path / "array.npy"), str(tmp_path / "o.safetensors")]) == 1
    assert "refused" in capsys.readouterr().err
