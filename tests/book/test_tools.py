"""The book's tools: chapters run when they must and only then; browser files are what they are said to be."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{code-cell} ipython3
:tags: [parameters]

profile = "mini"
```

```{code-cell} ipython3
BODY
```
"""


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The runner of notebooks, working in an empty project."""
    module = _load("run_notebooks")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "SHOWN", tmp_path / "book/executed")
    for name in ("MFS_PROFILE", "MFS_NOTEBOOK", "MFS_FIGURES"):
        monkeypatch.setenv(name, "")  # so that what the runner sets is undone afterwards
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "mfs_lib").mkdir()
    return module


def _chapter(root: Path, body: str) -> Path:
    path = root / "notebooks/01_a.md"
    path.write_text(CHAPTER.replace("BODY", body))
    return path


def test_a_chapter_runs_once_and_again_when_something_changes(runner: ModuleType, tmp_path: Path) -> None:
    chapter = _chapter(tmp_path, "import os\nprint(profile, os.getcwd())")
    assert runner.run(chapter, "smoke", "a", force=False).endswith(" s")
    assert runner.run(chapter, "smoke", "a", force=False) == "unchanged"
    assert runner.run(chapter, "smoke", "b", force=False).endswith(" s")
    runner.show([chapter], "smoke")
    notebook = nbformat.read(tmp_path / "book/executed/01_a.ipynb", as_version=4)
    assert notebook.cells[-1].outputs[0].text.split() == ["smoke", str(tmp_path)]
    injected = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.tags]
    assert ["remove-cell" in cell.metadata.tags for cell in injected] == [True]


def test_a_failing_chapter_is_named_and_not_kept(runner: ModuleType, tmp_path: Path) -> None:
    chapter = _chapter(tmp_path, "raise ValueError('the sky fell')")
    with pytest.raises(SystemExit, match=r"(?s)01_a\.md failed.*the sky fell"):
        runner.run(chapter, "smoke", "a", force=False)
    assert not (tmp_path / "build/executed/smoke/01_a.ipynb").exists()
    assert (tmp_path / "build/executed/smoke/01_a.partial.ipynb").exists()


def test_everything_that_a_chapter_depends_on_is_in_the_digest(runner: ModuleType, tmp_path: Path) -> None:
    seen = {runner.shared_digest("smoke"), runner.shared_digest("mini")}
    for name in ("mfs_lib/a.py", "mfs_lib/weights/student.safetensors", "results/r.jsonl", "requirements.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
        seen.add(runner.shared_digest("smoke"))
    (tmp_path / "mfs_lib/a.py").write_text("2")
    seen.add(runner.shared_digest("smoke"))
    assert len(seen) == 7
    (tmp_path / "mfs_lib/__pycache__").mkdir()
    (tmp_path / "mfs_lib/__pycache__/a.pyc").write_text("x")
    assert runner.shared_digest("smoke") in seen


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small npm archive."""
    path = tmp_path / "p.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("package/a.js", "package/fonts/one.woff2", "package/../../escaped.js"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    return path


def test_only_the_listed_browser_files_are_kept(package: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "vendor"
    _load("vendor").unpack(package, {"a.js": "lib/a.js", "fonts/": "fonts/"}, out)
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")) == [
        "vendor/fonts/one.woff2",
        "vendor/lib/a.js",
    ]


def test_a_listed_file_that_is_missing_is_an_error(package: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"b\.js"):
        _load("vendor").unpack(package, {"a.js": "a.js", "b.js": "b.js"}, tmp_path / "out")


def test_a_package_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm is played by a script that hands out an archive with other bytes than the list says."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\nprintf changed > p-1.0.0.tgz\necho p-1.0.0.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent), prepend=":")
    with pytest.raises(SystemExit, match="expected sha512-abc"):
        _load("vendor").pack("p@1.0.0", "sha512-abc", tmp_path)
