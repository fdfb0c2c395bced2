"""The chapters' sources: valid MyST notebooks without outputs, each with its parameter, in the book's contents."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.md"))


def test_every_chapter_is_in_the_contents_and_nothing_else_is() -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    listed = [name for name in files if name.startswith("book/executed/")]
    assert listed == [f"book/executed/{chapter.stem}" for chapter in CHAPTERS]


def test_chapters_are_numbered_without_gaps() -> None:
    assert CHAPTERS
    assert [int(chapter.stem[:2]) for chapter in CHAPTERS] == list(range(len(CHAPTERS)))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
class TestChapter:
    def test_is_what_jupytext_writes(self, chapter: Path) -> None:
        """A chapter saved from Jupyter doesn't change by being opened and saved again."""
        text = chapter.read_text("utf-8")
        assert jupytext.writes(jupytext.reads(text, fmt="md:myst"), fmt="md:myst").strip() == text.strip()

    def test_is_a_valid_notebook_for_python_3(self, chapter: Path) -> None:
        notebook = jupytext.read(chapter)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"

    def test_has_the_profile_as_its_parameter(self, chapter: Path) -> None:
        cells = [cell for cell in jupytext.read(chapter).cells if "parameters" in cell.metadata.get("tags", [])]
        assert len(cells) == 1
        assert 'profile = "mini"' in cells[0].source

    def test_opens_with_one_title(self, chapter: Path) -> None:
        cells = [cell for cell in jupytext.read(chapter).cells if cell.cell_type == "markdown"]
        lines = [line for line in cells[0].source.splitlines() if line.startswith("# ")]
        assert len(lines) == 1

    def test_ends_with_its_sources_and_a_fidelity_note(self, chapter: Path) -> None:
        last = jupytext.read(chapter).cells[-1]
        assert last.cell_type == "markdown"
        assert "sources" in last.source.lower()
        assert "fidelity" in last.source.lower()

    def test_fits_the_width_of_a_page(self, chapter: Path) -> None:
        code = [cell for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]
        shown = [cell for cell in code if not {"remove-cell", "remove-input"} & set(cell.metadata.get("tags", []))]
        long = [line for cell in shown for line in cell.source.splitlines() if len(line) > 88]
        assert long == []

    def test_shows_figures_through_the_helper(self, chapter: Path) -> None:
        code = "\n".join(cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code")
        assert ".show()" not in code
        assert "IPython.display import Image" not in code
