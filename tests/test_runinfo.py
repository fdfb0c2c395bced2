"""Which commit a record is said to be of: asked of a real repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mfs_lib import runinfo


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without a commit, whose package is what runs."""
    (tmp_path / "mfs_lib").mkdir()
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(runinfo, "_PACKAGE", tmp_path / "mfs_lib")
    return tmp_path


def test_code_that_differs_makes_a_commit_dirty_and_records_do_not(checkout: Path) -> None:
    assert runinfo.git_commit() is None  # no repository
    _git(checkout, "init", "-q")
    assert runinfo.git_commit() is None  # no commit
    code, records = checkout / "mfs_lib/a.py", checkout / "results/table.jsonl"
    code.write_text("a = 1\n")
    records.write_text("{}\n")
    _git(checkout, "add", "-A")
    _git(checkout, "commit", "-qm", "first")
    head = _git(checkout, "rev-parse", "HEAD")
    assert len(head) == 40 and runinfo.git_commit() == head
    records.write_text("{}\n{}\n")
    assert runinfo.git_commit() == head
    code.write_text("a = 2\n")
    assert runinfo.git_commit() == f"{head}-dirty"
    _git(checkout, "add", "-A")
    assert runinfo.git_commit() == f"{head}-dirty"
