"""Sphinx extension: drop the Thebe scripts that Jupyter Book 1 adds to every page.

Thebe (live cells on somebody's server) is switched off here, yet Jupyter Book declares its script twice, which is an
error in the browser's console, and names a CDN address, which would be a request that leaves the book.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def drop_thebe(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """Remove from the page's context every script whose file name or body speaks of Thebe."""

    def speaks_of_thebe(script: object) -> bool:
        body = getattr(script, "attributes", {}).get("body") or ""
        return "thebe" in f"{getattr(script, 'filename', '')}{body}".lower()

    context["script_files"] = [script for script in context.get("script_files", []) if not speaks_of_thebe(script)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension, late enough to run after Jupyter Book's own handlers."""
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
