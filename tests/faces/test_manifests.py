"""Face data: the manifest is complete and consistent; files are found, split, excluded, verified and fetched."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mfs_lib.errors import AssetError, ConfigError, InputError
from mfs_lib.faces import manifests

LICENCES = {"CC-BY-4.0", "MIT", "Pixabay"}


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of one set, "toy": people 1, 2, 10 and 20, number 2 excluded, 20 the same face as 1; data in place."""
    monkeypatch.setenv("MFS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    monkeypatch.delenv("MFS_OFFLINE", raising=False)
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    rows = ["path,size,sha256"]
    for name in ("0001.jpg", "0002.jpg", "0010.jpg", "0020.jpg", "info.csv"):
        data = f"content of {name}".encode()
        (folder / name).write_bytes(data)
        rows.append(f"toy/{name},{len(data)},{_sha(data)}")
    (tmp_path / "toy_files.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "toy_excluded.csv").write_text("file,reason\n0002.jpg,blurred\n")
    (tmp_path / "toy_people.csv").write_text("file,same_as\n0020.jpg,0001.jpg\n")
    text = """
schema: 1
licences: {MIT: "https://example.org/mit"}
sets:
  toy:
    {title: Toy, folder: toy, photographs: .jpg, expression: varied, licence: MIT, licence_note: none, consent: drawn,
     citation: nobody, source: "https://example.org", content: four files, purpose: tests, excluded: toy_excluded.csv,
     people: toy_people.csv, split: {rule: every, test_every: 10},
     addresses: [{prefix: toy/, urls: ["https://one.example.org/", "https://two.example.org/"]}]}
"""
    path = tmp_path / "faces.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", manifests.names())
def test_every_set_says_who_agreed_to_what(name: str) -> None:
    about = manifests.face_set(name)
    assert about.licence in LICENCES
    assert about.licence_url.startswith("https://")
    assert min(len(about.consent), len(about.citation)) >= 20
    assert about.source.startswith("https://")
    assert about.listed
    assert all(file.path.startswith(about.folder.split("/")[0] + "/") for file in about.listed)
    assert [file.path for file in about.listed] == sorted({file.path for file in about.listed})
    assert about.addresses or about.by_hand
    text = manifests.how_to_get(name)
    assert about.citation in text
    assert about.consent in text
    assert ("mfs fetch" in text) == bool(about.addresses)


def test_nothing_else_than_known_sets() -> None:
    expected = {"london_neutral", "london_smiling", "composite", "sfhq", "ict_light", "backgrounds"}
    assert set(manifests.names()) == expected
    with pytest.raises(AssetError, match="london_neutral"):
        manifests.face_set("celeba")


@pytest.mark.parametrize("name", ["london_neutral", "london_smiling"])
def test_london_people_are_held_out_from_120_on(name: str) -> None:
    about = manifests.face_set(name)
    train = {about.person(f.name) for f in about.listed if about.in_split(f, "train")}
    test = {about.person(f.name) for f in about.listed if about.in_split(f, "test")}
    assert (len(train), len(test)) == (76, 26)
    assert max(map(int, train)) < 120 <= min(map(int, test))


def test_london_files_have_an_address_each() -> None:
    for name in ("london_neutral", "london_smiling"):
        about = manifests.face_set(name)
        for file in about.listed:
            urls = about.urls(file)
            assert urls
            assert all(url.endswith("/" + file.name) for url in urls)


def test_exclusions_are_sorted_unique_and_of_listed_files() -> None:
    about = manifests.face_set("sfhq")
    lists = manifests.FACES_MANIFEST.parent
    for list_name in ("sfhq_excluded.csv", "sfhq_people.csv"):
        with (lists / list_name).open(newline="") as stream:
            rows = [row["file"] for row in csv.DictReader(stream)]
        assert rows == sorted(set(rows))
        assert set(rows) <= {file.name for file in about.listed}
    assert all(about.excluded.values())
    assert not set(about.same_as) & set(about.excluded)
    assert not set(about.same_as.values()) & set(about.same_as)
    assert len([file for file in about.needed if file.name.endswith(".jpg")]) == 1148 - len(about.excluded)


def test_no_generated_face_is_on_both_sides() -> None:
    about = manifests.face_set("sfhq")
    sides = {s: {about.person(f.name) for f in about.listed if about.in_split(f, s)} for s in ("train", "test")}
    assert sides["train"]
    assert sides["test"]
    assert not sides["train"] & sides["test"]
    shown = {f.name for f in about.listed if about.in_split(f, "all")}
    assert not shown & set(about.excluded)


def test_files_of_a_split(small: Path) -> None:
    def names(split: manifests.Split) -> list[str]:
        return [path.name for path in manifests.files("toy", split=split, manifest=small)]

    assert manifests.available("toy", manifest=small)
    assert names("train") == ["0001.jpg", "0020.jpg"]
    assert names("test") == ["0010.jpg"]
    assert names("all") == ["0001.jpg", "0010.jpg", "0020.jpg"]
    assert manifests.companion("toy", "toy/info.csv", manifest=small).read_text() == "content of info.csv"
    with pytest.raises(AssetError, match=r"other\.csv"):
        manifests.companion("toy", "toy/other.csv", manifest=small)
    with pytest.raises(InputError, match="validation"):
        manifests.files("toy", split="validation", manifest=small)  # type: ignore[arg-type]


def test_excluded_files_need_not_be_there(small: Path, tmp_path: Path) -> None:
    (tmp_path / "data/toy/0002.jpg").unlink()
    assert manifests.available("toy", manifest=small)


def test_a_demo_set_is_neither_for_learning_nor_for_tests() -> None:
    with pytest.raises(InputError, match="neither"):
        manifests.files("composite", split="train")


def test_changed_bytes_are_refused_even_after_a_good_check(small: Path, tmp_path: Path) -> None:
    assert manifests.files("toy", manifest=small)
    damaged = tmp_path / "data/toy/0010.jpg"
    damaged.write_bytes(b"CONTENT of 0010.jpg")
    with pytest.raises(AssetError, match=r"0010\.jpg is not the file"):
        manifests.files("toy", manifest=small)
    assert len(manifests.files("toy", split="train", manifest=small)) == 2


def test_checked_files_are_not_read_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = manifests.files("toy", manifest=small)

    def no_reading(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("mfs_lib.faces.verified.file_sha256", no_reading)
    assert manifests.files("toy", manifest=small) == first


def test_a_damaged_memory_is_made_again(small: Path, tmp_path: Path) -> None:
    first = manifests.files("toy", manifest=small)
    (tmp_path / "cache/verified.json").write_text("{damaged")
    assert manifests.files("toy", manifest=small) == first
    assert (tmp_path / "cache/verified.json").read_text().startswith("[")


def test_absent_data_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MFS_DATA", str(tmp_path))
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    assert not manifests.available("london_neutral")
    with pytest.raises(AssetError, match=re.escape("mfs fetch london_neutral")) as caught:
        manifests.files("london_neutral")
    assert "signed consent" in str(caught.value)


def test_the_mirror_is_looked_at_too(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFS_DATA", str(tmp_path / "elsewhere"))
    assert not manifests.available("toy", manifest=small)
    monkeypatch.setenv("MFS_MIRROR", str(tmp_path / "data"))
    assert len(manifests.files("toy", manifest=small)) == 3
    fetched = manifests.fetch("toy", progress=False, manifest=small)
    assert {path.parent for path in fetched} == {(tmp_path / "elsewhere/toy").resolve()}


def test_fetch_tries_the_next_address_and_keeps_what_is_there(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        asked.append(request.full_url)
        name = request.full_url.rsplit("/", 1)[1]
        wrong = request.full_url.startswith("https://one.")
        return io.BytesIO(b"something else" if wrong else f"content of {name}".encode())

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    (tmp_path / "data/toy/0010.jpg").unlink()
    assert len(manifests.fetch("toy", progress=False, manifest=small)) == 4
    assert asked == ["https://one.example.org/0010.jpg", "https://two.example.org/0010.jpg"]
    assert not list((tmp_path / "data/toy").glob(".*"))


def test_fetch_fails_clearly_and_leaves_nothing(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    (tmp_path / "data/toy/0001.jpg").unlink()
    with pytest.raises(AssetError, match="no route"):
        manifests.fetch("toy", progress=False, manifest=small)
    monkeypatch.setenv("MFS_OFFLINE", "1")
    with pytest.raises(AssetError, match="MFS_OFFLINE"):
        manifests.fetch("toy", progress=False, manifest=small)
    assert sorted(p.name for p in (tmp_path / "data/toy").iterdir()) == ["0002.jpg", "0010.jpg", "0020.jpg", "info.csv"]


def test_crops_without_address_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MFS_DATA", str(tmp_path))
    monkeypatch.setenv("MFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MFS_MIRROR", raising=False)
    with pytest.raises(AssetError, match="can't be downloaded"):
        manifests.fetch("sfhq", progress=False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema: 1", "schema: 2"),
        ("consent: drawn", 'consent: ""'),
        ("licence: MIT,", "licence: Unknown,"),
        ("rule: every", "rule: sometimes"),
        ("https://one", "http://one"),
        ("citation: nobody, ", ""),
    ],
)
def test_a_bad_manifest_is_refused(small: Path, old: str, new: str) -> None:
    text = small.read_text()
    assert old in text
    small.write_text(text.replace(old, new))
    with pytest.raises(ConfigError):
        manifests.read_manifest(small)


@pytest.mark.parametrize("path", ["../outside.jpg", "/etc/passwd", "toy/../../x.jpg"])
def test_paths_outside_the_data_root_are_refused(small: Path, path: str) -> None:
    listing = small.parent / "toy_files.csv"
    listing.write_text(listing.read_text() + f"{path},1,{'0' * 64}\n")
    with pytest.raises(ConfigError, match="below the data root"):
        manifests.read_manifest(small)
