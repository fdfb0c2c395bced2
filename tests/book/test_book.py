"""The built book: no warnings (they are errors), every chapter and figure there, everything offline."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.usefixtures("smoke_book")


class _Loads(HTMLParser):
    """Collects what a page loads by itself, and its pictures without a description."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.undescribed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video"):
            self.addresses.append(values.get("src") or "")
        if tag == "link" and "stylesheet" in (values.get("rel") or ""):
            self.addresses.append(values.get("href") or "")
        if tag == "img" and not (values.get("alt") or "").strip():
            self.undescribed.append(values.get("src") or "?")


def _pages(book: Path) -> dict[Path, _Loads]:
    found = {}
    for page in sorted((book / "book").rglob("*.html")):
        found[page] = _Loads()
        found[page].feed(page.read_text("utf-8"))
    return found


def test_every_chapter_has_a_page(smoke_book: Path, repository: Path) -> None:
    chapters = sorted((repository / "notebooks").glob("*.md"))
    assert chapters
    for chapter in chapters:
        page = (smoke_book / "book/executed" / f"{chapter.stem}.html").read_text("utf-8")
        assert "cell_output" in page


def test_pages_load_nothing_from_elsewhere(smoke_book: Path) -> None:
    pages = _pages(smoke_book)
    assert pages
    for page, loads in pages.items():
        outside = [address for address in loads.addresses if re.match(r"(https?:)?//", address)]
        assert outside == [], page.name


def test_every_picture_has_a_description(smoke_book: Path) -> None:
    assert {page.name: loads.undescribed for page, loads in _pages(smoke_book).items() if loads.undescribed} == {}


def test_every_figure_states_what_made_it_and_is_numbered(smoke_book: Path, repository: Path) -> None:
    facts = sorted((repository / "book/executed/figures").rglob("*.json"))
    assert facts
    for file in facts:
        made = json.loads(file.read_text("utf-8"))
        assert made["profile"] == "smoke"
        assert made["notebook"] == file.parent.name
        page = (smoke_book / "book/executed" / f"{made['notebook']}.html").read_text("utf-8")
        figure = re.search(rf'<figure[^>]*id="{made["name"]}".*?</figure>', page, re.DOTALL)
        assert figure is not None, made["name"]
        assert "caption-number" in figure[0]


def test_no_picture_bypasses_the_helper(smoke_book: Path, repository: Path) -> None:
    for chapter in sorted((repository / "book/executed").glob("*.ipynb")):
        for cell in nbformat.read(chapter, as_version=4).cells:
            for output in cell.get("outputs", []):
                kinds = set(output.get("data", {}))
                assert not any(kind.startswith("image/") for kind in kinds), f"{chapter.stem}: {cell.source[:80]}"


def test_running_again_changes_nothing(smoke_book: Path, repository: Path) -> None:
    """A second run skips every chapter: its stamp holds the digest of all that it depends on."""
    command = [sys.executable, "tools/run_notebooks.py", "--profile", "smoke"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    lines = done.stdout.strip().splitlines()
    assert lines
    assert all(line.endswith("unchanged") for line in lines), done.stdout
