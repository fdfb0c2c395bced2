"""Headless Chromium, a server for a folder of pages, and a page that is watched; skipped where no Chromium is installed."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

#: No sandbox inside containers; nothing that Chromium would ask its makers in the background; a camera that is a drawing.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Visit:
    """One page opened in the browser, and what it did there."""

    page: Page
    base: str
    asked: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Listen, then load `address` (below the book's root) and wait until it asks for nothing more."""
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on(
            "response", lambda answer: answer.status >= 400 and self.errors.append(f"{answer.status} {answer.url}")
        )
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{self.base}/{address}", wait_until="networkidle")

    def _note(self, url: str) -> None:
        self.asked.append(url)
        if not url.startswith((self.base, "data:", "blob:")):
            self.outside.append(url)


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of a server on this machine for the pages in `folder`."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: the pages weren't checked in a browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
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
