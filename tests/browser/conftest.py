"""Headless Chromium, the book and a book of one page on a server; skipped where no Chromium is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.live_page import PAGE, Live, Pixels
from tests.browser.visit import Visit, serve

#: No sandbox inside containers; nothing that Chromium would ask its makers in the background; a camera that is a drawing.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
]

CONTENTS = """format: jb-book
root: book/live_swap
"""


@pytest.fixture(scope="session")
def chromium_program() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: the pages weren't checked in a browser")
    return program


@pytest.fixture(scope="module")
def browser(chromium_program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_program, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def served(smoke_book: Path) -> Iterator[str]:
    with serve(smoke_book) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, served: str) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    yield Visit(page, served)
    page.close()


@pytest.fixture(scope="session")
def live_address(repository: Path, browser_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for a book of one page; references to the chapters that it lacks stay plain text."""
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(repository / "book", folder / "book", ignore=shutil.ignore_patterns("executed"))
    shutil.copy(repository / "_config.yml", folder)
    (folder / "_toc.yml").write_text(CONTENTS, "utf-8")
    program = str(Path(sys.prefix) / "bin/jupyter-book")
    command = [program, "build", ".", "--config", "_config.yml", "--toc", "_toc.yml", "-q"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with serve(folder / "_build/html") as address:
        yield address


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def unopened(context: BrowserContext, live_address: str) -> Live:
    return Live(context.new_page(), live_address)


@pytest.fixture
def live(unopened: Live) -> Iterator[Live]:
    unopened.open(PAGE)
    unopened.page.locator(".live-swap-button").wait_for()
    yield unopened
    assert unopened.outside == []


@pytest.fixture(scope="module")
def pictures(live_models: Path) -> dict[str, Pixels]:
    """The pictures of the page by name, and the portraits by "person" and name."""
    files = [*live_models.glob("picture_*.png"), *live_models.glob("person_*.png")]
    return {path.stem.removeprefix("picture_"): np.asarray(Image.open(path).convert("RGB")) for path in files}
