"""What the repository holds: nothing of the machine it was written on, no built notebooks, pickles or photographs."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Put together here, so that this file doesn't contain what it looks for.
REGISTRY_HOSTS = ("py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs.org")
MACHINE_PATHS = re.compile(
    r"(?<![\w.])/(?:" + "|".join(("root", "work", "home/[a-z]", "Users/[A-Za-z]")) + r")(?=/|\b)"
)
UNWANTED = {".ipynb", ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".jpg", ".jpeg", ".heic", ".whl", ".tgz", ".zip"}


def _files() -> list[Path]:
    """Files that are tracked or would be by `git add .`; without git, whatever an archive of the sources holds."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this copy isn't a git checkout")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    found = {}
    for path in _files():
        content = path.read_bytes()
        if b"\0" not in content[:4096]:
            found[path.relative_to(ROOT).as_posix()] = content.decode("utf-8")
    assert "README.md" in found
    return found


def test_no_registry_is_named_by_its_host(texts: dict[str, str]) -> None:
    assert [(name, host) for name, text in texts.items() for host in REGISTRY_HOSTS if host in text] == []


def test_no_path_of_anybodys_machine(texts: dict[str, str]) -> None:
    found = {name: match[0] for name, text in texts.items() if (match := MACHINE_PATHS.search(text))}
    assert {name: path for name, path in found.items() if not name.endswith("test_tracked_files.py")} == {}


def test_no_name_of_this_machine(texts: dict[str, str]) -> None:
    host = socket.gethostname()
    if len(host) < 6 or host in ("localhost", "runner"):
        pytest.skip(f"{host!r} is too common a word to look for")
    assert [name for name, text in texts.items() if host in text] == []


def test_no_built_or_unsafe_files() -> None:
    assert [path.name for path in _files() if path.suffix.lower() in UNWANTED] == []


def test_shipped_files_stay_small() -> None:
    def size(folder: str) -> int:
        inside = [path for path in _files() if path.is_relative_to(ROOT / folder)]
        return sum(path.stat().st_size for path in inside if path.suffix in (".safetensors", ".npz"))

    assert size("mfs_lib") <= 40 * 2**20  # what every user of the library downloads; the face world is 8 MB of it
    assert size("results") <= 32 * 2**20  # what only the book's figures need
