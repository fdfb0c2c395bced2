"""A page in the browser that is watched, and a server for a folder of pages."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page


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
