"""The rules of the house: imports point one way, files and functions stay short, the environment holds no torchvision."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "mfs_lib").rglob("*.py")) + sorted((ROOT / "tools").glob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 40


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring: those may take the room that they need."""
    first = function.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_imports_point_one_way() -> None:
    program = shutil.which("lint-imports", path=Path(sys.executable).parent)
    assert program is not None
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {f.name: _length(f) for f in functions if _length(f) > LONGEST_FUNCTION} == {}


def test_functions_are_measured_without_their_docstring() -> None:
    module = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1\n')
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert _length(function) == 2


def test_locked_requirements_hold_neither_torch_nor_a_host() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert len(pinned) > 100
    assert not [line for line in pinned if line.startswith(("torch", "nvidia", "triton", "cuda"))]
    assert "http" not in [word[:4] for line in pinned for word in line.split()]
    assert lock.count("--hash=sha256:") >= len(pinned)


def test_every_direct_requirement_is_pinned_the_same_everywhere() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        wanted = [line.split(";")[0].split("\\")[0].strip() for line in lines if "==" in line and line[0].isalnum()]
        return {pair[0].lower(): pair[1] for pair in (line.split("==") for line in wanted)}

    direct, constraints, lock = pins("requirements.in"), pins("constraints.txt"), pins("requirements.lock")
    assert direct.items() <= constraints.items()
    assert (direct.items() - {("torch", direct["torch"])}) <= lock.items()
    assert pins("requirements-torch.txt") == {"torch": direct["torch"]}
