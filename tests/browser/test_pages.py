"""Every page of the book in headless Chromium: no console errors, no request that leaves the book, all images described.

Skipped, with a message, where no Chromium is installed.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

#: No sandbox inside containers; nothing that Chromium would ask its makers in the background.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
UNDESCRIBED = "[...document.images].filter(image => !image.alt.trim()).map(image => image.src)"
BROKEN = "[...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Visit:
    """One page opened in the browser, and what it did there."""

    page: Page
    base: str
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Listen, then load `address` (below the book's root) and wait until it asks for nothing more."""
        self.page.on("request", lambda request: self._leaves(request.url))
        self.page.on(
            "response", lambda answer: answer.status >= 400 and self.errors.append(f"{answer.status} {answer.url}")
        )
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{self.base}/{address}", wait_until="networkidle")

    def _leaves(self, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:")):
            self.outside.append(url)


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
    handler = functools.partial(_Quiet, directory=str(smoke_book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def visit(browser: Browser, served: str) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    yield Visit(page, served)
    page.close()


def test_every_page_is_clean(browser: Browser, served: str, smoke_book: Path) -> None:
    pages = sorted(path.relative_to(smoke_book).as_posix() for path in (smoke_book / "book").rglob("*.html"))
    assert "book/intro.html" in pages
    found: dict[str, list[str]] = {}
    for address in ("index.html", *pages):
        page = browser.new_page()
        visit = Visit(page, served)
        visit.open(address)
        faults = [f"left the book: {url}" for url in visit.outside] + [f"error: {text}" for text in visit.errors]
        faults += [f"no alt text: {source}" for source in page.evaluate(UNDESCRIBED)]
        faults += [f"broken picture: {source}" for source in page.evaluate(BROKEN)]
        page.close()
        if faults:
            found[address] = faults
    assert found == {}


def test_figures_carry_their_description_and_number(visit: Visit) -> None:
    visit.open("book/executed/00_how_this_book_is_made.html")
    figure = visit.page.locator("#fig-okabe-ito")
    assert "Eight colour patches" in (figure.locator("img").get_attribute("alt") or "")
    assert figure.locator(".caption-number").inner_text().startswith("Fig. ")
    assert visit.page.locator('a[href="#fig-okabe-ito"]').first.inner_text().startswith("Fig. ")


def test_widgets_work_without_a_kernel(visit: Visit) -> None:
    visit.open("book/executed/00_how_this_book_is_made.html")
    handle = visit.page.locator(".noUi-handle").first
    handle.wait_for(timeout=20_000)
    visit.page.locator(".widget-label mjx-container").first.wait_for(timeout=20_000)
    bar = visit.page.locator(".progress-bar").first
    before = bar.get_attribute("style")
    handle.focus()
    for _ in range(10):
        handle.press("ArrowRight")
    assert bar.get_attribute("style") != before


def test_mathematics_is_typeset_with_the_books_own_fonts(visit: Visit) -> None:
    visit.open("book/executed/00_how_this_book_is_made.html")
    visit.page.locator("mjx-container").first.wait_for(timeout=20_000)
    fonts = visit.page.evaluate(
        "document.fonts.ready.then(all => [...all].filter(f => f.status === 'loaded').map(f => f.family))"
    )
    assert any("MJXTEX" in family for family in fonts)
    assert visit.errors == []


def test_search_finds_a_chapter(visit: Visit) -> None:
    visit.open("search.html?q=palette")
    visit.page.locator("#search-results li").first.wait_for(timeout=20_000)
    assert visit.errors == []
