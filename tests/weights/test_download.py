"""Downloads by address from a server on this machine: cut off and gone on with, wrong lengths, pages, several addresses.

The manifest admits https only. The tests give the downloader an opener that sends every request to the server here; the
real opener's refusal of anything but https is tested, too.
"""

from __future__ import annotations

import hashlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mfs_lib.errors import AssetError
from mfs_lib.weights.manifest import UNKNOWN, Package
from mfs_lib.weights.web import fetch_address, forget, open_https

CONTENT = bytes(range(256)) * 400
ADDRESS = "https://example.invalid/weights.bin"


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    etag: str = '"one"'
    date: str = ""
    ranges: bool = True
    honours_if_range: bool = True
    cut_after: int | None = None  # bytes of the body, then the connection ends
    told_length: int | None = None  # instead of the true one; -1 for none
    kind: str = "application/octet-stream"
    status: int | None = None
    asked: list[dict[str, str]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        how, first, status = self.behaviour, 0, 200
        how.asked.append({"path": self.path, **self.headers})
        wanted = self.headers.get("Range")
        unchanged = not how.honours_if_range or self.headers.get("If-Range", how.etag) in (how.etag, how.date)
        if wanted and how.ranges and unchanged:
            first, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
        if first >= len(how.content) > 0:
            status = 416
        body = b"" if status == 416 else how.content[first:]
        self.send_response(how.status or status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(how.content) - 1}/{len(how.content)}")
        self.send_header("Content-Type", how.kind)
        if how.etag:
            self.send_header("ETag", how.etag)
        if how.date:
            self.send_header("Last-Modified", how.date)
        if how.told_length != -1:
            self.send_header("Content-Length", str(len(body) if how.told_length is None else how.told_length))
        self.end_headers()
        self.wfile.write(body if how.cut_after is None else body[: how.cut_after])

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[Behaviour, Any]]:
    """A server's behaviour, and an opener that sends requests for any address to it."""
    behaviour = Behaviour()
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    with HTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def opener(request: urllib.request.Request) -> Any:
            path = request.full_url.removeprefix("https://example.invalid")
            local = f"http://127.0.0.1:{running.server_port}{path}"
            return urllib.request.urlopen(
                urllib.request.Request(local, headers=dict(request.header_items())), timeout=5
            )

        yield behaviour, opener
        running.shutdown()
        thread.join()


def package(*, size: int | None = len(CONTENT), known: bool = True, content: bytes = CONTENT) -> Package:
    """A package whose file is `content`."""
    return Package(
        key="toy",
        ecosystem="url",
        name=ADDRESS,
        version="",
        file="weights.bin",
        size=size,
        sha256=hashlib.sha256(content).hexdigest() if known else UNKNOWN,
        licence="MIT",
        addresses=(ADDRESS,),
        page="https://example.invalid/page",
    )


def fetch(part: Path, opener: Any, what: Package | None = None) -> None:
    """One call of the downloader."""
    fetch_address(ADDRESS, part, what or package(), progress=False, opener=opener)


def test_a_whole_file_in_one_go(tmp_path: Path, server: Any) -> None:
    behaviour, opener = server
    fetch(tmp_path / "new" / "w.part", opener)
    assert (tmp_path / "new" / "w.part").read_bytes() == CONTENT
    assert "Range" not in behaviour.asked[0]
    fetch(tmp_path / "new" / "w.part", opener)
    assert len(behaviour.asked) == 1  # it was complete


@pytest.mark.parametrize("known", [True, False])
def test_what_was_cut_off_is_gone_on_with(tmp_path: Path, server: Any, known: bool) -> None:
    behaviour, opener = server
    part, what = tmp_path / "w.part", package(size=len(CONTENT) if known else None, known=known)
    behaviour.cut_after = 30_000
    for have in (30_000, 60_000, 90_000):
        with pytest.raises(AssetError, match=rf"broke off after {have} of {len(CONTENT)} bytes.*run the same command"):
            fetch(part, opener, what)
        assert part.stat().st_size == have
    behaviour.cut_after = None
    fetch(part, opener, what)
    assert part.read_bytes() == CONTENT
    assert [asked.get("Range") for asked in behaviour.asked] == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]
    assert behaviour.asked[1]["If-Range"] == '"one"'


def _cut(part: Path, behaviour: Behaviour, opener: Any, what: Package | None = None) -> None:
    behaviour.cut_after = 50_000
    with pytest.raises(AssetError, match="broke off"):
        fetch(part, opener, what)
    behaviour.cut_after = None
    assert part.stat().st_size == 50_000


def test_a_server_that_ignores_ranges_starts_anew(tmp_path: Path, server: Any) -> None:
    behaviour, opener = server
    _cut(tmp_path / "w.part", behaviour, opener)
    behaviour.ranges = False
    fetch(tmp_path / "w.part", opener)
    assert (tmp_path / "w.part").read_bytes() == CONTENT
    assert behaviour.asked[1]["Range"] == "bytes=50000-"


@pytest.mark.parametrize("honours", [True, False])
def test_a_changed_version_starts_anew(tmp_path: Path, server: Any, honours: bool) -> None:
    behaviour, opener = server
    what = package(size=None, known=False)
    _cut(tmp_path / "w.part", behaviour, opener, what)
    other = CONTENT[::-1]
    behaviour.content, behaviour.etag, behaviour.honours_if_range = other, '"two"', honours
    fetch(tmp_path / "w.part", opener, what)
    assert (tmp_path / "w.part").read_bytes() == other


@pytest.mark.parametrize("length", [40_000, 50_000, 150_000])
def test_a_changed_length_starts_anew(tmp_path: Path, server: Any, length: int) -> None:
    behaviour, opener = server
    what = package(size=None, known=False)
    behaviour.etag, behaviour.date = "", "Mon, 01 Jan 2024 00:00:00 GMT"
    _cut(tmp_path / "w.part", behaviour, opener, what)
    behaviour.content = bytes(length)
    fetch(tmp_path / "w.part", opener, what)
    assert (tmp_path / "w.part").read_bytes() == bytes(length)
    assert behaviour.asked[1]["If-Range"] == behaviour.date


def test_without_a_version_only_a_known_digest_lets_us_go_on(tmp_path: Path, server: Any) -> None:
    behaviour, opener = server
    behaviour.etag = 'W/"weak"'
    for known, wanted in ((True, "bytes=50000-"), (False, None)):
        part, what = tmp_path / f"{known}.part", package(known=known)
        _cut(part, behaviour, opener, what)
        fetch(part, opener, what)
        assert part.read_bytes() == CONTENT
        assert behaviour.asked[-1].get("Range") == wanted


def test_a_part_of_another_address_or_without_notes_is_not_used(tmp_path: Path, server: Any) -> None:
    behaviour, opener = server
    part = tmp_path / "w.part"
    _cut(part, behaviour, opener)
    fetch_address("https://example.invalid/mirror", part, package(), progress=False, opener=opener)
    assert "Range" not in behaviour.asked[-1]
    forget(part)
    assert list(tmp_path.iterdir()) == []
    part.write_bytes(b"who knows")
    for notes in ("not json", "[]", '{"address": "x"}', f'{{"address": "{ADDRESS}", "total": 3, "version": "a"}}'):
        part.with_name("w.part.json").write_text(notes, encoding="utf-8")
        part.write_bytes(b"who knows")
        fetch(part, opener)
        assert part.read_bytes() == CONTENT
        assert "Range" not in behaviour.asked[-1]


def test_too_long_answers_are_not_taken(tmp_path: Path, server: Any) -> None:
    behaviour, opener = server
    with pytest.raises(AssetError, match=r"offers 102400 bytes instead of the 1000 that weights\.bin has"):
        fetch(tmp_path / "w.part", opener, package(size=1000))
    behaviour.told_length = -1
    with pytest.raises(AssetError, match="sends more than the 1000 bytes"):
        fetch(tmp_path / "w.part", opener, package(size=1000))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AssetError, match="broke off after 102400 of 200000 bytes"):
        fetch(tmp_path / "w.part", opener, package(size=200_000))


def test_an_unknown_length_ends_with_the_connection(tmp_path: Path, server: Any) -> None:
    behaviour, opener = server
    behaviour.told_length = -1
    fetch(tmp_path / "w.part", opener, package(size=None, known=False))
    assert (tmp_path / "w.part").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_page_instead_of_the_file_says_how_to_get_it_by_hand(tmp_path: Path, server: Any, kind: str) -> None:
    behaviour, opener = server
    behaviour.content, behaviour.kind = b"\n <!DOCTYPE html><html>quota exceeded</html>", kind
    with pytest.raises(AssetError) as error:
        fetch(tmp_path / "w.part", opener, package(size=None, known=False))
    for said in ("web page", "by hand from https://example.invalid/page", "under the name weights.bin", "MFS_MIRROR"):
        assert said in str(error.value)
    assert not (tmp_path / "w.part").exists() or (tmp_path / "w.part").stat().st_size == 0


@pytest.mark.parametrize("status", [404, 500, 204])
def test_errors_of_the_server_name_the_way_out(tmp_path: Path, server: Any, status: int) -> None:
    behaviour, opener = server
    behaviour.status = status
    behaviour.content = b"" if status == 204 else CONTENT
    with pytest.raises(AssetError, match="MFS_MIRROR"):
        fetch(tmp_path / "w.part", opener)


def test_no_server_at_all(tmp_path: Path) -> None:
    def opener(request: urllib.request.Request) -> Any:
        raise urllib.error.URLError("no route")

    with pytest.raises(AssetError, match=r"no route.*by hand"):
        fetch(tmp_path / "w.part", opener)


def test_only_https_is_opened_and_followed(server: Any) -> None:
    with pytest.raises(urllib.error.URLError, match="not https"):
        open_https(urllib.request.Request("http://127.0.0.1/x"))
    with pytest.raises(urllib.error.URLError, match="not https"):
        open_https(urllib.request.Request("file:///nowhere"))  # noqa: S310 - refused
    from mfs_lib.weights.web import _HttpsOnly

    request = urllib.request.Request(ADDRESS)
    with pytest.raises(urllib.error.URLError, match="not https"):
        _HttpsOnly().redirect_request(request, None, 302, "Found", {}, "http://example.invalid/x")
    followed = _HttpsOnly().redirect_request(request, None, 302, "Found", {}, "https://example.invalid/y")
    assert followed.full_url == "https://example.invalid/y"
