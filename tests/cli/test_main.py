"""The command: one line out, right exit codes, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from mfs_lib import __version__, cli
from mfs_lib.errors import AssetError
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.swapping import Swapper, read_provenance
from mfs_lib.weights.shipped import save_student

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "astronaut.jpg"
    Image.fromarray(skimage.data.astronaut()).save(path, quality=95)
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


def swap(photo: Path, out: Path, *more: str | Path, target: Path | None = None) -> int:
    return cli.main(["swap", "--source", str(photo), "--target", str(target or photo), "-o", str(out), *map(str, more)])


def error_line(capsys: Capture) -> str:
    """The one line on standard error."""
    captured = capsys.readouterr()
    assert captured.err.startswith("mfs: error: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_version_and_help(capsys: Capture) -> None:
    for arguments, needle in (
        (["--version"], __version__),
        (["--help"], "fetch"),
        (["swap", "--help"], "--face largest|all|INDEX"),
        (["fetch", "--help"], "--default"),
        (["convert", "--help"], "OUTPUT"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
        assert needle in capsys.readouterr().out


def test_every_option_has_a_help_text() -> None:
    parser = cli.build_parser()
    commands = next(a for a in parser._actions if a.dest == "command")
    assert {"swap", "fetch", "convert"} <= set(commands.choices)  # type: ignore[arg-type]
    for sub in commands.choices.values():  # type: ignore[union-attr]
        assert all(action.help for action in sub._actions)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["swap"],
        ["swap", "--source", "a.png", "--target", "b.png"],
        ["swap", "--source", "a", "--target", "b", "-o", "c.png", "--face", "biggest"],
        ["swap", "--source", "a", "--target", "b", "-o", "c.png", "--face", "-1"],
        ["swap", "--source", "a", "--target", "b", "-o", "c.png", "--max-megapixels", "0"],
        ["swap", "--source", "a", "--target", "b", "-o", "c.png", "--no-mark"],
        ["swap", "--source", "a", "--target", "b", "-o", "c.png", "--recipe", "theirs"],
        ["swap", "--source", "a", "--target", "b", "-o", "c.png", "--student", "default"],
        ["fetch"],
        ["fetch", "yunet", "--default"],
        ["convert", "mobilefaceswap", "a.pdparams"],
        ["convert", "paddle", "a.pdparams", "b.safetensors"],
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_swap_says_what_it_did_in_one_line(photo: Path, student: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.png"
    assert swap(photo, out, "--weights", student) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    for part in ("swapped the face in astronaut.jpg", str(out), "512x512", "marked as synthetic"):
        assert part in captured.out
    found = read_provenance(out)
    assert found is not None
    assert found.synthetic
    with Image.open(out) as image:
        assert image.size == (512, 512)


def test_json_report(photo: Path, student: Path, tmp_path: Path, capsys: Capture) -> None:
    twice = tmp_path / "twice.png"
    Image.fromarray(np.hstack([skimage.data.astronaut()] * 2)).save(twice)
    out = tmp_path / "out.webp"
    code = swap(photo, out, "--weights", student, "--json", "--face", "all", "--label", target=twice)
    assert code == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["faces_found"] == 2
    assert [f["index"] for f in report["faces"]] == [0, 1]
    assert (report["width"], report["height"]) == (1024, 512)
    assert report["marked"]
    assert report["labelled"]
    assert report["seconds"]["total"] > 0
    assert Path(report["output"]) == out


def test_face_index(photo: Path, student: Path, tmp_path: Path, capsys: Capture) -> None:
    assert swap(photo, tmp_path / "o.png", "--weights", student, "--face", "0") == 0
    capsys.readouterr()
    assert swap(photo, tmp_path / "p.png", "--weights", student, "--face", "5") == 1
    assert "no face 5" in error_line(capsys)
    assert not (tmp_path / "p.png").exists()


def test_bad_inputs_are_exit_1_and_write_nothing(photo: Path, student: Path, tmp_path: Path, capsys: Capture) -> None:
    data = photo.read_bytes()
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "cut.jpg").write_bytes(data[: len(data) // 2])
    (bad / "empty.jpg").touch()
    (bad / "text.jpg").write_text("hello")
    Image.new("RGB", (1, 1)).save(bad / "one.png")
    Image.new("RGB", (300, 300), "grey").save(bad / "faceless.png")
    out = tmp_path / "out.png"
    for name in ("cut.jpg", "empty.jpg", "text.jpg", "one.png", "faceless.png", "missing.jpg", ""):
        for source, target in ((bad / name, photo), (photo, bad / name)):
            assert swap(source, out, "--weights", student, target=target) == 1, name
            assert len(error_line(capsys)) > 30
            assert not out.exists()


def test_bad_outputs_are_refused_before_the_work(
    photo: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> Swapper:
        raise AssertionError("the networks were loaded")

    monkeypatch.setattr(Swapper, "load", load)
    (tmp_path / "folder.png").mkdir()
    for name in ("folder.png", "out.xyz", "out", "nowhere/out.png"):
        assert swap(photo, tmp_path / name) == 1
        assert "AssertionError" not in error_line(capsys)
    assert sorted(os.listdir(tmp_path)) == ["astronaut.jpg", "folder.png"]


def test_inputs_are_not_overwritten_without_force(photo: Path, student: Path, tmp_path: Path, capsys: Capture) -> None:
    link, other = tmp_path / "link.jpg", tmp_path / "other.jpg"
    link.symlink_to(photo)
    other.write_bytes(photo.read_bytes())
    before = photo.read_bytes()
    for out in (photo, link, tmp_path / "." / photo.name):
        assert swap(other, out, "--weights", student, target=photo) == 1
        assert "--force" in error_line(capsys)
        assert swap(photo, out, "--weights", student, target=other) == 1
        assert "--force" in error_line(capsys)
    assert photo.read_bytes() == before
    assert swap(other, photo, "--weights", student, "--force", target=photo) == 0
    assert read_provenance(photo) is not None


def test_json_errors(tmp_path: Path, capsys: Capture) -> None:
    assert swap(tmp_path / "missing.jpg", tmp_path / "o.gif", "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"] == "OutputError"
    assert captured.err.startswith("mfs: error: ")


def test_release_recipe(photo: Path, student: Path, tmp_path: Path, capsys: Capture) -> None:
    out, ours = tmp_path / "release.png", tmp_path / "ours.png"
    assert swap(photo, out, "--weights", student, "--recipe", "release") == 0
    assert swap(photo, ours, "--weights", student, "--recipe", "ours") == 0
    assert (np.asarray(Image.open(out)) != np.asarray(Image.open(ours))).any()
    capsys.readouterr()
    assert (
        swap(photo, tmp_path / "o.png", "--weights", "missing.safetensors", "--recipe", "release", "--detail", "plain")
        == 1
    )
    assert "detail='plain'" in error_line(capsys)  # said before the weights are looked for


def test_unknown_weights_and_device(photo: Path, tmp_path: Path, capsys: Capture) -> None:
    assert swap(photo, tmp_path / "o.png", "--weights", "best") == 1
    assert "no weights are called" in error_line(capsys)
    assert swap(photo, tmp_path / "o.png", "--device", "toaster") == 1
    assert "toaster" in error_line(capsys)


def test_unexpected_errors_are_one_line_unless_debugging(
    photo: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> Swapper:
        raise ZeroDivisionError("a bug\nin two lines")

    monkeypatch.setattr(Swapper, "load", load)
    assert swap(photo, tmp_path / "o.png") == 1
    line = error_line(capsys)
    assert "ZeroDivisionError" in line
    assert "--debug" in line
    with pytest.raises(ZeroDivisionError):
        swap(photo, tmp_path / "o.png", "--debug")


def test_interrupt_is_exit_130(photo: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> Swapper:
        raise KeyboardInterrupt

    monkeypatch.setattr(Swapper, "load", load)
    assert swap(photo, tmp_path / "o.png") == 130
    assert capsys.readouterr().err == "mfs: stopped\n"


def test_fetch_list(capsys: Capture) -> None:
    assert cli.main(["fetch", "--list"]) == 0
    text = capsys.readouterr().out
    assert "yunet" in text
    assert "sface" in text
    assert cli.main(["fetch", "--list", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"name", "bytes", "licence", "default", "terms", "purpose"} == set(report["files"][0])


def test_fetch_by_name_and_unknown(capsys: Capture) -> None:
    assert cli.main(["fetch", "yunet"]) == 0
    assert "1 file is in place and verified: yunet" in capsys.readouterr().out
    assert cli.main(["fetch", "no-such-model"]) == 1
    assert "no-such-model" in error_line(capsys)


def test_fetch_default_takes_the_default_set(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from mfs_lib.weights import registry

    asked: list[str] = []
    monkeypatch.setattr(registry, "fetch", lambda name, **_: asked.append(name) or Path(name))
    assert cli.main(["fetch", "--default"]) == 0
    assert asked == [e.name for e in registry.entries() if e.default]


def test_fetch_failure_is_exit_1(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from mfs_lib.weights import registry

    def fail(*_: object, **__: object) -> Path:
        raise AssetError("not reachable")

    monkeypatch.setattr(registry, "fetch", fail)
    assert cli.main(["fetch", "yunet"]) == 1
    assert "not reachable" in error_line(capsys)


# ------------------------------------------------------------------ as users run it


def test_as_a_process_with_the_shipped_student(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jpg"
    command = [sys.executable, "-m", "mfs_lib.cli", "swap", "--source", photo, "--target", photo, "-o", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert read_provenance(out) is not None


def test_process_error_has_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mfs_lib.cli", "swap", "-s", tmp_path / "a", "-t", "b", "-o", tmp_path / "c.png"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("mfs: error: ")
    assert os.listdir(tmp_path) == []


def test_ctrl_c_leaves_no_traceback_and_no_file(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    program = (
        "import signal, sys, time, mfs_lib.swapping as s\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits it ignored\n"
        "from mfs_lib import cli\n"
        "def load(*a, **k):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "s.Swapper.load = load\n"
        f"sys.exit(cli.main(['swap', '-s', {str(photo)!r}, '-t', {str(photo)!r}, '-o', {str(out)!r}]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "mfs: stopped\n"
    assert not out.exists()
