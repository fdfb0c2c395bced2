"""Sphinx extension for the page "Swap a face in your browser": its panel, its program, and the sizes of its files.

The directive `live-swap` puts the panel (`_static/live/panel.html`) into a page and loads the program there and nowhere
else. The names of `live_sizes` can be used in the page's text as substitutions, so that no size is typed in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.util.docutils import SphinxDirective

STATIC = Path(__file__).resolve().parent.parent / "_static"
RUNTIME = STATIC / "vendor" / "onnxruntime-web"
BINARIES = {"wasm": "ort-wasm-simd-threaded.wasm", "webgpu": "ort-wasm-simd-threaded.asyncify.wasm"}


def manifest() -> dict[str, Any]:
    """What `mfs_lib.deploy.browser` wrote about the page's networks and pictures."""
    path = STATIC / "live" / "models" / "manifest.json"
    if not path.is_file() or not all((RUNTIME / name).is_file() for name in BINARIES.values()):
        raise ConfigError(
            "the networks or the runtime of the page live_swap are missing: build the book by `make book`"
        )
    return dict(json.loads(path.read_text("utf-8")))


def live_sizes() -> dict[str, str]:
    """Sizes of what the page downloads and what they cost in quality, as its text says them."""
    found = manifest()
    graphs = found["graphs"]
    person = max(entry["graph"]["bytes"] for entry in found["people"])
    sizes = {
        "live_full_path": found["full_path_bytes"],
        "live_source": graphs["source"]["bytes"],
        "live_source_float": graphs["source"]["float_bytes"],
        "live_shipped_path": graphs["detector"]["bytes"] + person,
        "live_wasm": (RUNTIME / BINARIES["wasm"]).stat().st_size,
        "live_webgpu": (RUNTIME / BINARIES["webgpu"]).stat().st_size,
    }
    cost = found["coarse_weights"]
    return {name: f"{size / 1e6:.1f} MB" for name, size in sizes.items()} | {
        "live_crop": str(found["crop_size"]),
        "live_pairs": str(cost["pairs"]),
        "live_change": f"{cost['change']:.1f}",
        "live_difference": f"{cost['difference']:.2f}",
    }


class LiveSwap(SphinxDirective):
    """The panel, with what it must know about the runtime's files."""

    def run(self) -> list[nodes.Node]:
        """One raw node of HTML."""
        panel = (STATIC / "live" / "panel.html").read_text("utf-8")
        for backend, name in BINARIES.items():
            panel = panel.replace(f"@{backend}_bytes@", str((RUNTIME / name).stat().st_size))
        self.env.metadata[self.env.docname]["live_swap"] = True
        self.env.note_dependency(str(STATIC / "live" / "panel.html"))
        return [nodes.raw("", panel, format="html")]


def add_sizes(_app: Sphinx, config: Config) -> None:
    """Make the sizes substitutions of every page."""
    config.myst_substitutions = {**config.myst_substitutions, **live_sizes()}


def add_program(
    app: Sphinx, page: str, _template: str, _context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """Load the program and its style on pages with a panel."""
    if app.env.metadata.get(page, {}).get("live_swap"):
        app.add_js_file("live/app.js", type="module")
        app.add_css_file("live/live.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the sizes."""
    app.add_directive("live-swap", LiveSwap)
    app.connect("config-inited", add_sizes)
    app.connect("html-page-context", add_program)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
