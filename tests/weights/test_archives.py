"""Files out of archives: by the end of their path, whole or in part, and never more than there may be."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from mfs_lib.errors import AssetError
from mfs_lib.weights import archives
from mfs_lib.weights.archives import copy_out

DATA = bytes(range(256)) * 10


def _zip(path: Path, *names: str, method: int = zipfile.ZIP_STORED, data: bytes = DATA) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name, data)
    return path


def test_members_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", "top/people/net.pth", "top/other/net.pth", "top/my-net.pth")
    assert copy_out(path, "people/net.pth", tmp_path / "out") == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert (tmp_path / "out").read_bytes() == DATA
    with pytest.raises(AssetError, match="are 2 such files"):
        copy_out(path, "net.pth", tmp_path / "out")
    with pytest.raises(AssetError, match="no such file"):
        copy_out(path, "et.pth", tmp_path / "out")
    whole = _zip(tmp_path / "b.zip", "net.pth", "old/net.pth")
    assert copy_out(whole, "net.pth", tmp_path / "out")[0] == len(DATA)


def test_parts_and_plain_files(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", "m")
    for archive, member in ((path, "m"), (path, None)):
        whole = archive.read_bytes() if member is None else DATA
        size, digest = copy_out(archive, member, tmp_path / "out", (3, 50))
        assert (size, digest) == (47, hashlib.sha256(whole[3:50]).hexdigest())
    assert copy_out(path, "m", tmp_path / "out", (len(DATA), len(DATA) + 5))[0] == 0


def test_links_in_tars_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("net.pth")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
        real = tarfile.TarInfo("sub/real.pth")
        real.size = len(DATA)
        archive.addfile(real, io.BytesIO(DATA))
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(AssetError, match="no such file"):
        copy_out(path, "net.pth", tmp_path / "out")
    assert copy_out(path, "real.pth", tmp_path / "out")[0] == len(DATA)


def test_what_grows_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _zip(tmp_path / "bomb.zip", "m", method=zipfile.ZIP_DEFLATED, data=bytes(10**6))
    assert path.stat().st_size < 2000
    monkeypatch.setattr(archives, "LARGEST", 10**5)
    with pytest.raises(AssetError, match="larger than any file of weights"):
        copy_out(path, "m", tmp_path / "out")


def test_broken_archives_are_typed_errors(tmp_path: Path) -> None:
    whole = _zip(tmp_path / "a.zip", "m", method=zipfile.ZIP_DEFLATED, data=DATA * 100).read_bytes()
    for broken in (b"", b"no archive", whole[:200], whole[:40] + b"\xff" * 30 + whole[70:]):
        (tmp_path / "b.zip").write_bytes(broken)
        with pytest.raises(AssetError, match="can't be read"):
            copy_out(tmp_path / "b.zip", "m", tmp_path / "out")
    with pytest.raises(AssetError, match="can't be read"):
        copy_out(tmp_path / "missing", None, tmp_path / "out")
