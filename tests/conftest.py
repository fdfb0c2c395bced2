"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def live_models() -> Path:
    """The folder with the networks and pictures of the page that swaps in the browser, as the Makefile made it."""
    folder = ROOT / "book/_static/live/models"
    if not (folder / "manifest.json").exists():
        pytest.fail("The networks of the page live_swap are missing: run the tests by `make test`, which makes them.")
    return folder


@pytest.fixture(scope="session")
def browser_files(live_models: Path) -> Path:
    """The folder of static files that the pages load, complete."""
    if not (ROOT / "book/_static/vendor/.ok").exists():
        pytest.fail("The book's browser files are missing: run the tests by `make test`, which fetches them.")
    return live_models.parent.parent


@pytest.fixture(scope="session")
def smoke_book(browser_files: Path) -> Path:
    """The book built in the smoke profile by the Makefile's own steps; returns its folder of HTML pages."""
    command = ["make", "pages", "PROFILE=smoke", f"VENV={sys.prefix}"]
    # Make passes its own flags and variables on to what it starts; this is a run of its own.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=2400, check=False)
    if done.returncode:
        pytest.fail(f"The book doesn't build:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}", pytrace=False)
    return ROOT / "_build/smoke/_build/html"
