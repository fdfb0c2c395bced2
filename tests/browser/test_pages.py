"""Every page of the book in headless Chromium: no console errors, no request that leaves the book, all images described.

Skipped, with a message, where no Chromium is installed.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.visit import Visit

UNDESCRIBED = "[...document.images].filter(image => !image.alt.trim()).map(image => image.src)"
BROKEN = "[...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)"


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


def test_a_face_is_swapped_in_the_page(visit: Visit) -> None:
    """One press of the button in the real book; `test_live_swap.py` looks closer, in a small one."""
    visit.open("book/live_swap.html")
    visit.page.locator(".live-swap-button").press("Enter")
    visit.page.locator("[role=status]", has_text="Swapped in").wait_for(timeout=60_000)
    assert visit.errors == []
    assert visit.outside == []
